"""What is presented to upstreams that ask for a client certificate: to whom, which, its record."""

import base64
import datetime
import hashlib
import re
import ssl
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import hellos
import jvm
import wire
from clock_shim import clock  # noqa: F401 (fixture)
from gate import StartError, free_port, run
from mutual import (APP, asking, clients, connect, fingerprint, get, make_asking,  # noqa: F401
                    names, reload_with, start)
from pki import DAY, openssl
from scene import at, check_page
from upstreams import Process, TlsPeer, https_apache, nginx, page, s_server


# ---- servers that ask ----------------------------------------------------------------------------

def apache(folder, leaf, settings):
    """It answers every request with the client's certificate in a field."""
    return https_apache(folder, leaf, modules=["headers"], settings=f"""
SSLVerifyDepth 3
Header always set X-Client "%{{SSL_CLIENT_CERT}}s"
{settings}
""")


def asking_apache(folder, leaf, ca, required):
    return apache(folder, leaf, f"SSLCACertificateFile {ca}\n"
                                f"SSLVerifyClient {'require' if required else 'optional'}")


def asking_nginx(folder, leaf, ca, required, extra=""):
    return nginx(folder, leaf, extra=f"""
ssl_client_certificate {ca}; ssl_verify_client {'on' if required else 'optional'};
ssl_verify_depth 3; {extra}
location / {{ return 200 "$ssl_client_escaped_cert"; }}""")


def asking_s_server(folder, leaf, ca, required, *options):
    return s_server(folder, leaf, "-tls1_2", "-CAfile", ca, "-Verify" if required else "-verify",
                    "9", "-verify_return_error", *options)


def asking_java(folder, leaf, ca, required):
    port, store = free_port(), folder / "need.p12"
    openssl("pkcs12", "-export", "-in", leaf.chain, "-inkey", leaf.key, "-out", store,
            "-passout", "pass:changeit")
    return Process(jvm.argv("Need", port, store, ca, "need" if required else "want"), port,
                   folder / f"java-{port}.log")


SERVERS = {"nginx": asking_nginx, "apache": asking_apache, "openssl": asking_s_server,
           "java": asking_java}
JAVA = pytest.param("java", marks=pytest.mark.once)
EACH = ("nginx", "apache", "openssl", JAVA)
STRICT = EACH[1:]  # nginx completes the handshake and answers with a page


def shown(answer):
    """The SHA-256 of the client certificate that the server tells of; None: it got none."""
    text = urllib.parse.unquote(answer.body + answer.headers.get("x-client", ""))
    found = re.search(r"-----BEGIN CERTIFICATE-----(.*?)-----END", text, re.S)
    return found and hashlib.sha256(base64.b64decode(found[1])).hexdigest()


# ---- gates ---------------------------------------------------------------------------------------

@pytest.fixture
def make(make_forward):
    """make({name: (leaf, patterns)}, ..) -> Gate with a forward listener"""
    def build(identities, **options):
        sections = {f"identity {name}": {"certificate": leaf.chain, "key": leaf.key,
                                         "upstreams": patterns}
                    for name, (leaf, patterns) in identities.items()}
        return make_forward(**sections, **options)
    return build


@pytest.fixture
def server_leaf(pki):
    return pki.leaf("asking", san=("DNS:localhost", "IP:127.0.0.1", f"DNS:{APP}"))


def visit(gate, port, path="/", host="localhost"):
    """One request through the forward listener."""
    sock, answer = wire.connect(gate.port, f"{host}:{port}")
    assert answer.status == 200, answer.body
    name = None if host[0].isdigit() else host
    context = wire.client_context(gate.ca_path)
    context.check_hostname = name is not None
    with wire.Tls(sock, context, name=name) as tls:
        tls.handshake()
        got = wire.get(tls, path)
        tls.close_notify()
        return got


def asked(gate, count=1, action="connection-opened"):
    """What the record of the connection with this number says of the upstream's request."""
    record = gate.wait_record(action=action, count=count)
    return at(record, "suitegate.upstream.client_certificate")


# ---- what the server gets ------------------------------------------------------------------------

@pytest.mark.parametrize("required", [True, False], ids=["required", "optional"])
@pytest.mark.parametrize("server", EACH)
def test_the_server_gets_the_certificate(make, clients, server_leaf, tmp_path, server, required):
    with SERVERS[server](tmp_path, server_leaf, clients.trust, required) as upstream:
        gate = make({"office": (clients.ec, "localhost")})
        assert shown(visit(gate, upstream.port)) == fingerprint(clients.ec)
    assert asked(gate) == {"asked": True, "sent": True, "identity": "office",
                           "issuers": ["CN=suitegate test clients"]}


@pytest.mark.parametrize("server", EACH)
def test_without_an_identity_it_goes_on_without(make, clients, server_leaf, tmp_path, server):
    with SERVERS[server](tmp_path, server_leaf, clients.trust, False) as upstream:
        gate = make({"other": (clients.ec, "other.test")})
        assert shown(visit(gate, upstream.port)) is None
    assert asked(gate) == {"asked": True, "sent": False, "issuers": ["CN=suitegate test clients"]}


@pytest.mark.parametrize("server", STRICT)
def test_a_server_that_insists_refuses(make, clients, server_leaf, tmp_path, server):
    with SERVERS[server](tmp_path, server_leaf, clients.trust, True) as upstream:
        gate = make({})
        check_page(visit(gate, upstream.port), "upstream_wants_client_certificate", 502,
                   "tls_alert_received")
    refused = gate.wait_record(code="upstream_wants_client_certificate")
    assert at(refused, "suitegate.upstream.client_certificate.sent") is False
    assert at(refused, "suitegate.detail") == "No [identity] fits: it was sent none."
    assert at(refused, "suitegate.blame") == "operator"


def test_nginx_that_insists_says_so_itself(make, clients, server_leaf, tmp_path):
    with asking_nginx(tmp_path, server_leaf, clients.trust, True) as upstream:
        gate = make({})
        answer = visit(gate, upstream.port)
    assert answer.status == 400 and "No required SSL certificate" in answer.body
    assert asked(gate)["sent"] is False


@pytest.mark.parametrize("server", STRICT)
def test_a_server_that_does_not_trust_the_certificate_refuses(make, pki, clients, server_leaf,
                                                              tmp_path, server):
    """It names no CA of ours, and gets the certificate all the same: it is meant for it."""
    with SERVERS[server](tmp_path, server_leaf, pki.trust, True) as upstream:
        gate = make({"office": (clients.ec, "localhost")})
        check_page(visit(gate, upstream.port), "upstream_wants_client_certificate")
    refused = gate.wait_record(code="upstream_wants_client_certificate")
    assert at(refused, "suitegate.upstream.client_certificate") == {
        "asked": True, "sent": True, "identity": "office", "issuers": ["CN=suitegate test root"]}
    assert at(refused, "suitegate.detail") == "It was sent the certificate that the record names."


@pytest.mark.parametrize("key", ["ec384", "ec521", "rsa2048", "rsa3072"])
def test_every_kind_of_key(make, clients, server_leaf, tmp_path, key):
    leaf = clients.leaf(f"key-{key}", key=key)
    with asking_nginx(tmp_path, server_leaf, clients.trust, True) as upstream:
        gate = make({"office": (leaf, "localhost")})
        assert shown(visit(gate, upstream.port)) == fingerprint(leaf)


SCHEMES = ("RSA-PSS+SHA256", "RSA-PSS+SHA512", "RSA+SHA256", "RSA+SHA384", "ECDSA+SHA256",
           "ECDSA+SHA384", "ECDSA+SHA512")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("server_key", ["ec", "rsa"])
def test_the_only_scheme_that_a_server_wants(make, pki, clients, tmp_path, server_key, scheme):
    """The TLS library signs only where there is also a scheme for the server's type of key."""
    leaf = clients.ec if scheme.startswith("ECDSA") else clients.rsa
    with asking_s_server(tmp_path, getattr(pki, server_key), clients.trust, True,
                         "-client_sigalgs", scheme) as upstream:
        gate = make({"office": (leaf, "localhost")})
        if scheme.startswith("ECDSA") == (server_key == "ec"):
            assert shown(visit(gate, upstream.port)) == fingerprint(leaf)
        else:
            check_page(visit(gate, upstream.port), "upstream_wants_client_certificate")
            refused = gate.wait_record(code="upstream_wants_client_certificate")
            assert at(refused, "suitegate.upstream.client_certificate.sent") is False


@pytest.mark.parametrize("server_key", ["ec", "rsa"])
@pytest.mark.parametrize("own", ["ec", "rsa"])
def test_both_key_types_fit_a_server_with_the_usual_schemes(make, pki, clients, tmp_path,
                                                            server_key, own):
    leaf = getattr(clients, own)
    with asking_s_server(tmp_path, getattr(pki, server_key), clients.trust, True) as upstream:
        gate = make({"office": (leaf, "localhost")})
        assert shown(visit(gate, upstream.port)) == fingerprint(leaf)


def test_an_upstream_that_does_not_ask_gets_nothing(make, clients, origin):
    gate = make({"office": (clients.ec, "localhost")})
    assert visit(gate, origin.port).status
    assert asked(gate) is None


# ---- which identity ------------------------------------------------------------------------------

PATTERNS = {  # pattern, host: whether it fits; PORT is the upstream's
    ("localhost", "localhost"): True, ("localhost:PORT", "localhost"): True,
    ("localhost:1,PORT", "localhost"): True, ("localhost:1", "localhost"): False,
    ("LOCALHOST", "localhost"): True, ("127.0.0.1", "localhost"): False,
    ("127.0.0.0/8", "127.0.0.1"): True, ("127.0.0.1:PORT", "127.0.0.1"): True,
    ("10.0.0.0/8", "127.0.0.1"): False, ("localhost", "127.0.0.1"): False,
    ("*.example.test", APP): True, ("*.example.test:1", APP): False,
    ("example.test", APP): False, ("other.example.test", APP): False,
}


@pytest.fixture(scope="module")
def optional(pki, clients, tmp_path_factory):
    """An nginx that takes certificates of either CA, or none."""
    ca = pki.bundle("either-ca", clients.trust, pki.ca("clients-second").cert)
    leaf = pki.leaf("asking", san=("DNS:localhost", "IP:127.0.0.1", f"DNS:{APP}"))
    with asking_nginx(tmp_path_factory.mktemp("optional"), leaf, ca, False) as server:
        yield server.port


@pytest.mark.parametrize("pattern, host", PATTERNS)
def test_the_pattern_decides(make, clients, optional, names, pattern, host):
    gate = make({"office": (clients.ec, pattern.replace("PORT", str(optional)))},
                upstream={"resolver": names} if host == APP else {})
    fits = PATTERNS[pattern, host]
    assert shown(visit(gate, optional, host=host)) == (fingerprint(clients.ec) if fits else None)
    assert asked(gate)["sent"] is fits


def test_the_first_that_fits_is_taken(make, clients, optional):
    gate = make({"elsewhere": (clients.rsa, "other.test"), "first": (clients.ec, "localhost"),
                 "second": (clients.rsa, "localhost")})
    assert shown(visit(gate, optional)) == fingerprint(clients.ec)
    assert asked(gate)["identity"] == "first"


def test_a_fixed_listeners_upstream_name_counts(make_asking, clients, optional, pki):
    gate = make_asking({"fixed": ("fixed", "none")}, upstream=optional)
    gate.sections["identity address"] = section(clients.rsa, "127.0.0.1")
    gate.sections["identity name"] = section(clients.ec, APP)
    reload_with(gate)
    assert shown(get(gate)) == fingerprint(clients.ec)


def section(leaf, patterns):
    return {"certificate": leaf.chain, "key": leaf.key, "upstreams": patterns}


@pytest.mark.parametrize("ca", ["first", "second", "intermediate"])
def test_the_identity_of_a_ca_that_the_server_names_is_preferred(make, pki, clients, server_leaf,
                                                                 tmp_path, ca):
    second = pki.ca("clients-second")
    theirs = clients.leaf("of-second", issuer=second)
    trusted = {"first": clients.root, "second": second, "intermediate": clients.inter}[ca]
    extra = ("-partial_chain",) if ca == "intermediate" else ()
    with asking_s_server(tmp_path, server_leaf, trusted.cert, True, *extra) as upstream:
        gate = make({"stranger": (pki.leaf("client-upstream", san=(), eku="clientAuth"),
                                  "localhost"),
                     "second": (theirs, "localhost"), "first": (clients.ec, "localhost")})
        wanted = theirs if ca == "second" else clients.ec
        assert shown(visit(gate, upstream.port)) == fingerprint(wanted)


@pytest.mark.parametrize("key, scheme", [("ec", "ECDSA+SHA256"), ("rsa", "RSA+SHA256")])
def test_the_key_type_that_the_server_takes_decides(make, pki, clients, tmp_path, key, scheme):
    other = {"ec": "rsa", "rsa": "ec"}[key]
    with asking_s_server(tmp_path, getattr(pki, key), clients.trust, True, "-client_sigalgs",
                         scheme) as upstream:
        gate = make({"other": (getattr(clients, other), "localhost"),
                     "fits": (getattr(clients, key), "localhost")})
        assert shown(visit(gate, upstream.port)) == fingerprint(getattr(clients, key))
        assert asked(gate)["identity"] == "fits"


@pytest.mark.parametrize("schemes", ["RSA+SHA256", "ECDSA+SHA1", "ECDSA+SHA1:ECDSA+SHA224"])
def test_no_identity_has_a_scheme_that_the_server_takes(make, clients, server_leaf, tmp_path,
                                                        schemes):
    """Nothing is signed with SHA-1."""
    with asking_s_server(tmp_path, server_leaf, clients.trust, False, "-client_sigalgs", schemes,
                         "-cipher", "DEFAULT:@SECLEVEL=0") as upstream:
        gate = make({"ec": (clients.ec, "localhost")})
        assert shown(visit(gate, upstream.port)) is None
        assert asked(gate)["sent"] is False


# ---- only for whom it is meant -------------------------------------------------------------------

class Curious(TlsPeer):
    """It asks for a certificate and keeps the messages of the client's that came in plaintext."""

    def __init__(self, leaf, ca):
        context = wire.server_context(leaf)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(ca)
        super().__init__(context, page())

    def messages(self, number=0):
        return hellos.server_messages(bytes(self.received[number]))


@pytest.mark.parametrize("fault", ["expired", "wrong_name", "unknown_ca", "self_signed",
                                   "sha1_leaf"])
def test_an_upstream_that_is_not_verified_gets_no_certificate(make, pki, clients, fault):
    with Curious(getattr(pki, fault), clients.trust) as upstream:
        gate = make({"office": (clients.ec, "localhost")})
        assert visit(gate, upstream.port).status == 502
        refused = gate.wait_record(action="connection-refused")
        assert upstream.alerts()
        assert upstream.messages() == [1]  # its hello and nothing else
    assert at(refused, "event.code").startswith("upstream_certificate_")
    assert at(refused, "suitegate.upstream.client_certificate.sent") is False


def test_a_verified_one_gets_it_there(make, pki, clients):
    """The control of the test above."""
    with Curious(pki.ec, clients.trust) as upstream:
        gate = make({"office": (clients.ec, "localhost")})
        assert visit(gate, upstream.port).status == 200
        assert upstream.messages()[:4] == [1, 11, 16, 15]
        assert clients.ec.der in upstream.received[0]


# ---- on record -----------------------------------------------------------------------------------

def test_a_resumed_session_is_not_asked_again(make, clients, server_leaf, tmp_path):
    with asking_nginx(tmp_path, server_leaf, clients.trust, True) as upstream:
        gate = make({"office": (clients.ec, "localhost")}, proxy={"workers": 1})
        for _ in range(3):  # nginx knows it from the session
            assert shown(visit(gate, upstream.port)) == fingerprint(clients.ec)
    gate.wait_record(action="connection-opened", count=3)
    seen = [(at(r, "suitegate.upstream.tls.resumed"),
             at(r, "suitegate.upstream.client_certificate.sent"))
            for r in gate.matching(action="connection-opened")]
    assert seen == [(False, True), (True, None), (True, None)]


def other_cas(pki, count):
    """A file of that many CAs, and their names."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = []
    for i in range(count):
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"one of many {i}")])
        made.append(x509.CertificateBuilder().subject_name(name).issuer_name(name)
                    .public_key(key.public_key()).serial_number(i + 1)
                    .not_valid_before(datetime.datetime(2020, 1, 1))
                    .not_valid_after(datetime.datetime(2040, 1, 1))
                    .sign(key, hashes.SHA256()))
    path = pki.dir / f"many-{count}.pem"
    path.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in made))
    return path, [c.subject.rfc4514_string() for c in made]


@pytest.mark.parametrize("count", [6, 7, 200])
def test_a_long_list_of_cas_is_counted(make, pki, clients, server_leaf, tmp_path, count):
    many, issuers = other_cas(pki, count - 1)
    trusted = pki.bundle(f"many-{count}-and-ours", many, clients.trust)
    with asking_nginx(tmp_path, server_leaf, trusted, True) as upstream:
        gate = make({"first": (clients.leaf("stranger", issuer=pki.inter), "localhost"),
                     "office": (clients.ec, "localhost")})
        assert shown(visit(gate, upstream.port)) == fingerprint(clients.ec)
    said = asked(gate)
    assert said.pop("issuers_count", None) == (count if count > 6 else None)
    assert len(said["issuers"]) == 6
    assert set(said["issuers"]) <= {*issuers, "CN=suitegate test clients"}
    assert said["identity"] == "office"


# ---- renegotiation -------------------------------------------------------------------------------

def test_apache_that_asks_for_one_location_only(make, clients, server_leaf, tmp_path):
    settings = (f"SSLCACertificateFile {clients.trust}\n"
                "<Location /secret>\nSSLVerifyClient require\n</Location>")
    with apache(tmp_path, server_leaf, settings) as upstream:
        gate = make({"office": (clients.ec, "localhost")})
        assert shown(visit(gate, upstream.port, "/elsewhere")) is None
        with pytest.raises((EOFError, OSError)):
            visit(gate, upstream.port, "/secret")
        closed = gate.wait_record(code="upstream_renegotiation")
    assert at(closed, "event.action") == "connection-closed"
    for word in ("Apache", "SSLVerifyClient", "Location", "virtual host", "[identity]"):
        assert word in at(closed, "suitegate.detail")


def test_the_remedy_for_apache_works(make, clients, server_leaf, tmp_path):
    """It asks in the virtual host alone; a location can still insist."""
    settings = (f"SSLCACertificateFile {clients.trust}\nSSLVerifyClient optional\n"
                "<Location />\nRequire expr %{SSL_CLIENT_VERIFY} == 'SUCCESS'\n</Location>")
    with apache(tmp_path, server_leaf, settings) as upstream:
        gate = make({"office": (clients.ec, "localhost")})
        answer = visit(gate, upstream.port)
        assert (answer.status == 403, shown(answer)) == (False, fingerprint(clients.ec))
        gate.stop()
        assert visit(make({}), upstream.port).status == 403


# ---- the configuration ---------------------------------------------------------------------------

FAULTS = {
    "expired": (lambda c: c.leaf("expired", start=-10 * DAY, end=-DAY), "has expired"),
    "not yet valid": (lambda c: c.leaf("future", start=10 * DAY, end=20 * DAY),
                      "is not yet valid"),
    "for servers only": (lambda c: c.leaf("server", eku="serverAuth"),
                         r"is not for clients \(its extendedKeyUsage does not have clientAuth\)"),
    "that may not sign": (lambda c: c.leaf("mute", key="rsa2048",
                                           usage="critical,keyEncipherment"),
                          r"may not sign \(its keyUsage does not have digitalSignature\)"),
    "with a short key": (lambda c: c.leaf("weak", key="rsa1024"),
                         "has a key that the policy does not allow"),
    "with a small curve": (lambda c: c.leaf("p224", key="ec224"),
                           "has a key that the policy does not allow"),
    "with a long key": (lambda c: c.leaf("long", key="rsa5120"),
                        "has a key that the policy does not allow"),
    "signed with SHA-1": (lambda c: c.leaf("sha1", digest="sha1"),
                          "has a signature that the policy does not allow"),
    "with another's key": (lambda c: mixed(c.ec, c.leaf("p384", key="ec384")),
                           "and its key do not belong together"),
}


def mixed(one, other):
    return type(one)(one.name, one.cert, one.chain, other.key)


@pytest.mark.parametrize("name", FAULTS)
def test_an_identity_that_would_be_refused_is_refused_when_loaded(make, clients, name):
    leaf, message = FAULTS[name][0](clients), FAULTS[name][1]
    with pytest.raises(StartError, match=f"exit [12]\n(?s:.*){message}"):
        make({"office": (leaf, "localhost")})


def test_an_absent_extended_key_usage_is_fine(make, clients, optional):
    leaf = clients.leaf("no-eku", eku=None)
    gate = make({"office": (leaf, "localhost")})
    assert shown(visit(gate, optional)) == fingerprint(leaf)


def sections_of(clients, **changes):
    return {"identity office": {**section(clients.ec, "localhost"), **changes}}


UNUSABLE = {
    "no key": (lambda c: sections_of(c, key=None), "needs certificate and key"),
    "no certificate": (lambda c: sections_of(c, certificate=None), "needs certificate and key"),
    "no upstreams": (lambda c: sections_of(c, upstreams=None), "needs upstreams"),
    "no such file": (lambda c: sections_of(c, certificate="/nowhere.pem"), "/nowhere.pem"),
    "no PEM": (lambda c: sections_of(c, certificate="/etc/hostname"), "/etc/hostname"),
    "no name": (lambda c: {"identity": section(c.ec, "localhost")}, "needs a name"),
    "a name with a space": (lambda c: {"identity two words": section(c.ec, "localhost")},
                            "the name is 1 to 40 letters"),
    "an unknown option": (lambda c: sections_of(c, color="red"), "color"),
    "a bad pattern": (lambda c: sections_of(c, upstreams="*bad*"), r"\*bad\*"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_section_that_cannot_be_used_is_refused(make_forward, clients, name):
    make_sections, message = UNUSABLE[name]
    with pytest.raises(StartError, match=f"exit [12]\n(?s:.*){message}"):
        make_forward(**make_sections(clients))


def test_a_key_that_others_can_read_is_refused(make_forward, clients, tmp_path):
    key = tmp_path / "open.key"
    key.write_bytes(clients.ec.key.read_bytes())
    key.chmod(0o644)
    with pytest.raises(StartError, match="open.key can be read or changed by others"):
        make_forward(**sections_of(clients, key=key))


LISTENERS = {
    "no client_ca": ({"client_certificate": "required"}, "client_certificate needs client_ca"),
    "client_ca alone": ({"client_ca": "CA"}, "client_ca and client_crl need client_certificate"),
    "client_crl alone": ({"client_crl": "CA"}, "client_ca and client_crl need client_certificate"),
    "none with client_ca": ({"client_certificate": "none", "client_ca": "CA"},
                            "client_ca and client_crl need client_certificate"),
    "observing": ({"client_certificate": "optional", "client_ca": "CA", "mode": "observe"},
                  "only observes cannot ask"),
    "no such CA": ({"client_certificate": "required", "client_ca": "/nowhere.pem"},
                   "/nowhere.pem"),
    "a CA that is none": ({"client_certificate": "required", "client_ca": "/etc/hostname"},
                          "/etc/hostname"),
    "a CRL that is none": ({"client_certificate": "required", "client_ca": "CA",
                            "client_crl": "/etc/hostname"}, "/etc/hostname"),
    "another word": ({"client_certificate": "perhaps", "client_ca": "CA"}, "perhaps"),
}


@pytest.mark.parametrize("name", LISTENERS)
def test_a_listener_that_cannot_ask_is_refused(make_forward, clients, name):
    options, message = LISTENERS[name]
    options = {k: clients.trust if v == "CA" else v for k, v in options.items()}
    with pytest.raises(StartError, match=f"exit [12]\n(?s:.*){message}"):
        make_forward(listen=options)


def test_a_reload_with_a_bad_identity_keeps_the_old_one(make, clients, optional):
    gate = make({"office": (clients.ec, "localhost")}, upstream={"resume": "no"})
    expired = clients.leaf("expired", start=-10 * DAY, end=-DAY)
    gate.write_config(gate.config.replace(str(clients.ec.chain), str(expired.chain)))
    rejected = gate.reload()
    assert at(rejected, "event.action") == "configuration-rejected"
    assert f"{expired.chain} has expired" in rejected["message"] + str(rejected)
    assert shown(visit(gate, optional)) == fingerprint(clients.ec)


def test_a_reload_brings_another_identity(make, clients, optional):
    """Sessions in which the old one was shown are not resumed."""
    gate = make({"office": (clients.ec, "localhost")})
    assert shown(visit(gate, optional)) == fingerprint(clients.ec)
    gate.write_config(gate.config.replace(str(clients.ec.chain), str(clients.rsa.chain))
                      .replace(str(clients.ec.key), str(clients.rsa.key)))
    assert at(gate.reload(), "event.action") == "configuration-loaded"
    assert shown(visit(gate, optional)) == fingerprint(clients.rsa)


def test_the_command_config_names_the_fault(make, clients, tmp_path):
    gate = make({"office": (clients.ec, "localhost")})
    expired = clients.leaf("expired", start=-10 * DAY, end=-DAY)
    file = tmp_path / "other.ini"
    file.write_text(gate.config.replace(str(clients.ec.chain), str(expired.chain)))
    done = run("config", "-c", file)
    assert done.returncode == 1 and f"{expired.chain} has expired" in done.stderr


def test_an_identity_that_expires_is_not_sent_any_more(make, clients, optional, clock):
    env, set_clock = clock
    leaf = clients.leaf("short-lived", end=120)
    gate = make({"office": (leaf, "localhost")}, proxy={"workers": 1}, options={"env": env})
    for number, resumed in ((1, False), (2, True)):
        assert shown(visit(gate, optional)) == fingerprint(leaf)
        opened = gate.wait_record(action="connection-opened", count=number)
        assert at(opened, "suitegate.upstream.tls.resumed") is resumed
    set_clock(150)  # the session's ticket would still be good
    assert shown(visit(gate, optional)) is None
    assert asked(gate, 3)["sent"] is False


# ---- both legs -----------------------------------------------------------------------------------

def test_mutual_tls_on_both_legs(make_asking, clients, server_leaf, tmp_path):
    """The client's certificate ends here; nginx sees the gate's own."""
    with asking_nginx(tmp_path, server_leaf, clients.trust, True) as upstream:
        gate = make_asking(upstream=upstream.port)
        gate.sections["identity gate"] = section(clients.rsa, APP)
        reload_with(gate)
        assert shown(get(gate, leaf=clients.ec)) == fingerprint(clients.rsa)
        opened = gate.wait_record(action="connection-opened")
        assert at(opened, "tls.client.hash.sha256") == fingerprint(clients.ec)
        assert asked(gate)["identity"] == "gate"
        with connect(gate) as tls, pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
            tls.handshake()
        gate.wait_record(code="client_certificate_required")
