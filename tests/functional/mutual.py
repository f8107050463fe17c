"""Clients with certificates, and gates that ask for them.

The clients, asking and make_asking fixtures are imported by the test modules that use them.
"""

import pathlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

import wire
from gate import free_port, ini
from names import NameServer
from probe import addresses
from scene import at

APP = "app.example.test"  # a name of the origin's certificate; Java sends no SNI without a dot
TYPES = ("forward", "fixed", "sni", "socks5", "test")
MODES = ("none", "optional", "required")


class Clients:
    """A CA for clients with an intermediate, and the certificates below them."""

    def __init__(self, pki):
        self.pki = pki
        self.root = pki.ca("clients")
        self.inter = pki.ca("clients-inter", issuer=self.root)
        self.trust = self.root.cert

    def leaf(self, name, issuer=None, eku="clientAuth", **options):
        """A client certificate; issuer None is the intermediate."""
        return self.pki.leaf(f"client-{name}", san=(), issuer=issuer or self.inter, eku=eku,
                             **options)

    @property
    def ec(self):
        return self.leaf("ec")

    @property
    def rsa(self):
        return self.leaf("rsa", key="rsa2048")


@pytest.fixture(scope="session")
def clients(pki):
    return Clients(pki)


# ---- gates -------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def names(tmp_path_factory):
    """The address of a name server that knows APP."""
    with NameServer(tmp_path_factory.mktemp("names"), {APP: {"A": ["127.0.0.1"]}},
                    free_port("127.0.0.53")) as server:
        yield server.address


def listener_of(kind, upstream):
    return {"fixed": {"upstream": f"127.0.0.1:{upstream}", "upstream_name": APP},
            "sni": {"allow_upstreams": APP, "upstream_port": upstream}}.get(kind, {})


def start_asking(make, *, pki, ca_folder, names, upstream, kinds, ca, crl=None,
                 upstream_leg=None, policy=None):
    """kinds: {listener's name: (type, mode)}."""
    sections = {
        "proxy": {"workers": 1}, "policy": policy or {},
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "upstream": {"trust": pki.trust, "resolver": names, **(upstream_leg or {})},
        "audit": {"file": "audit.jsonl"}}
    for name, (kind, mode) in kinds.items():
        asks = mode in ("optional", "required")
        sections[f"listen {name}"] = {
            "type": kind, "address": "127.0.0.1:0", "client_certificate": mode,
            "client_ca": ca if asks else None, "client_crl": crl if asks else None,
            **listener_of(kind, upstream)}
    gate = make(ini(sections))
    gate.sections, gate.upstream = sections, upstream
    gate.ca_path = ca_folder / "ca.pem"
    gate.ports = {name: port for name, (_, port) in addresses(gate).items()}
    return gate


ALL = {f"{kind}_{mode}": (kind, mode) for kind in TYPES for mode in MODES}
REQUIRED = {"fixed": ("fixed", "required")}


@pytest.fixture(scope="session")
def start(pki, ca_folder, names, origin, clients):
    """start(make, kinds=.., upstream=.., ca=.., crl=..)"""
    defaults = {"pki": pki, "ca_folder": ca_folder, "names": names, "upstream": origin.port,
                "ca": clients.trust}
    return lambda make, **options: start_asking(make, **{**defaults, **options})


@pytest.fixture
def asking(share, start):
    """asking(kinds, ..): a shared gate."""
    return lambda kinds=None, **options: share(start, kinds=kinds or REQUIRED, **options)


@pytest.fixture
def make_asking(make_gate, start):
    """make_asking(kinds, ..): a gate of this test."""
    return lambda kinds=None, **options: start(make_gate, kinds=kinds or REQUIRED, **options)


def reload_with(gate, **options):
    """SIGHUP with gate.sections and these options of its listener, which keeps its port."""
    gate.sections["listen fixed"].update(options, address=f"127.0.0.1:{gate.ports['fixed']}")
    gate.write_config(ini(gate.sections))
    assert gate.reload()["event"]["action"] == "configuration-loaded"


# ---- a client ----------------------------------------------------------------------------------

def socks(port, host, target):
    """The socket on which TLS starts, from a SOCKS 5 proxy."""
    sock = wire.dial(port)
    sock.sendall(b"\5\1\0" + b"\5\1\0\3" + bytes([len(host)]) + host.encode()
                 + target.to_bytes(2, "big"))
    answer = b""
    while len(answer) < 12:
        answer += sock.recv(12 - len(answer))
    assert answer[3] == 0, answer
    return sock


def tunnel(gate, listener="fixed"):
    """The socket on which TLS starts."""
    port, kind = gate.ports[listener], listener.partition("_")[0]
    if kind == "forward":
        sock, answer = wire.connect(port, f"{APP}:{gate.upstream}")
        assert answer.status == 200
        return sock
    return socks(port, APP, gate.upstream) if kind == "socks5" else wire.dial(port)


def context_of(gate, leaf=None, **options):
    """At OpenSSL's security level 0, so that it can present weak certificates."""
    context = wire.client_context(gate.ca_path, **options)
    context.set_ciphers("ECDHE+AESGCM:ECDHE+AES:@SECLEVEL=0")
    if leaf:
        context.load_cert_chain(leaf.chain, leaf.key)
    return context


def connect(gate, listener="fixed", leaf=None, context=None, session=None):
    """A wire.Tls before its handshake."""
    return wire.Tls(tunnel(gate, listener), context or context_of(gate, leaf), name=APP,
                    session=session)


def get(gate, listener="fixed", leaf=None, path="/hello.txt", **options):
    with connect(gate, listener, leaf, **options) as tls:
        tls.handshake()
        answer = wire.get(tls, path)
        tls.close_notify()
        return answer


# ---- facts -------------------------------------------------------------------------------------

def certificate(path):
    return x509.load_pem_x509_certificate(pathlib.Path(path).read_bytes())


def fingerprint(leaf):
    return certificate(leaf.cert).fingerprint(hashes.SHA256()).hex()


def presented(record):
    """What the record says of the client's certificate."""
    facts = at(record, "tls.client")
    return {key: facts[key] for key in ("subject", "issuer", "not_before", "not_after", "hash",
                                        "x509") if key in facts}


def truth(leaf):
    """What it has to say of this one, by another library."""
    c = certificate(leaf.cert)
    number = c.serial_number
    return {"subject": c.subject.rfc4514_string(), "issuer": c.issuer.rfc4514_string(),
            "not_before": c.not_valid_before.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "not_after": c.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "hash": {"sha256": c.fingerprint(hashes.SHA256()).hex()},
            "x509": {"serial_number":
                     number.to_bytes((number.bit_length() + 7) // 8 or 1, "big").hex()}}
