"""Listeners that ask clients for certificates: who gets through, and the faults of the others."""

import ssl

import pytest

import hellos
import jvm
import wire
from client_programs import CLIENTS, GET, command
from hellos import vector
from mutual import (ALL, APP, MODES, TYPES, asking, clients, connect, context_of,  # noqa: F401
                    get, make_asking, names, presented, reload_with, start, truth)
from pki import DAY, openssl
from rawtls import CCS, DATA, HANDSHAKE, Client, record
from scene import at, sent_alert
from upstreams import Tap, TlsPeer

PATHS = {"test": "/health"}  # of a listener's own page; elsewhere the origin's
BODIES = {"test": b'"status":"ok"'}


# ---- programs ------------------------------------------------------------------------------------

def path_at(kind):
    return PATHS.get(kind, "/hello.txt")


def target_of(gate, kind, port):
    """The port in the client's URL."""
    return gate.upstream if kind in ("forward", "socks5") else port


def curl(gate, kind, port, leaf):
    url = f"https://{APP}:{target_of(gate, kind, port)}{path_at(kind)}"
    way = {"forward": ("--proxy", f"http://127.0.0.1:{port}"),
           "socks5": ("--socks5-hostname", f"127.0.0.1:{port}")}.get(
               kind, ("--resolve", f"{APP}:{port}:127.0.0.1"))
    own = ("--cert", leaf.chain, "--key", leaf.key) if leaf else ()
    return command("curl", "-sS", "--max-time", 30, "--cacert", gate.ca_path, *way, *own, url)


def request_at(kind):
    return GET.replace(b"/hello.txt", path_at(kind).encode())


def s_client(gate, kind, port, leaf):
    way = ("-proxy", f"127.0.0.1:{port}", "-connect", f"{APP}:{gate.upstream}") \
        if kind == "forward" else ("-connect", f"127.0.0.1:{port}")
    own = ("-cert", leaf.cert, "-cert_chain", leaf.chain, "-key", leaf.key) if leaf else ()
    return command("openssl", "s_client", *way, *own, "-servername", APP, "-verify_hostname", APP,
                   "-CAfile", gate.ca_path, "-verify_return_error", "-ign_eof", "-quiet",
                   stdin=request_at(kind))


def gnutls_cli(gate, kind, port, leaf):
    own = ("--x509certfile", leaf.chain, "--x509keyfile", leaf.key) if leaf else ()
    return command("gnutls-cli", "--x509cafile", gate.ca_path, "--sni-hostname", APP,
                   "--verify-hostname", APP, *own, "--port", port, "127.0.0.1",
                   stdin=request_at(kind))


def node(gate, kind, port, leaf):
    own = (leaf.chain, leaf.key) if leaf else ()
    return command("node", CLIENTS / "mutual.js", "connect" if kind == "forward" else "direct",
                   port, f"{APP}:{target_of(gate, kind, port)}", path_at(kind), *own,
                   env={"NODE_EXTRA_CA_CERTS": str(gate.ca_path)})


DIRECT = ("fixed", "sni", "test")
PROGRAMS = {"curl": (curl, TYPES), "openssl": (s_client, ("forward", *DIRECT)),
            "gnutls": (gnutls_cli, DIRECT), "node": (node, ("forward", "fixed"))}
VISITS = [(name, kind, mode) for name, (_, kinds) in PROGRAMS.items() for kind in kinds
          for mode in MODES]


@pytest.mark.parametrize("name, kind, mode", VISITS)
def test_a_program_with_a_certificate_gets_through(asking, clients, origin, name, kind, mode):
    gate = asking(ALL)
    done = PROGRAMS[name][0](gate, kind, gate.ports[f"{kind}_{mode}"], clients.ec)
    assert BODIES.get(kind, origin.body) in done.stdout, done.stderr
    opened = gate.wait_record(action="connection-opened")
    assert presented(opened) == ({} if mode == "none" else truth(clients.ec))


@pytest.mark.parametrize("name, kind, mode", VISITS)
def test_a_program_without_a_certificate(asking, origin, name, kind, mode):
    gate = asking(ALL)
    done = PROGRAMS[name][0](gate, kind, gate.ports[f"{kind}_{mode}"], None)
    if mode == "required":
        assert origin.body not in done.stdout and BODIES["test"] not in done.stdout
        refused = gate.wait_record(action="connection-refused")
        assert (at(refused, "event.code"), sent_alert(refused)) == (
            "client_certificate_required", 40)
        assert (at(refused, "suitegate.leg"), at(refused, "suitegate.blame")) == (
            "client", "client")
    else:
        assert BODIES.get(kind, origin.body) in done.stdout, done.stderr
        assert presented(gate.wait_record(action="connection-opened")) == {}


@pytest.fixture(scope="module")
def java(tmp_path_factory, origin):
    """java(gate, leaf) -> {listener: what it answered}: one run for all listeners."""
    folder = tmp_path_factory.mktemp("java")
    (folder / "hosts").write_text(f"127.0.0.1 {APP}\n")

    def run(gate, leaf):
        store, tasks = "-", []
        if leaf:
            store = folder / f"{leaf.name}.p12"
            openssl("pkcs12", "-export", "-in", leaf.chain, "-inkey", leaf.key, "-out", store,
                    "-passout", "pass:changeit")
        for listener, port in gate.ports.items():
            kind = listener.partition("_")[0]
            how = {"forward": "http", "socks5": "socks"}.get(kind, "direct")
            tasks += [how, port, f"https://{APP}:{target_of(gate, kind, port)}{path_at(kind)}"]
        done = command(*jvm.argv("Mutual", gate.ca_path, store, *tasks,
                                options=[f"-Djdk.net.hosts.file={folder}/hosts"]))
        return dict(zip(gate.ports, done.stdout.decode().splitlines(), strict=True))

    return run


@pytest.fixture(scope="module")
def mono(tmp_path_factory):
    """mono(gate, leaf): HttpWebRequest, as in the .NET Framework, at the gate's test listener."""
    folder = tmp_path_factory.mktemp("mono")
    built = command("mcs", "-r:Mono.Security", f"-out:{folder}/Request.exe",
                    CLIENTS / "Request.cs")
    assert built.returncode == 0, built.stdout + built.stderr

    def run(gate, leaf):
        openssl("x509", "-in", gate.ca_path, "-outform", "DER", "-out", folder / "ca.der")
        store = [folder / f"{leaf.name}.p12"] if leaf else []
        if leaf:
            openssl("pkcs12", "-export", "-in", leaf.chain, "-inkey", leaf.key, "-out", *store,
                    "-passout", "pass:changeit", "-keypbe", "PBE-SHA1-3DES", "-certpbe",
                    "PBE-SHA1-3DES", "-macalg", "sha1")
        env = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        return command("mono", folder / "Request.exe", folder / "ca.der",
                       f"https://localhost:{gate.ports['test']}/health", *store, env=env)

    return run


@pytest.mark.once
@pytest.mark.parametrize("name", ["rsa", None])
def test_mono(asking, clients, mono, name):
    gate = asking({"test": ("test", "required")})
    done = mono(gate, getattr(clients, name) if name else None)
    if name:
        assert done.stdout == b"200\n", done.stderr
        assert presented(gate.wait_record(action="connection-opened")) == truth(clients.rsa)
    else:
        assert done.returncode == 3
        assert at(gate.wait_record(action="connection-refused"),
                  "event.code") == "client_certificate_required"


def page_of(listener, origin):
    return "200 " + BODIES.get(listener.partition("_")[0], origin.body).decode().strip()


@pytest.mark.once
@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_java_with_a_certificate_gets_through(asking, clients, origin, java, key):
    leaf = getattr(clients, key)
    gate = asking(ALL)
    for listener, line in java(gate, leaf).items():
        assert line == page_of(listener, origin).replace('"status":"ok"', '{"status":"ok"}')
    gate.wait_record(action="connection-opened", count=len(ALL))
    facts = {at(r, "suitegate.listener"): presented(r)
             for r in gate.matching(action="connection-opened")}
    assert facts == {name: {} if mode == "none" else truth(leaf)
                     for name, (_, mode) in ALL.items()}


@pytest.mark.once
def test_java_without_a_certificate(asking, origin, java):
    gate = asking(ALL)
    for listener, line in java(gate, None).items():
        refused = listener.endswith("required")
        assert (line == "refused") == refused, listener
    gate.wait_record(code="client_certificate_required", count=len(TYPES))


# ---- python, and what it presents ----------------------------------------------------------------

@pytest.mark.parametrize("listener", ALL)
def test_python_with_a_certificate_gets_through(asking, clients, listener):
    gate, (kind, mode) = asking(ALL), ALL[listener]
    assert get(gate, listener, clients.rsa, path=path_at(kind)).status == 200
    opened = gate.wait_record(action="connection-opened")
    assert presented(opened) == ({} if mode == "none" else truth(clients.rsa))


def different(clients):
    root = clients.root
    return {
        "p384": lambda: clients.leaf("p384", key="ec384"),
        "p521": lambda: clients.leaf("p521", key="ec521"),
        "rsa3072": lambda: clients.leaf("rsa3072", key="rsa3072"),
        "below the root": lambda: clients.leaf("direct", issuer=root),
        "without an extendedKeyUsage": lambda: clients.leaf("no-eku", eku=None),
        "for servers too": lambda: clients.leaf("both", eku="serverAuth,clientAuth"),
        "for any purpose": lambda: clients.leaf("any", eku="anyExtendedKeyUsage"),
        "a name of many parts": lambda: clients.leaf(
            "parts", subject="/O=A, B \\+ C/CN=a name; of #parts"),
    }


DIFFERENT = ("p384", "p521", "rsa3072", "below the root", "without an extendedKeyUsage",
             "for servers too", "for any purpose", "a name of many parts")


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_record_has_the_certificates_facts(asking, clients, name):
    leaf, gate = different(clients)[name](), asking(ALL)
    assert get(gate, "fixed_required", leaf).status == 200
    assert presented(gate.wait_record(action="connection-opened")) == truth(leaf)


SCHEMES = {"RSA-PSS+SHA256": 0x0804, "RSA-PSS+SHA384": 0x0805, "RSA-PSS+SHA512": 0x0806,
           "RSA+SHA256": 0x0401, "RSA+SHA384": 0x0501, "RSA+SHA512": 0x0601,
           "ECDSA+SHA256": 0x0403, "ECDSA+SHA384": 0x0503, "ECDSA+SHA512": 0x0603}


def verify_scheme(raw):
    """Of the CertificateVerify in what a client sent."""
    return next(int.from_bytes(body[:2], "big") for kind, body in hellos.server_flight(raw)
                if kind == 15)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_client_signs_with_the_scheme_of_its_choice(asking, clients, origin, scheme):
    gate = asking(ALL)
    leaf = clients.ec if scheme.startswith("ECDSA") else clients.rsa
    with Tap(gate.ports["fixed_required"]) as tap:
        done = command("openssl", "s_client", "-connect", f"127.0.0.1:{tap.port}", "-servername",
                       APP, "-cert", leaf.cert, "-cert_chain", leaf.chain, "-key", leaf.key,
                       "-client_sigalgs", scheme, "-ign_eof", "-quiet", stdin=GET)
        assert origin.body in done.stdout, done.stderr
        assert verify_scheme(bytes(tap.sent[0])) == SCHEMES[scheme]


def test_the_request_names_allowed_types_and_schemes_only(asking):
    with hellos.connect(asking(ALL).ports["fixed_required"]) as sock:
        body = Client(sock, 0xC02B, name=APP).start()[13]
    types, rest = body[1:1 + body[0]], body[1 + body[0]:]
    size = int.from_bytes(rest[:2], "big")
    schemes = [int.from_bytes(rest[i:i + 2], "big") for i in range(2, 2 + size, 2)]
    assert sorted(types) == [1, 64]
    assert sorted(schemes) == sorted(hellos.SCHEMES)


def chains(clients):
    pki = clients.pki
    lower = pki.ca("clients-lower", issuer=clients.inter)
    leaf = clients.leaf("lower", issuer=lower)
    stranger = pki.ca("clients-stranger")
    return leaf, {"in order": (lower, clients.inter), "reversed": (clients.inter, lower),
                  "with the root": (lower, clients.inter, clients.root),
                  "the root first": (clients.root, lower, clients.inter),
                  "with a stranger first": (stranger, clients.inter, lower),
                  "twice": (lower, lower, clients.inter, clients.inter)}


@pytest.mark.parametrize("order", ["in order", "reversed", "with the root", "the root first",
                                   "with a stranger first", "twice"])
def test_intermediates_may_come_in_any_order(asking, clients, order):
    leaf, orders = chains(clients)
    sent = clients.pki.with_chain(leaf, f"client-{order.replace(' ', '-')}",
                                  *(one.cert for one in orders[order]))
    gate = asking(ALL)
    assert get(gate, "fixed_required", sent).status == 200
    assert presented(gate.wait_record(action="connection-opened")) == truth(leaf)


def test_one_clients_intermediate_does_not_complete_anothers_chain(asking, clients):
    short = clients.pki.with_chain(clients.leaf("short"), "client-short-sent")
    gate = asking(ALL)
    assert get(gate, "fixed_required", clients.ec).status == 200
    assert refusal_of(gate, short) == (48, "client_certificate_invalid")


# ---- faults --------------------------------------------------------------------------------------

def refusal_of(gate, leaf, listener="fixed_required"):
    """The alert that the client got, and the code, of which there is one record."""
    with connect(gate, listener, leaf) as tls:
        with pytest.raises(ssl.SSLError):
            tls.handshake()
        alert = wire.plain_alerts(bytes(tls.received))[-1]
    refused = gate.wait_record(action="connection-refused")
    assert alert == (2, sent_alert(refused))
    return alert[1], at(refused, "event.code")


def expired_above(clients):
    issuer = clients.pki.ca("clients-expired", issuer=clients.root, start=-10 * DAY, end=-DAY)
    return clients.leaf("under-expired", issuer=issuer)


INVALID = {
    "expired": (lambda c: c.leaf("expired", start=-10 * DAY, end=-DAY), 45, "has expired"),
    "an issuer that has expired": (expired_above, 45, "has expired"),
    "not yet valid": (lambda c: c.leaf("future", start=10 * DAY, end=20 * DAY), 45,
                      "not yet valid"),
    "a stranger's": (lambda c: c.leaf("strange", issuer=c.pki.ca("clients-stranger")), 48,
                     "no CA in client_ca"),
    "an upstream's CA": (lambda c: c.leaf("upstream", issuer=c.pki.inter), 48,
                         "no CA in client_ca"),
    "self-signed": (lambda c: c.pki.leaf("client-self", issuer=None, eku="clientAuth"), 48,
                    "no CA in client_ca"),
    "without its intermediate": (lambda c: c.pki.with_chain(c.leaf("short"), "client-short-sent"),
                                 48, "no CA in client_ca"),
    "for servers only": (lambda c: c.leaf("server", eku="serverAuth"), 42, "clientAuth"),
    "that may not sign": (lambda c: c.leaf("mute", key="rsa2048",
                                           usage="critical,keyEncipherment"), 42,
                          "digitalSignature"),
    "with a weak key": (lambda c: c.leaf("weak", key="rsa1024"), 42, "policy does not allow"),
    "signed with SHA-1": (lambda c: c.leaf("sha1", digest="sha1"), 42, "policy does not allow"),
    "with an unknown critical extension": (
        lambda c: c.leaf("critical", extra=("1.2.3.4.5.6 = critical,DER:0500",)), 42,
        "critical extension"),
}


@pytest.mark.parametrize("mode", ["optional", "required"])
@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_certificate_is_refused(asking, clients, name, mode):
    make, alert, detail = INVALID[name]
    leaf, gate = make(clients), asking(ALL)
    assert refusal_of(gate, leaf, f"fixed_{mode}") == (alert, "client_certificate_invalid")
    refused = gate.matching(action="connection-refused")[0]
    assert detail in at(refused, "suitegate.detail")
    assert (at(refused, "suitegate.leg"), at(refused, "suitegate.blame")) == ("client", "client")
    assert presented(refused) == truth(leaf)


def test_a_key_that_is_too_long_for_the_library(asking, clients):
    leaf, gate = clients.leaf("long", key="rsa5120"), asking(ALL)
    assert refusal_of(gate, leaf, "fixed_required") == (42, "client_certificate_invalid")
    assert "4,096 bits" in at(gate.matching(action="connection-refused")[0], "suitegate.detail")


def test_a_ca_that_has_expired_is_warned_of(make_asking, clients, tmp_path):
    old = clients.pki.ca("clients-old-root", start=-10 * DAY, end=-DAY)
    both = tmp_path / "both.pem"
    both.write_bytes(clients.trust.read_bytes() + old.cert.read_bytes())
    gate = make_asking(ca=both)
    assert "A CA in client_ca of listener fixed expired on" in gate.stderr
    assert get(gate, leaf=clients.ec).status == 200


def test_a_key_below_minimum_rsa_bits(make_asking, clients):
    gate = make_asking(policy={"minimum_rsa_bits": 3072})
    assert refusal_of(gate, clients.rsa, "fixed") == (42, "client_certificate_invalid")


def test_a_revoked_certificate(asking, clients):
    leaf = clients.leaf("revoked")
    clients.pki.revoke(clients.inter, leaf.cert)
    gate = asking(crl=clients.pki.crl("clients-revoking", issuer=clients.inter))
    assert refusal_of(gate, leaf, "fixed") == (44, "client_certificate_invalid")
    assert "revoked" in at(gate.matching(action="connection-refused")[0], "suitegate.detail")


def test_a_crl_lets_the_others_pass(asking, clients):
    gate = asking(crl=clients.pki.crl("clients-good", issuer=clients.inter))
    assert get(gate, leaf=clients.ec).status == 200


def test_a_reload_with_a_crl_counts_at_once(make_asking, clients):
    issuer = clients.pki.ca("clients-late", issuer=clients.root)
    leaf, gate = clients.leaf("late", issuer=issuer), make_asking()
    assert get(gate, leaf=leaf).status == 200
    clients.pki.revoke(issuer, leaf.cert)
    reload_with(gate, client_crl=clients.pki.crl("clients-late", issuer=issuer))
    assert refusal_of(gate, leaf, "fixed") == (44, "client_certificate_invalid")


CRLS = {"that has expired": {"last": -10 * DAY, "following": -DAY}, "with a wrong signature":
        {"broken": True}}


@pytest.mark.parametrize("name", CRLS)
def test_a_crl_that_proves_nothing_is_the_operators_fault(asking, clients, name):
    crl = clients.pki.crl(f"clients-{len(name)}", issuer=clients.inter, **CRLS[name])
    gate = asking(crl=crl)
    assert refusal_of(gate, clients.ec, "fixed") == (42, "client_revocation_unknown")
    refused = gate.matching(action="connection-refused")[0]
    assert at(refused, "suitegate.blame") == "operator"


def test_a_crl_signed_by_a_stranger_is_the_operators_fault(asking, clients):
    """It has the name of the CA, which is all that a forger needs."""
    forger = clients.pki.ca("clients-forger", subject="/CN=suitegate test clients-inter")
    crl = clients.pki.crl("clients-forged", issuer=forger)
    gate = asking(crl=crl)
    assert refusal_of(gate, clients.ec, "fixed") == (42, "client_revocation_unknown")


def test_a_crl_of_a_stranger_is_noted_and_lets_clients_pass(asking, clients):
    crl = clients.pki.crl("clients-strange", issuer=clients.pki.ca("clients-stranger"))
    gate = asking(crl=crl)
    assert get(gate, leaf=clients.ec).status == 200
    assert "client_crl has a list of" in gate.stderr + gate.stdout


# ---- resumption ----------------------------------------------------------------------------------

def visit(gate, listener, context, session=None):
    """(was the session resumed?, the session to resume next)"""
    with connect(gate, listener, context=context, session=session) as tls:
        tls.handshake()
        assert wire.get(tls, "/hello.txt").status == 200
        kept = tls.tls.session
        tls.close_notify()
        return tls.tls.session_reused, kept


@pytest.mark.parametrize("kind", ["forward", "fixed", "sni", "socks5"])
@pytest.mark.parametrize("mode", ["optional", "required"])
def test_a_ticket_of_another_listener_is_not_resumed(asking, clients, kind, mode):
    gate = asking(ALL)
    context = context_of(gate, clients.ec)
    _, session = visit(gate, f"{kind}_none", context)
    assert visit(gate, f"{kind}_none", context, session)[0]
    assert not visit(gate, f"{kind}_{mode}", context, session)[0]
    opened = gate.wait_record(action="connection-opened", count=3)
    assert presented(opened) == truth(clients.ec)


def test_a_ticket_does_not_stand_in_for_a_certificate(asking):
    gate = asking(ALL)
    context = context_of(gate)
    _, session = visit(gate, "fixed_none", context)
    with connect(gate, "fixed_required", context=context, session=session) as tls, \
            pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        tls.handshake()
    gate.wait_record(code="client_certificate_required")


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_no_ticket_and_no_session_id_is_issued(asking, clients, mode):
    gate = asking(ALL)
    _, session = visit(gate, f"fixed_{mode}", context_of(gate, clients.ec))
    assert not session.has_ticket and session.id == b""


@pytest.mark.parametrize("option", [(), ("-no_ticket",)], ids=["ticket", "session id"])
def test_an_earlier_connection_is_not_resumed(asking, clients, origin, option):
    gate, leaf = asking(ALL), clients.ec
    done = command("openssl", "s_client", "-connect",
                   f"127.0.0.1:{gate.ports['fixed_required']}", "-servername", APP, "-cert",
                   leaf.cert, "-cert_chain", leaf.chain, "-key", leaf.key, "-CAfile",
                   gate.ca_path, "-tls1_2", "-reconnect", *option, "-ign_eof", stdin=GET)
    assert origin.body in done.stdout, done.stderr
    assert done.stdout.count(b"New, TLSv1.2") == 6 and b"Reused" not in done.stdout
    gate.wait_record(action="connection-opened", count=6)
    assert all(presented(r) == truth(leaf) for r in gate.matching(action="connection-opened"))


def test_a_session_id_of_the_clients_own_is_not_resumed(asking):
    """As a client offers one with a ticket (RFC 5077 section 3.4)."""
    gate = asking(ALL)
    with hellos.connect(gate.ports["fixed_required"]) as sock:
        messages = Client(sock, 0xC02B, name=APP, session_id=bytes(range(32)),
                          extra=hellos.extension(hellos.TICKET, bytes(160))).start()
    assert 13 in messages


def test_renegotiation_is_refused(asking, clients):
    gate, leaf = asking(ALL), clients.ec
    done = command("openssl", "s_client", "-connect",
                   f"127.0.0.1:{gate.ports['fixed_required']}", "-servername", APP, "-cert",
                   leaf.cert, "-cert_chain", leaf.chain, "-key", leaf.key, "-tls1_2", stdin=b"R\n")
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    ended = gate.wait_record(code="client_renegotiation")
    assert at(ended, "event.action") == "connection-closed"


def test_a_reload_that_asks_makes_old_tickets_useless(make_asking, clients):
    gate = make_asking({"fixed": ("fixed", "none")})
    context = context_of(gate, clients.ec)
    _, session = visit(gate, "fixed", context)
    assert visit(gate, "fixed", context, session)[0]
    reload_with(gate, client_certificate="required", client_ca=clients.trust)
    assert not visit(gate, "fixed", context, session)[0]
    opened = gate.wait_record(action="connection-opened", count=3)
    assert presented(opened) == truth(clients.ec)


# ---- nothing passes before -----------------------------------------------------------------------

def flight_without_certificate(c, data):
    """All that a client without a certificate sends, and data, at once."""
    empty = record(HANDSHAKE, c.hashed(hellos.handshake(11, vector(3, b""))))
    flight = empty + record(HANDSHAKE, c.hashed(c.key_exchange))
    c.derive()
    c.sending = True
    return (flight + record(CCS, b"\1") + c.make(HANDSHAKE, c.hashed(c.finished()))
            + c.make(DATA, data))


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_an_upstream_sees_nothing_of_a_client_without_certificate(make_asking, pki, mode):
    """The control is the optional listener, which lets it pass."""
    seen = []

    def keep(tls, _number):
        while data := tls.recv():
            seen.append(data)
            tls.send(data)

    leaf = pki.leaf("mutual-echo", san=(f"DNS:{APP}",))
    with TlsPeer(wire.server_context(leaf), keep) as upstream:
        gate = make_asking({"fixed": ("fixed", mode)}, upstream=upstream.port)
        with hellos.connect(gate.ports["fixed"]) as sock:
            c = Client(sock, 0xC02B, name=APP)
            c.start()
            c.send(flight_without_certificate(c, b"secret"))
            if mode == "optional":
                assert c.read_finished().ending() == "data"
            else:
                assert c.ending() == 40
        gate.wait_record(action="connection-refused" if mode == "required"
                         else "connection-closed")
        gate.stop()
    assert seen == ([b"secret"] if mode == "optional" else [])


@pytest.mark.parametrize("listener", ["forward_required", "fixed_required"])
def test_a_refusal_page_is_not_for_a_client_without_certificate(make_asking, pki, clients,
                                                                listener):
    """With one it is shown what is wrong with the upstream."""
    with TlsPeer(wire.server_context(pki.expired)) as upstream:
        gate = make_asking({listener: ALL[listener]}, upstream=upstream.port)
        answer = get(gate, listener, clients.ec)
        assert (answer.status, "upstream_certificate_expired" in answer.body) == (502, True)
        with connect(gate, listener) as tls:
            with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
                tls.handshake()
        gate.wait_record(action="connection-refused", count=2)


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_a_client_that_hangs_up_when_it_is_asked(asking, mode):
    """It may have no certificate, or not trust ours."""
    gate = asking(ALL)
    with hellos.connect(gate.ports[f"fixed_{mode}"]) as sock:
        Client(sock, 0xC02B, name=APP).start()
    refused = gate.wait_record(action="connection-refused")
    assert at(refused, "event.code") == "client_handshake_failed"
    assert "does not trust the one or does not have the other" in at(refused, "suitegate.detail")
