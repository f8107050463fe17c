"""Fixtures for every functional test. Each test has a time limit, its alarm."""

import functools
import os
import pathlib
import shutil
import signal
import types

import pytest

# With these, asserts of the modules show what they compare, as those of test files do.
pytest.register_assert_rewrite("checks", "forgery", "logs", "refusals", "scene", "strace")

import pki as certificates
import upstreams
import wire
from gate import Gate, Shared, ca_init, free_port, ini, sanitized
from logs import make_log  # noqa: F401 (a fixture)
from pki import ORIGIN, Pki
from policy_servers import loose, strict  # noqa: F401 (fixtures)

ALARM_SECONDS = 240  # longer than each wait of a test
COVERED = pathlib.Path(__file__).with_name("covered.txt")
BODY = b"the origin's own words\n"
BLOB_SIZE = 1 << 20


def pytest_configure(config):
    config.addinivalue_line("markers", "alarm(seconds): another limit than 240 s for this test")
    config.addinivalue_line("markers", "once: what another program makes of our bytes; a sanitizer "
                            "in ours has nothing to add")
    # The background of a shell and nohup ignore these signals, and every child inherits that.
    for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGQUIT, signal.SIG_DFL),
                          (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_collection_modifyitems(config, items):
    """Under sanitizers, which check our code only, leaves out the tests marked `once` and those
    that run no code of their own (tests/tools/covered.py)."""
    if sanitized():
        covered = set(COVERED.read_text(encoding="utf-8").split())
        left = [item for item in items if item.get_closest_marker("once")
                or item.nodeid.split("[")[0].rsplit("/", 1)[-1] in covered]
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)


@pytest.fixture(autouse=True)
def alarm(request):
    """Ends a test that hangs; its gates and servers are still stopped."""
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
    return Pki(tmp_path_factory.mktemp("pki"), certificates.TEMPLATE)


@pytest.fixture(scope="session")
def ca_folder(tmp_path_factory):
    """ca.pem and ca.key as `suitegate ca init` writes them."""
    folder = tmp_path_factory.mktemp("ca")
    shared = os.environ.get("SUITEGATE_TEST_SHARED")
    if shared:
        shutil.copytree(pathlib.Path(shared) / "ca", folder, dirs_exist_ok=True)
    else:
        ca_init(folder)
    return folder


@pytest.fixture(scope="session")
def origin(pki, tmp_path_factory):
    """A compliant nginx on 127.0.0.1 and ::1: .port, .body at /hello.txt, .blob at /blob."""
    folder = tmp_path_factory.mktemp("origin")
    blob = bytes(range(256)) * (BLOB_SIZE // 256)
    (folder / "hello.txt").write_bytes(BODY)
    (folder / "blob").write_bytes(blob)
    leaves = pki.leaf("origin-ec", san=ORIGIN), pki.leaf("origin-rsa", san=ORIGIN, key="rsa2048")
    port = free_port("::1")
    with upstreams.nginx(folder, *leaves, port=port, protocols="TLSv1.2 TLSv1.3", http2=True,
                         files=folder, extra=f"listen [::1]:{port} ssl http2;"):
        yield types.SimpleNamespace(port=port, body=BODY, blob=blob)


@pytest.fixture
def echoing(pki):
    """An upstream that echoes."""
    with upstreams.TlsPeer(wire.server_context(pki.ec, pki.rsa), upstreams.echo) as upstream:
        yield upstream


def finish(gates):
    failures = []
    for gate in gates:
        try:
            gate.finish()
        except Exception as failure:  # the others end all the same
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@pytest.fixture
def make_gate(tmp_path):
    """make_gate(config, folder=None, **options) -> Gate; all end with the test."""
    gates = []

    def make(config, folder=None, **options):
        gate = Gate(folder or tmp_path, config, **options)
        gates.append(gate)
        return gate

    yield make
    finish(gates)


def merged(sections, extra):
    """sections with the entries of extra added; a listener matches by any name."""
    for name, entries in extra.items():
        if name == "listen":
            name = next(key for key in sections if key.startswith("listen "))
        have = sections.setdefault(name, {})
        if isinstance(have, dict):
            have.update(entries)
        else:
            have.extend(entries.items())
    return sections


@pytest.fixture(scope="session")
def start_forward(pki, ca_folder):
    """start_forward(make, address=.., options=.., SECTION={..}) -> make(configuration)."""

    def start(make, *, address="127.0.0.1", options=None, **extra):
        port = free_port(address)
        host = f"[{address}]" if ":" in address else address
        gate = make(ini(merged({
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust},
            "audit": {"file": "audit.jsonl"},
            "listen forward": {"type": "forward", "address": f"{host}:{port}"},
        }, extra)), **(options or {}))
        gate.port = port
        gate.ca_path = ca_folder / "ca.pem"
        gate.url = f"http://{host}:{port}"
        return gate

    return start


@pytest.fixture(scope="session")
def start_fixed(pki, origin):
    """start_fixed(make, keys=.., upstream=.., options=.., SECTION={..}) -> make(configuration)."""

    def start(make, *, keys=("ec", "rsa"), upstream=None, options=None, **extra):
        port = free_port()
        listener = [("type", "fixed"), ("address", f"127.0.0.1:{port}"),
                    ("upstream", f"127.0.0.1:{upstream or origin.port}"),
                    ("upstream_name", "localhost")]
        for key in keys:
            leaf = getattr(pki, key)
            listener += [("certificate", leaf.chain), ("key", leaf.key)]
        gate = make(ini(merged({
            "upstream": {"trust": pki.trust},
            "audit": {"file": "audit.jsonl"},
            "listen front": listener,
        }, extra)), **(options or {}))
        gate.port = port
        gate.ca_path = pki.trust
        return gate

    return start


@pytest.fixture
def make_forward(make_gate, start_forward):
    """make_forward(address=None, proxy={..}, policy={..}, listen={..}) -> Gate of this test
    with .port, .ca_path and .url of its forward listener."""
    return functools.partial(start_forward, make_gate)


@pytest.fixture
def make_fixed(make_gate, start_fixed):
    """make_fixed(keys=("ec", "rsa"), upstream=None, proxy={..}, ...) -> Gate of this test in
    front of the origin with its own certificates: .port and .ca_path of the test root."""
    return functools.partial(start_fixed, make_gate)


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    """running(start, **options) -> the gate that start made with these options, once."""
    gates = {}

    def get(start, **options):
        key = start, repr(sorted(options.items()))
        if key not in gates or not gates[key].alive():
            gates[key] = start(functools.partial(Gate, tmp_path_factory.mktemp("gate")), **options)
        return gates[key]

    yield get
    finish(gates.values())


@pytest.fixture
def share(running):
    """share(start, **options) -> this test's view of a gate that is kept for other tests; for tests
    that do not stop it and do not depend on earlier ones."""
    views = []

    def view(start, **options):
        views.append(Shared(running(start, **options)))
        return views[-1]

    yield view
    for one in views:
        one.settle()


@pytest.fixture
def share_forward(share, start_forward):
    """Like make_forward, but shared."""
    return functools.partial(share, start_forward)


@pytest.fixture
def share_fixed(share, start_fixed):
    """Like make_fixed, but shared."""
    return functools.partial(share, start_fixed)


@pytest.fixture
def forward(share_forward):
    return share_forward()


@pytest.fixture
def fixed(share_fixed):
    return share_fixed()
