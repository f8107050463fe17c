"""Fixtures every functional test may use. No test runs longer than its alarm."""

import signal
import types

import pytest

import upstreams
from gate import Gate, ca_init, free_port, ini
from pki import LOOPBACK, Pki

ALARM_SECONDS = 60
BODY = b"the origin's own words\n"
BLOB_SIZE = 1 << 20


def pytest_configure(config):
    config.addinivalue_line("markers", "alarm(seconds): another limit than 60 s for this test")


@pytest.fixture(autouse=True)
def alarm(request):
    """Ends a test that hangs; gates and servers are still torn down after it."""
    marker = request.node.get_closest_marker("alarm")
    seconds = marker.args[0] if marker else ALARM_SECONDS

    def expire(_signal, _frame):
        raise TimeoutError(f"the test took longer than {seconds} s")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """The test's own certificate authority and the certificates under it."""
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def ca_folder(tmp_path_factory):
    """ca.pem and ca.key as `suitegate ca init` writes them."""
    folder = tmp_path_factory.mktemp("ca")
    ca_init(folder)
    return folder


@pytest.fixture(scope="session")
def origin(pki, tmp_path_factory):
    """A compliant nginx on 127.0.0.1 and ::1: .port, .body at /hello.txt, .blob at /blob."""
    folder = tmp_path_factory.mktemp("origin")
    blob = bytes(range(256)) * (BLOB_SIZE // 256)
    (folder / "hello.txt").write_bytes(BODY)
    (folder / "blob").write_bytes(blob)
    names = (*LOOPBACK, "DNS:*.example.test")
    leaves = pki.leaf("origin-ec", san=names), pki.leaf("origin-rsa", san=names, key="rsa2048")
    port = free_port("::1")
    with upstreams.nginx(folder, *leaves, port=port, protocols="TLSv1.2 TLSv1.3", http2=True,
                         files=folder, extra=f"listen [::1]:{port} ssl http2;"):
        yield types.SimpleNamespace(port=port, body=BODY, blob=blob)


@pytest.fixture
def make_gate(tmp_path):
    """make_gate(config, folder=None, **options) -> Gate; all end with the test."""
    gates = []

    def make(config, folder=None, **options):
        gate = Gate(folder or tmp_path, config, **options)
        gates.append(gate)
        return gate

    yield make
    failures = []
    for gate in gates:
        try:
            gate.finish()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


def merged(sections, extra):
    """sections with the further entries of extra; a listener is any name."""
    for name, entries in extra.items():
        if name == "listen":
            name = next(key for key in sections if key.startswith("listen "))
        have = sections.setdefault(name, {})
        if isinstance(have, dict):
            have.update(entries)
        else:
            have.extend(entries.items())
    return sections


@pytest.fixture
def make_forward(make_gate, pki, ca_folder):
    """make_forward(address=None, wrapper=(), proxy={..}, policy={..}, listen={..}) -> Gate with
    .port, .ca_path and .url of its forward listener."""

    def make(*, address="127.0.0.1", options=None, **extra):
        port = free_port(address)
        host = f"[{address}]" if ":" in address else address
        gate = make_gate(ini(merged({
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust},
            "audit": {"file": "audit.jsonl"},
            "listen forward": {"type": "forward", "address": f"{host}:{port}"},
        }, extra)), **(options or {}))
        gate.port = port
        gate.ca_path = ca_folder / "ca.pem"
        gate.url = f"http://{host}:{port}"
        return gate

    return make


@pytest.fixture
def forward(make_forward):
    return make_forward()


@pytest.fixture
def make_fixed(make_gate, pki, origin):
    """make_fixed(keys=("ec", "rsa"), upstream=None, proxy={..}, ...) -> Gate in front of the
    origin with its own certificates: .port and .ca_path of the test root."""

    def make(*, keys=("ec", "rsa"), upstream=None, options=None, **extra):
        port = free_port()
        listener = [("type", "fixed"), ("address", f"127.0.0.1:{port}"),
                    ("upstream", f"127.0.0.1:{upstream or origin.port}"),
                    ("upstream_name", "localhost")]
        for key in keys:
            leaf = getattr(pki, key)
            listener += [("certificate", leaf.chain), ("key", leaf.key)]
        gate = make_gate(ini(merged({
            "upstream": {"trust": pki.trust},
            "audit": {"file": "audit.jsonl"},
            "listen front": listener,
        }, extra)), **(options or {}))
        gate.port = port
        gate.ca_path = pki.trust
        return gate

    return make


@pytest.fixture
def fixed(make_fixed):
    return make_fixed()
