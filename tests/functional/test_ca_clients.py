"""Real clients that look up in the CRLs of a publish listener whether minted certificates are
revoked; and a CA that may issue for some names only."""

import functools
import http.client
import json
import re
import ssl
import types
import urllib.request

import pytest

import cas
import jvm
import wire
from cas import HOST, KEYS, SUITES
from client_programs import CLIENTS, command
from gate import Shared, free_port
from pki import openssl
from verdicts import VERDICTS, only_refusal

IANA = {key: f"TLS_ECDHE_{key.upper()}_WITH_AES_128_GCM_SHA256" for key in KEYS}


def fetch(url):
    """(content type, body), without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as response:
        return response.headers["Content-Type"], response.read()


def start_published(make, folder, *, publish="here", init=(), **sections):
    """A gate with .port of a test listener and .site of its publish listener. publish: what the
    certificates say; None: nothing."""
    port, published = free_port(), free_port()
    site = f"http://127.0.0.1:{published}"
    said = {"here": site, "nowhere": f"http://127.0.0.1:{free_port()}"}.get(publish)
    ca = cas.init(folder / "ca", *init)
    gate = make(cas.configuration(ca, port, ca={"publish": said}, **{
        "listen published": {"type": "publish", "address": f"127.0.0.1:{published}"}, **sections}))
    gate.port, gate.site, gate.ca, gate.ca_path = port, site, ca, ca / "ca.pem"
    return gate


@pytest.fixture(scope="session")
def published(running, tmp_path_factory):
    return running(functools.partial(start_published, folder=tmp_path_factory.mktemp("published")))


@pytest.fixture(scope="session")
def unpublished(running, tmp_path_factory):
    """Its certificates name a publish listener that is not there."""
    return running(functools.partial(start_published, folder=tmp_path_factory.mktemp("nowhere")),
                   publish="nowhere")


@pytest.fixture(scope="session")
def lists(published, tmp_path_factory):
    """The CRLs that the certificates name: .root, .ecdsa, .rsa (PEM), .all with the root's
    certificate, and .folder."""
    folder = tmp_path_factory.mktemp("lists")
    found = types.SimpleNamespace(folder=folder, all=folder / "all.pem")
    for key in KEYS:
        leaf, issuing = map(cas.x509.load_pem_x509_certificate, cas.served(published.port, key))
        for name, cert in ((key, leaf), ("root", issuing)):
            kind, body = fetch(cas.urls(cert)[0])
            assert kind == "application/pkix-crl"
            (folder / f"{name}.crl").write_bytes(body)
            setattr(found, name, folder / f"{name}.pem")
            openssl("crl", "-inform", "DER", "-in", folder / f"{name}.crl", "-out",
                    folder / f"{name}.pem")
    found.all.write_bytes(b"".join(path.read_bytes() for path in (
        published.ca_path, found.root, found.ecdsa, found.rsa)))
    return found


def some(lists, *names):
    """A file with the root's certificate and these CRLs only."""
    path = lists.folder / f"only-{'-'.join(names)}.pem"
    path.write_bytes((lists.all.read_bytes().partition(b"-----BEGIN X509 CRL")[0])
                     + b"".join(getattr(lists, name).read_bytes() for name in names))
    return path


# ---- what is published -----------------------------------------------------------------------

def test_each_url_in_a_certificate_leads_to_what_it_says(published):
    for key in KEYS:
        leaf, issuing = map(cas.x509.load_pem_x509_certificate, cas.served(published.port, key))
        root = cas.certificate(published.ca_path)
        for cert, issuer in ((leaf, issuing), (issuing, root)):
            crl, certificate = cas.urls(cert)
            assert crl.startswith(published.site + "/")
            kind, body = fetch(certificate)
            assert kind == "application/x-x509-ca-cert"
            assert cas.x509.load_der_x509_certificate(body) == issuer
            found = cas.x509.load_der_x509_crl(fetch(crl)[1])
            assert found.is_signature_valid(issuer.public_key()) and found.issuer == issuer.subject
            assert len(found) == 0


# ---- OpenSSL ---------------------------------------------------------------------------------

def s_client(gate, key, trust, *options):
    return command("openssl", "s_client", "-connect", f"127.0.0.1:{gate.port}", "-servername",
                   "localhost", "-verify_hostname", "localhost", "-tls1_2", "-cipher", SUITES[key],
                   "-CAfile", trust, "-x509_strict", "-verify_return_error", *options)


@pytest.mark.parametrize("key", KEYS)
def test_openssl_checks_every_crl(published, lists, key):
    done = s_client(published, key, lists.all, "-crl_check_all")
    assert b"Verification: OK" in done.stdout, done.stderr
    other = KEYS[1 - KEYS.index(key)]
    for trust in (some(lists, "root", other), some(lists, key)):
        done = s_client(published, key, trust, "-crl_check_all")
        assert b"unable to get certificate CRL" in done.stderr


@pytest.mark.parametrize("key", KEYS)
def test_openssl_fetches_the_crl_itself(published, key):
    """Of the leaf: it looks for one of the root, too, when it is to check all."""
    done = s_client(published, key, published.ca_path, "-crl_check", "-crl_download")
    assert b"Verification: OK" in done.stdout, done.stderr
    done = s_client(published, key, published.ca_path, "-crl_check")
    assert b"unable to get certificate CRL" in done.stderr


# ---- GnuTLS ----------------------------------------------------------------------------------

@pytest.mark.parametrize("key", KEYS)
def test_certtool_takes_the_chain_and_its_crls(published, lists, tmp_path, key):
    served = cas.served(published.port, key, "localhost")
    for name, issuer in ((key, served[1]), ("root", published.ca_path.read_bytes())):
        (tmp_path / "issuer.pem").write_bytes(issuer)
        done = command("certtool", "--verify-crl", "--load-ca-certificate", tmp_path / "issuer.pem",
                       "--infile", getattr(lists, name))
        assert b"Verification output: Verified." in done.stdout, done.stdout + done.stderr
    (tmp_path / "chain.pem").write_bytes(b"".join(served))
    (tmp_path / "crls.pem").write_bytes(lists.root.read_bytes() + getattr(lists, key).read_bytes())
    verify = ("certtool", "--verify", "--verify-hostname", "localhost", "--load-ca-certificate",
              published.ca_path, "--infile", tmp_path / "chain.pem", "--load-crl")
    done = command(*verify, tmp_path / "crls.pem")
    assert b"Chain verification output: Verified." in done.stdout, done.stdout
    done = command(*verify, revoking(published, key, served[0], tmp_path))
    assert b"revoked" in done.stdout, done.stdout


def revoking(gate, key, leaf, folder):
    """A CRL of the issuing CA that has this leaf."""
    issuing = gate.ca / f"issuing-{key}.pem"
    (folder / "leaf.pem").write_bytes(leaf)
    (folder / "index").write_text("")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index\ndefault_md=sha256\n"
        "default_crl_days=7\n")
    options = ("-config", folder / "ca.cnf", "-cert", issuing, "-keyfile", issuing)
    openssl("ca", *options, "-revoke", folder / "leaf.pem")
    openssl("ca", *options, "-gencrl", "-out", folder / "revoked.pem")
    return folder / "revoked.pem"


@pytest.mark.parametrize("key", KEYS)
def test_gnutls_cli_with_crls(published, lists, tmp_path, key):
    crls, trust = tmp_path / "crls.pem", tmp_path / "trust.pem"
    crls.write_bytes(lists.root.read_bytes() + getattr(lists, key).read_bytes())
    # It takes a list only of a CA that it has.
    trust.write_bytes(published.ca_path.read_bytes() + cas.served(published.port, key)[1])
    done = command("gnutls-cli", "--x509cafile", trust, "--x509crlfile", crls, "--port",
                   published.port, "--sni-hostname", "localhost", "--verify-hostname", "localhost",
                   "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-{key.upper()}",
                   "127.0.0.1", stdin=b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert b"The certificate is trusted" in done.stdout, done.stdout
    assert b"HTTP/1.1 200 " in done.stdout


# ---- Java ------------------------------------------------------------------------------------

def java(ca, *targets):
    done = command(*jvm.argv("Revoked", ca, *targets))
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


@pytest.mark.once
def test_java_fetches_every_crl(published):
    """From the publish listener: it has no other, and takes nothing without."""
    port = published.port
    assert java(published.ca_path, f"{HOST}:{port}", f"127.0.0.1:{port}",
                *(f"{HOST}:{port}:{IANA[key]}" for key in KEYS)) == \
        [IANA["ecdsa"], IANA["ecdsa"], IANA["ecdsa"], IANA["rsa"]]


@pytest.mark.once
def test_java_refuses_what_it_cannot_look_up(unpublished):
    lines = java(unpublished.ca_path,
                 *(f"{HOST}:{unpublished.port}:{IANA[key]}" for key in KEYS))
    assert len(lines) == 2
    assert all(re.match("failed: .*(Connection refused|determine revocation status)", line)
               for line in lines), lines


# ---- Python, Node, curl, Mono ----------------------------------------------------------------

@pytest.mark.parametrize("key", KEYS)
def test_python_checks_every_crl(published, lists, key):
    def get(trust):
        context = wire.client_context(trust, ciphers=SUITES[key])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN | ssl.VERIFY_X509_STRICT
        connection = http.client.HTTPSConnection("localhost", published.port, context=context,
                                                 timeout=30)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status
        finally:
            connection.close()

    assert get(lists.all) == 200
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
        get(some(lists, key))


NODE = """
const fs = require('fs'), [port, ca, ...crl] = process.argv.slice(1);
require('https').get({host: '127.0.0.1', port, servername: 'localhost', path: '/health',
    headers: {Host: 'localhost'}, ca: fs.readFileSync(ca), crl: crl.map((f) => fs.readFileSync(f))},
    (r) => { console.log(r.statusCode); r.resume(); })
  .on('error', (e) => { console.error(e.code); process.exit(3); });
"""


@pytest.mark.once
def test_node_checks_every_crl(published, lists):
    arguments = ("node", "-e", NODE, published.port, published.ca_path)
    done = command(*arguments, lists.root, lists.ecdsa)
    assert done.stdout == b"200\n", done.stderr
    done = command(*arguments, lists.root)
    assert done.returncode == 3 and b"UNABLE_TO_GET_CRL" in done.stderr


@pytest.mark.parametrize("key", KEYS)
def test_curl_checks_every_crl(published, lists, key):
    def get(crls):
        return command("curl", "-sS", "--max-time", 30, "--noproxy", "*", "--tls-max", "1.2",
                       "--ciphers", SUITES[key], "--cacert", published.ca_path, "--crlfile", crls,
                       "-o", "/dev/null", "-w", "%{http_code}",
                       f"https://localhost:{published.port}/health")

    done = get(lists.all)
    assert done.stdout == b"200", done.stderr
    done = get(some(lists, "root"))
    assert done.returncode == 60 and b"CRL" in done.stderr


@pytest.mark.once
def test_mono_with_revocation_checking(published, tmp_path):
    """Mono 6 takes the setting but fetches no CRL. What it needs is a chain to a trusted CA."""
    program = tmp_path / "Request.exe"
    done = command("mcs", "-r:Mono.Security", f"-out:{program}", CLIENTS / "Request.cs")
    assert done.returncode == 0, done.stdout + done.stderr
    openssl("x509", "-in", published.ca_path, "-outform", "DER", "-out", tmp_path / "ca.der")
    (tmp_path / "home").mkdir()
    env = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "home")}
    url = f"https://localhost:{published.port}/health"
    done = command("mono", program, "-", url, env=env)
    assert done.returncode == 3 and b"TrustFailure" in done.stderr
    done = command("mono", program, tmp_path / "ca.der", url, env=env)
    assert done.stdout == b"200\n", done.stderr


# ---- a CA for some names only ----------------------------------------------------------------

PERMITS = ("--permit", "localhost", "--permit", "corp.example", "--permit", "127.0.0.0/8")


@pytest.fixture(scope="session")
def limited(running, tmp_path_factory):
    return running(functools.partial(start_published, folder=tmp_path_factory.mktemp("limited")),
                   init=PERMITS)


@pytest.fixture
def view(limited):
    """The gate with the records of this test."""
    shared = Shared(limited)
    yield shared
    shared.settle()


@pytest.mark.parametrize("name", ["localhost", "corp.example", "a.b.corp.example", None])
@pytest.mark.parametrize("key", KEYS)
def test_permitted_names_are_good_for_openssl_and_gnutls(limited, tmp_path, key, name):
    chain = cas.served(limited.port, key, name)
    named = ("-verify_hostname", name) if name else ("-verify_ip", "127.0.0.1")
    assert cas.verifies(tmp_path, chain, limited.ca_path, *named) is True
    done = command("certtool", "--verify", "--load-ca-certificate", limited.ca_path, "--infile",
                   tmp_path / "served.pem")
    assert b"Chain verification output: Verified." in done.stdout, done.stdout


@pytest.mark.once
def test_permitted_names_are_good_for_java(limited):
    assert java(limited.ca_path, *(
        f"{name}:{limited.port}:{IANA[key]}" for name in (HOST, "127.0.0.1") for key in KEYS)) == \
        2 * [IANA[key] for key in KEYS]


@pytest.mark.once
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_permitted_names_are_good_for_node_python_and_curl(limited, host):
    url = f"https://{host}:{limited.port}/health"
    done = command("node", "-e", "require('https').get(process.argv[1], (r) => { "
                   "console.log(r.statusCode); r.resume(); })", url,
                   env={"NODE_EXTRA_CA_CERTS": str(limited.ca_path)})
    assert done.stdout == b"200\n", done.stderr
    context = ssl.create_default_context(cafile=limited.ca_path)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                         urllib.request.HTTPSHandler(context=context))
    with opener.open(url, timeout=30) as response:
        assert response.status == 200
    done = command("curl", "-sS", "--max-time", 30, "--noproxy", "*", "--cacert", limited.ca_path,
                   "-o", "/dev/null", "-w", "%{http_code}", url)
    assert done.stdout == b"200", done.stderr


@pytest.mark.parametrize("name", ["evil.example", "xcorp.example", "example", "corp.example.test"])
@pytest.mark.parametrize("key", KEYS)
def test_a_name_outside_is_refused_at_the_hello(view, key, name):
    done = cas.ask(view.port, key, name)
    assert f"SSL alert number {VERDICTS['client_no_usable_certificate'].alert}".encode() in \
        done.stderr
    record = only_refusal(view, "client_no_usable_certificate")
    assert record["suitegate"]["identity"] == name
    assert "suitegate ca init --permit" in json.dumps(record)


def test_an_address_outside_is_refused_at_the_hello(make_gate, tmp_path):
    """All are, where only names are permitted."""
    gate = start_published(make_gate, tmp_path, publish=None, init=("--permit", "corp.example"))
    cas.ask(gate.port, name=None)
    assert only_refusal(gate, "client_no_usable_certificate")["suitegate"]["identity"] == \
        "127.0.0.1"


def test_a_forward_listener_refuses_names_outside(make_forward, origin, tmp_path):
    ca = cas.init(tmp_path / "ca", "--permit", "127.0.0.0/8")
    gate = make_forward(ca={"certificate": ca / "ca.pem", "key": ca / "ca.key"})

    def get(host):
        return command("curl", "-sS", "--max-time", 30, "--noproxy", "", "--proxy", gate.url,
                       "--cacert", ca / "ca.pem", f"https://{host}:{origin.port}/hello.txt")

    done = get("127.0.0.1")
    assert done.stdout == origin.body, done.stderr
    gate.wait_record(action="connection-closed")
    assert get("localhost").returncode == 35
    gate.wait_record(code="client_no_usable_certificate")
