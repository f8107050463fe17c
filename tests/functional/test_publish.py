"""A publish listener: plain HTTP with fixed paths, and nothing else for anybody."""

import base64
import contextlib
import functools
import html
import json
import pathlib
import random
import re
import resource
import socket
import subprocess
import threading

import pytest

import hellos
import wire
from gate import StartError, ca_init, free_port, ini, run
from names import unshare
from probe import Browser
from scene import wait_until
from upstreams import nginx

HERE, THERE = "127.0.0.2", "127.0.0.3"
PER_SOURCE, IN_ALL = 64, 1024
NOTHING, ONLY, HOST = b"There is nothing here.\n", b"Only GET and HEAD.\n", b"Exactly one Host field.\n"
CLOSE = b"Connection: close\r\n"
DAY, HOUR = 86400, 3600
TYPES = {
    "/": ("text/html; charset=utf-8", "no-store"),
    "/ca.crt": ("application/x-x509-ca-cert", f"max-age={DAY}"),
    "/ca.pem": ("application/x-pem-file", f"max-age={DAY}"),
    "/ca.crl": ("application/pkix-crl", f"max-age={HOUR}"),
    "/proxy.pac": ("application/x-ns-proxy-autoconfig", "max-age=300"),
}


def sections(ca, port, address="127.0.0.1", **listen):
    host = f"[{address}]" if ":" in address else address
    made = {
        "proxy": {"workers": 1},
        "ca": {"certificate": ca / "ca.pem", "key": ca / "ca.key"},
        "audit": {"file": "audit.jsonl"},
        "listen pub": {"type": "publish", "address": f"{host}:{port}", **listen},
    }
    for kind in "forward", "test":
        made[f"listen {kind}"] = {"type": kind, "address": f"127.0.0.1:{free_port()}"}
    return made


@pytest.fixture(scope="session")
def start_publish(ca_folder):
    def start(make, **options):
        port = free_port(options.get("address", "127.0.0.1"))
        gate = make(ini(sections(ca_folder, port, **options)))
        gate.port, gate.ca = port, ca_folder
        return gate
    return start


@pytest.fixture
def published(share, start_publish):
    return share(start_publish)


@pytest.fixture
def make_publish(make_gate, start_publish):
    return functools.partial(start_publish, make_gate)


def request(path="/", method="GET", fields=b"Host: x\r\n", version="HTTP/1.1"):
    return f"{method} {path} {version}\r\n".encode("latin-1") + fields + CLOSE + b"\r\n"


def get(port, path="/", method="GET", **options):
    return hellos.ask(port, request(path, method), **options)


def served(port, **options):
    """Whether a client is served at this moment."""
    with contextlib.suppress(OSError):
        return get(port, "/ca.crt", **options).status == 200
    return False


def openssl(*arguments, stdin=b""):
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True,
                          timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def issuing_names(gate):
    """As ca show names the CAs below the root: file to NAME."""
    return {kind: name_of(gate.ca / f"issuing-{kind}.pem") for kind in ("ecdsa", "rsa")}


def name_of(pem):
    """16 hexadecimal digits of the SHA-256 of its public key, by openssl alone."""
    key = openssl("x509", "-in", pem, "-noout", "-pubkey")
    der = openssl("pkey", "-pubin", "-outform", "DER", stdin=key)
    return openssl("dgst", "-sha256", "-r", stdin=der)[:16].decode()


def every_path(gate):
    names = issuing_names(gate).values()
    return [*TYPES, *(f"/{name}.{end}" for name in names for end in ("crl", "crt"))]


# ---- what there is ---------------------------------------------------------------------------

def test_each_path_has_its_type_and_its_caching(published):
    for path in every_path(published):
        kind, caching = TYPES.get(path) or TYPES[f"/ca.{path[-3:]}"]
        answer = get(published.port, path)
        assert answer.status == 200, path
        assert answer.fields["content-type"] == kind and answer.fields["cache-control"] == caching
        assert int(answer.fields["content-length"]) == len(answer.body) > 0
        assert answer.fields["x-content-type-options"] == "nosniff"
        assert answer.fields["content-security-policy"].startswith("default-src 'none'; ")


def test_head_is_get_without_a_body(published):
    for path in [*every_path(published), "/no", "/ca.key"]:
        full, head = get(published.port, path), get(published.port, path, "HEAD")
        assert head.body == b"" and head.status == full.status
        for fields in full.fields, head.fields:
            fields.pop("date")
        assert head.fields == full.fields


def test_http_1_0(published):
    answer = hellos.ask(published.port, b"GET /ca.pem HTTP/1.0\r\n\r\n")
    assert answer.status == 200 and answer.body == (published.ca / "ca.pem").read_bytes()


def test_the_certificate_in_both_forms(published):
    der, pem = (get(published.port, path).body for path in ("/ca.crt", "/ca.pem"))
    own = openssl("x509", "-in", published.ca / "ca.pem", "-outform", "DER")
    assert der == own == openssl("x509", "-outform", "DER", stdin=pem)


def test_the_certificates_below_it(published, tmp_path):
    for kind, name in issuing_names(published).items():
        der = get(published.port, f"/{name}.crt").body
        own = published.ca / f"issuing-{kind}.pem"
        assert der == openssl("x509", "-in", own, "-outform", "DER")
        (tmp_path / name).write_bytes(openssl("x509", "-inform", "DER", stdin=der))
        openssl("verify", "-x509_strict", "-CAfile", published.ca / "ca.pem", tmp_path / name)


def test_each_list_is_verified_by_its_ca(published, tmp_path):
    issuers = {"ca": published.ca / "ca.pem",
               **{name: published.ca / f"issuing-{kind}.pem"
                  for kind, name in issuing_names(published).items()}}
    for name, pem in issuers.items():
        (tmp_path / "crl").write_bytes(get(published.port, f"/{name}.crl").body)
        done = subprocess.run(["openssl", "crl", "-inform", "DER", "-in", tmp_path / "crl", "-CAfile",
                               pem, "-noout", "-text"], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "verify OK" in done.stderr, (name, done.stderr)
        assert "No Revoked Certificates" in done.stdout
        others = set(issuers.values()) - {pem}
        for other in others:
            wrong = subprocess.run(["openssl", "crl", "-inform", "DER", "-in", tmp_path / "crl",
                                    "-CAfile", other, "-noout"], capture_output=True, text=True,
                                   check=False)
            assert "verify OK" not in wrong.stderr


def test_the_page_says_what_ca_show_says(published):
    page = get(published.port).body.decode()
    shown = run("ca", "show", "-c", published.config_path).stdout
    fingerprint = openssl("x509", "-in", published.ca / "ca.pem", "-noout", "-fingerprint",
                          "-sha256").decode().partition("=")[2].strip()
    assert f"<dd>{fingerprint}</dd>" in page and fingerprint in shown
    file = openssl("dgst", "-sha256", "-r", stdin=get(published.port, "/ca.crt").body)[:64].decode()
    assert file.upper() == fingerprint.replace(":", "")  # as the page tells to look at the file
    assert f"http://127.0.0.1:{published.port}/ca.pem" in page
    assert "<script" not in page


def test_a_query_changes_nothing(published):
    assert get(published.port, "/ca.pem?../../ca.key").body == get(published.port, "/ca.pem").body


def test_a_target_in_absolute_form(published):
    """Which a server has to take (RFC 9112 section 3.2.2)."""
    pem = get(published.port, "/ca.pem").body
    for prefix in "http://x", "HTTP://127.0.0.1:1", "http://other.example":
        assert get(published.port, prefix + "/ca.pem").body == pem
    assert get(published.port, "http://x").fields["content-type"].startswith("text/html")
    assert get(published.port, "http://x/ca.key").status == 404


def test_ipv6(make_publish):
    gate = make_publish(address="::1")
    answer = get(gate.port, host="::1")
    assert answer.status == 200 and f"http://[::1]:{gate.port}/ca.pem".encode() in answer.body


def test_one_ca_without_others_below(make_gate, tmp_path):
    """As earlier versions made it."""
    ca, port = tmp_path / "ca", free_port()
    ca_init(ca)
    for name in "issuing-ecdsa.pem", "issuing-rsa.pem", "ca.crl":
        (ca / name).unlink()
    make_gate(ini(sections(ca, port)))
    assert get(port, "/ca.crt").status == 200
    (tmp_path / "crl").write_bytes(get(port, "/ca.crl").body)
    said = openssl("crl", "-inform", "DER", "-in", tmp_path / "crl", "-noout", "-text")
    assert b"No Revoked Certificates" in said


# ---- what there is not -----------------------------------------------------------------------

@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH",
                                    "PROPFIND", "get", "GETX", "BREW", "M-SEARCH"])
def test_another_method_is_refused(published, method):
    for path in "/", "/ca.crt", "/no", "*", "x:443":
        answer = get(published.port, path, method)
        assert answer.status == 405 and answer.body == ONLY, path
        assert answer.fields["allow"] == "GET, HEAD"


def hostile_paths(count=250):
    """Pieces that mean something to some server, put together at random but always alike."""
    dice = random.Random(20261129)
    pieces = ["..", ".", "/", "//", "%2e%2e", "%2f", "%5c", "\\", "%00", "%252e", "..;", "~", "ca.key",
              "issuing-ecdsa.pem", "issuing-rsa.pem", "suitegate.ini", "audit.key", "etc/passwd",
              "proc/self/environ", "ca.crl", "ca.pem", "CA.CRT", "%c0%ae", "%u002e", ":", "*", ";x",
              "file:///", "x" * 3000, "%", "%zz", "\xe4", "\x01", "proxy.pac", "index.html", "//x/"]
    fixed = {path.partition("?")[0] for path in TYPES}
    while count > 0:
        path = "/" + "".join(dice.choice(pieces) for _ in range(dice.randint(1, 6)))
        if path not in fixed:
            count -= 1
            yield path


PLAIN = ["/ca.key", "/issuing-ecdsa.pem", "/issuing-rsa.pem", "/suitegate.ini", "/ca.crt/", "//ca.crt",
         "/./ca.crt", "/x/../ca.crt", "/ca.crt%00", "/ca.crt%00.key", "/ca%2ecrt", "/%63a.crt",
         "%2fca.crt", "/ca.crt;x", "/ca.crt#x", "/ca.CRT", "/CA.crt", "ca.crt", "*", "https://x/ca.crt",
         "ftp://x/ca.crt", "http:/ca.crt", "/http://x/ca.crt", "file:///etc/passwd", "/etc/passwd",
         "/../../../../etc/passwd", "/ca.crt\\", "/.crt", "/.crl", "/ca", "/favicon.ico"]


def test_any_other_path_has_nothing(published):
    for path in [*PLAIN, *hostile_paths()]:
        answer = get(published.port, path)
        assert answer.status == 404 and answer.body == NOTHING, path


def test_a_very_long_path_has_nothing(published):
    for size in 10_000, 16_300, 16_384, 17_000, 70_000:
        answer = get(published.port, "/" + "x" * size)
        assert answer.status in (404, 414, 431, None), size
        assert len(answer.raw) < 1000
    assert served(published.port)


def private_parts(folder):
    """Each number that only a private key has, as bytes."""
    parts = []
    for name in "ca.key", "issuing-ecdsa.pem", "issuing-rsa.pem":
        text = openssl("pkey", "-in", folder / name, "-noout", "-text").decode()
        blocks = dict(re.findall(r"^(\w+):[^\n]*\n((?:    [0-9a-f:]+\n)+)", text, re.M))
        secret = [bytes.fromhex(re.sub(r"[\s:]", "", blocks[key])).lstrip(b"\0")
                  for key in ("priv", "privateExponent", "prime1", "prime2", "exponent1", "exponent2",
                              "coefficient") if key in blocks]
        assert len(secret) in (1, 6), name
        parts += secret
    return parts


def test_no_byte_of_a_private_key_is_given_away(published):
    parts = private_parts(published.ca)
    assert len(parts) in (8, 13)
    targets = [*every_path(published), *PLAIN, *hostile_paths(60)]
    everything = b"".join(get(published.port, path, method).raw
                          for path in targets for method in ("GET", "HEAD", "POST"))
    decoded = b"".join(base64.b64decode(block) for block in
                       re.findall(rb"-----\n([A-Za-z0-9+/=\n]+)-----END", everything))
    for part in parts:
        for piece in part[:16], part[-16:]:
            assert piece not in everything and piece not in decoded
            assert piece.hex().encode() not in everything.lower()
            for shift in range(3):
                assert base64.b64encode(b"\0" * shift + piece)[4:20] not in everything
    assert b"PRIVATE" not in everything


# ---- broken requests -------------------------------------------------------------------------

# Where RFC 9112 leaves no choice, with the status for it; nginx serves the same files.
CLEAR = {
    "usual": (b"GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "1.0 without Host": (b"GET /ca.pem HTTP/1.0\r\n\r\n", 200),
    "absolute": (b"GET http://x/ca.pem HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "empty line first": (b"\r\nGET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "nothing there": (b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "POST": (b"POST /ca.pem HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
    "no Host": (b"GET /ca.pem HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET /ca.pem HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
    "two Hosts that differ": (b"GET /ca.pem HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n", 400),
    "two Hosts in 1.0": (b"GET /ca.pem HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "version 2.0": (b"GET /ca.pem HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "version 9.9": (b"GET /ca.pem HTTP/9.9\r\nHost: x\r\n\r\n", 505),
    "version in lower case": (b"GET /ca.pem http/1.1\r\nHost: x\r\n\r\n", 400),
    "no version at all": (b"GET /ca.pem x\r\nHost: x\r\n\r\n", 400),
    "length below zero": (b"GET /ca.pem HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
    "length that is a word": (b"GET /ca.pem HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
}


@pytest.fixture(scope="module")
def judge(pki, ca_folder, tmp_path_factory):
    """The port of an nginx without TLS that has the same files."""
    folder, plain = tmp_path_factory.mktemp("judge"), free_port()
    (folder / "ca.pem").write_bytes((ca_folder / "ca.pem").read_bytes())
    with nginx(folder, pki.ec, files=folder, extra=f"listen 127.0.0.1:{plain};"):
        yield plain


def first_status(port, raw):
    with hellos.connect(port) as sock:
        sock.sendall(raw)
        answer = b""
        while b"\r\n" not in answer and (chunk := sock.recv(4096)):
            answer += chunk
        return hellos.Response(answer).status


@pytest.mark.parametrize("case", CLEAR)
def test_what_http_decides_is_decided_as_by_nginx(published, judge, case):
    raw, status = CLEAR[case]
    assert first_status(published.port, raw) == status
    if "1.0" not in case or status == 200:  # nginx takes a second Host from HTTP/1.0
        assert first_status(judge, raw) == status


def lines(*fields, line=b"GET /ca.pem HTTP/1.1", host=b"Host: x"):
    return b"\r\n".join([line, *([host] if host else []), *fields, b"", b""])


BROKEN = {
    "huge field": lines(b"X: " + b"y" * 20_000),
    "many fields": lines(*[b"X%d: y" % n for n in range(3000)]),
    "field name only": lines(b"y" * 12_000),
    "no colon": lines(b"X"),
    "no name": lines(b": y"),
    "folded": lines(b"X: y", b" z"),
    "space before the colon": lines(b"X : y"),
    "NUL in a field": lines(b"X: \0"),
    "control in a field": lines(b"X: \1\2\x1b"),
    "bare CR": lines(b"X: a\rb"),
    "bare LF": lines(b"X: y").replace(b"\r\n", b"\n"),
    "NUL in the path": lines(line=b"GET /ca.pem\0x HTTP/1.1"),
    "two spaces": lines(line=b"GET  /ca.pem HTTP/1.1"),
    "tab": lines(line=b"GET\t/ca.pem\tHTTP/1.1"),
    "HTTP/0.9": b"GET /ca.pem\r\n\r\n",
    "no target": b"GET\r\n\r\n",
    "only spaces": b"   \r\n\r\n",
    "only empty lines": b"\r\n" * 4000,
    "long method": b"G" * 9000 + b" / HTTP/1.1\r\n\r\n",
    "pipelined": lines() * 20,
    "pipelined with a bad one": lines() + b"\0\1\2\r\n\r\n" + lines(),
    "a body that is a request": lines(b"Content-Length: 40") + lines(),
    "two lengths": lines(b"Content-Length: 1", b"Content-Length: 50") + lines(),
    "huge length": lines(b"Content-Length: 99999999999999999999999") + b"x",
    "length and chunks": lines(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunked": lines(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.1") + b"5\r\nhello\r\n0\r\n\r\n",
    "bad chunks": lines(b"Transfer-Encoding: chunked") + b"ffffffffffffffffffff\r\nx",
    "negative chunk": lines(b"Transfer-Encoding: chunked") + b"-1\r\nx\r\n0\r\n\r\n",
    "large body": lines(b"Content-Length: 300000", line=b"POST / HTTP/1.1") + b"x" * 300_000,
    "expect": lines(b"Expect: 100-continue", b"Content-Length: 9", line=b"PUT / HTTP/1.1"),
    "upgrade to h2c": lines(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
                            b"HTTP2-Settings: AAMAAABkAAQAAP__"),
    "websocket": lines(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
                       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]),
    "range": lines(b"Range: bytes=0-9,1-5,-99999999999"),
    "basic": lines(b"Authorization: Basic " + b"A" * 3000),
    "cookies": lines(b"Cookie: " + b"a=b; " * 800),
    "TLS": hellos.hello(),
    "SOCKS": b"\5\1\0" + b"\r\n\r\n",
    "PROXY header": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + lines(),
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "zeroes": bytes(5000),
    "all bytes": bytes(range(256)) * 40,
}


def exchange(port, raw):
    """All that comes back until the end, or nothing if nothing comes: such clients are closed later."""
    with wire.dial(port) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(raw)
        sock.settimeout(0.5)
        try:
            first = sock.recv(1)
        except (TimeoutError, ConnectionResetError):
            return b""
        sock.settimeout(wire.TIMEOUT)
        return first + wire.read_to_end(sock)


def is_fixed(port, raw):
    """Nothing, or answers that are the same for everybody."""
    if not raw:
        return True
    answer = hellos.Response(raw)
    if answer.status == 200:
        return answer.body == get(port, "/ca.pem").body
    if answer.status in (404, 405):
        return answer.body in (NOTHING, ONLY)
    return answer.status in (400, 413, 414, 431, 501, 505) and len(raw) < 1500


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_request_gets_nothing_else(published, case):
    assert is_fixed(published.port, exchange(published.port, BROKEN[case]))
    assert served(published.port)


def test_any_change_of_a_request_gets_nothing_else(published):
    """Bytes changed, left out, doubled, at random but always alike."""
    dice, seed = random.Random(7), lines(b"Content-Length: 3", b"Accept: */*") + b"abc"
    for _ in range(150):
        raw = bytearray(seed)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(raw))
            raw[at:at + dice.randint(0, 2)] = dice.randbytes(dice.randint(0, 2))
        assert is_fixed(published.port, exchange(published.port, bytes(raw))), bytes(raw)
    assert served(published.port)


def test_byte_by_byte(published):
    with hellos.connect(published.port) as sock:
        for byte in request("/ca.pem"):
            sock.sendall(bytes([byte]))
        assert hellos.Response(wire.read_to_end(sock)).body == get(published.port, "/ca.pem").body


# ---- in a browser -----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def browser(tmp_path_factory, ca_folder):
    return Browser(tmp_path_factory.mktemp("browser"), ca_folder / "ca.pem")


MEASURE = """<!doctype html><body><script>
function measure(frame) {
  const root = frame.contentDocument.documentElement;
  document.body.append(` ${frame.width}:${root.scrollWidth > root.clientWidth ? "wide" : "fits"} `);
}
</script>"""


@pytest.mark.once
def test_the_page_fits_every_width(make_gate, ca_folder, browser, tmp_path):
    """Also with the longest names."""
    port, widths = free_port(), (320, 390, 800, 1200)
    made = sections(ca_folder, port)
    made["ca"]["publish"] = f"http://{'.'.join(['a' * 60] * 2)}.example:8480"
    made["listen forward"].update(address=f"0.0.0.0:{free_port()}", allow_clients="127.0.0.0/8")
    make_gate(ini(made))
    page = html.escape(get(port).body.decode())
    (tmp_path / "harness.html").write_text(MEASURE + "".join(
        f'<iframe width="{width}" srcdoc="{page}" onload="measure(this)"></iframe>' for width in widths))
    dom = browser.dom(f"file://{tmp_path}/harness.html")
    assert sorted(re.findall(r" (\d+:\w+) ", dom)) == sorted(f"{width}:fits" for width in widths)


@pytest.mark.once
def test_the_page_follows_a_dark_colour_scheme(published, browser):
    url = f"http://127.0.0.1:{published.port}/"
    assert browser.screenshot(url, (1100, 800), "--force-dark-mode").first == (26, 26, 26)


# ---- who may ----------------------------------------------------------------------------------

def test_only_allowed_clients_are_answered(make_publish):
    gate = make_publish(allow_clients=[HERE, "127.0.0.64/26"])
    assert served(gate.port, source=HERE) and served(gate.port, source="127.0.0.100")
    for source in THERE, "127.0.0.63", "127.0.0.128":
        assert not served(gate.port, source=source)
    gate.write_config(gate.config.replace(f"allow_clients = {HERE}\n", f"allow_clients = {THERE}\n"))
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    assert served(gate.port, source=THERE) and served(gate.port, source="127.0.0.100")
    assert not served(gate.port, source=HERE)


def test_allowed_clients_from_a_file(make_publish, tmp_path):
    (tmp_path / "clients").write_text(f"{HERE}\n")
    gate = make_publish(allow_clients="file:clients")
    assert served(gate.port, source=HERE) and not served(gate.port, source=THERE)
    (tmp_path / "clients").write_text(f"{THERE}\n{THERE}\n")
    gate.reload()
    assert served(gate.port, source=THERE) and not served(gate.port, source=HERE)


# ---- reload -----------------------------------------------------------------------------------

@contextlib.contextmanager
def asking(port, path="/ca.pem"):
    """Asks without a pause; yields the list of its answers, and fails if one request did."""
    end, answers, failures = threading.Event(), [], []

    def ask():
        while not end.is_set():
            try:
                answer = get(port, path)
                (answers if answer.status == 200 else failures).append(answer.body)
            except OSError as failure:
                failures.append(failure)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        end.set()
        thread.join()
    assert failures == [] and answers


def pac_of(port):
    return get(port, "/proxy.pac").body.decode()


def test_reloads_change_everything_else_without_a_failed_request(make_gate, ca_folder, tmp_path):
    port, other, moved = free_port(), free_port(), free_port()
    second = tmp_path / "second"
    ca_init(second)
    base = sections(ca_folder, port)
    gate = make_gate(ini(base))

    def reload(**changes):
        gate.write_config(ini({**base, **changes}))
        assert gate.reload()["event"]["action"] == "configuration-loaded", gate.stderr

    with asking(port) as answers:
        extra = {"type": "publish", "address": f"127.0.0.1:{other}"}
        for _ in range(3):
            reload(**{"listen more": extra})
            assert served(other)
            reload(**{"listen more": {**extra, "address": f"127.0.0.1:{moved}"}})
            assert served(moved) and not served(other)
            reload(**{"listen pub": {**base["listen pub"], "only": "a.example"}})
            assert '"a.example"' in pac_of(port) and not served(moved)
            reload(ca={"certificate": second / "ca.pem", "key": second / "ca.key"})
            assert get(port, "/ca.pem").body == (second / "ca.pem").read_bytes()
            assert '"a.example"' not in pac_of(port)
            reload()
            assert get(port, "/ca.pem").body == (ca_folder / "ca.pem").read_bytes()
    assert {(folder / "ca.pem").read_bytes() for folder in (ca_folder, second)} == set(answers)


def test_the_last_listener_may_go_and_come_back(make_gate, ca_folder):
    port = free_port()
    full = sections(ca_folder, port)
    gate = make_gate(ini(full))
    without = {name: entries for name, entries in full.items() if name != "listen pub"}
    for _ in range(2):
        gate.write_config(ini(without))
        gate.reload()
        assert not served(port)
        gate.write_config(ini(full))
        gate.reload()
        assert served(port)


def test_a_bad_configuration_leaves_the_old_one(make_publish):
    gate = make_publish(only="a.example")
    good = gate.config
    with asking(gate.port):
        for bad in (good + "nonsense\n", good.replace("ca.pem", "no.pem"),
                    good.replace("a.example", "http://a"), good + "publish = no\n"):
            gate.write_config(bad)
            assert gate.reload()["event"]["action"] == "configuration-rejected"
    assert '"a.example"' in pac_of(gate.port)


def test_a_new_listener_that_cannot_be_opened_changes_nothing(make_publish):
    gate = make_publish()
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        gate.write_config(gate.config + ini({
            "listen new": {"type": "publish", "address": f"127.0.0.1:{free}"},
            "listen taken": {"type": "publish", "address": address}}))
        rejected = gate.reload()
    assert rejected["event"]["action"] == "configuration-rejected" and address in json.dumps(rejected)
    assert served(gate.port) and not served(free)


def test_a_listener_on_any_free_port_keeps_it(make_gate, ca_folder):
    gate = make_gate(ini(sections(ca_folder, 0)))
    port = int(re.search(r"listening on 127\.0\.0\.1:(\d+) \(pub, publish\)", gate.stdout)[1])
    assert served(port)
    with asking(port):
        gate.reload()
    assert f"http://127.0.0.1:{port}/ca.pem".encode() in get(port).body


def test_the_page_has_the_address_that_ca_publish_names(make_gate, ca_folder):
    port = free_port()
    made = sections(ca_folder, port)
    made["ca"]["publish"] = "http://gate.example:80"
    make_gate(ini(made))
    page = get(port).body
    assert b"http://gate.example:80/ca.pem" in page and b"/127.0.0.1:%d/" % port not in page


def test_destinations_from_a_file(make_publish, tmp_path):
    (tmp_path / "list").write_text("a.example\n*.b.example:443\n")
    gate = make_publish(only="file:list")
    assert '"a.example"' in pac_of(gate.port) and '"b.example"' in pac_of(gate.port)
    (tmp_path / "list").write_text("c.example\n")
    gate.reload()
    assert '"c.example"' in pac_of(gate.port) and '"a.example"' not in pac_of(gate.port)
    (tmp_path / "list").write_text("# none\n")
    gate.reload()
    assert "PROXY" not in pac_of(gate.port)


# ---- start and stop ---------------------------------------------------------------------------

def test_an_address_that_is_taken_is_said_so(make_gate, ca_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as failed:
            make_gate(ini(sections(ca_folder, port)))
    assert str(failed.value).startswith("exit 2") and f"127.0.0.1:{port}" in str(failed.value)


@pytest.fixture
def without_library():
    """argv that gives a program a system without the library."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    library = pathlib.Path(re.search(r"libmicrohttpd\.so\.12 .*=> (\S+)", known)[1]).resolve()
    return [*unshare("--user", "--map-root-user", "--mount"), "sh", "-c",
            f'mount --bind /dev/null "{library}" && exec "$@"', "sh"]


def test_without_its_library_the_start_says_what_to_install(make_gate, ca_folder, without_library):
    with pytest.raises(StartError) as failed:
        make_gate(ini(sections(ca_folder, free_port())), wrapper=without_library)
    assert str(failed.value).startswith("exit 2")
    assert "needs libmicrohttpd.so.12: install libmicrohttpd12" in str(failed.value)


def test_without_its_library_all_else_works(make_gate, ca_folder, without_library):
    full = sections(ca_folder, free_port())
    without = {name: entries for name, entries in full.items() if name != "listen pub"}
    gate = make_gate(ini(without), wrapper=without_library)
    gate.write_config(ini(full))
    rejected = gate.reload()
    assert rejected["event"]["action"] == "configuration-rejected"
    assert "install libmicrohttpd12" in json.dumps(rejected)
    gate.write_config(ini(without))
    assert gate.reload()["event"]["action"] == "configuration-loaded"


def tls_to(gate):
    """A session with the test listener."""
    port = int(re.search(r":(\d+) \(test, test\)", gate.stdout)[1])
    context = wire.client_context(gate.ca / "ca.pem")
    return wire.Tls(wire.dial(port), context, name="localhost").handshake()


def hanging(port, source, count):
    """So many connections of one source, in the middle of a request."""
    crowd = []
    for _ in range(count):
        crowd.append(hellos.connect(port, "127.0.0.1", source))
        crowd[-1].sendall(b"GET /ca.pem HT")
    return crowd


def close(crowd):
    for sock in crowd:
        sock.close()


def test_sigterm_does_not_wait_for_clients_that_hang(make_publish):
    gate = make_publish()
    crowd = hanging(gate.port, HERE, 40)
    assert served(gate.port)
    assert gate.stop() == 0
    assert [wire.read_to_end(sock) for sock in crowd] == [b""] * 40
    close(crowd)


def test_the_next_process_can_start_while_the_last_connections_end(make_gate, ca_folder, tmp_path):
    made = sections(ca_folder, free_port())
    gate = make_gate(ini(made))
    gate.ca = ca_folder
    with tls_to(gate) as tls:
        gate.terminate()
        wait_until(lambda: not served(int(made["listen pub"]["address"].split(":")[1])),
                   what="the end of accepting")
        (tmp_path / "next").mkdir()
        make_gate(ini(made), folder=tmp_path / "next")
        assert wire.get(tls, "/health").status == 200
    assert gate.wait() == 0


def test_a_listener_with_clients_that_hang_can_be_removed(make_gate, ca_folder):
    port = free_port()
    full = sections(ca_folder, port)
    gate = make_gate(ini(full))
    crowd = hanging(port, HERE, 40)
    gate.write_config(ini({name: entries for name, entries in full.items() if name != "listen pub"}))
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    assert [wire.read_to_end(sock) for sock in crowd] == [b""] * 40
    close(crowd)


# ---- crowds -----------------------------------------------------------------------------------

def tls_is_served(gate):
    with tls_to(gate) as tls:
        return wire.get(tls, "/health").status == 200


def is_closed(sock):
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_one_source_has_64_places_and_leaves_the_others_theirs(make_publish):
    gate = make_publish()
    crowd = hanging(gate.port, HERE, PER_SOURCE)
    wait_until(lambda: not served(gate.port, source=HERE), what="the source's limit")
    assert not any(is_closed(sock) for sock in crowd)
    assert served(gate.port, source=THERE) and tls_is_served(gate)
    crowd.pop().close()
    wait_until(lambda: served(gate.port, source=HERE), what="a free place")
    close(crowd)


def test_1024_places_in_all_and_tls_is_served_meanwhile(make_publish):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gate = make_publish()
    before = gate.fds()
    crowd = [sock for n in range(IN_ALL // PER_SOURCE)
             for sock in hanging(gate.port, f"127.0.1.{n}", PER_SOURCE)]
    wait_until(lambda: gate.fds() == before + IN_ALL, what="all places to be taken")
    # The library may notice only by its timeout that a client has gone: no 15 s here.
    with wire.dial(gate.port, source=THERE) as waiting:
        waiting.sendall(request("/ca.pem"))
        for _ in range(20):
            assert tls_is_served(gate)
        wait_until(lambda: gate.fds() == before + IN_ALL, what="the end of the TLS connections")
        crowd.pop().close()
        assert hellos.Response(wire.read_to_end(waiting)).status == 200
    close(crowd)
    wait_until(lambda: gate.fds() == before, what="all places to be free")


def test_who_says_nothing_is_closed(make_publish):
    gate = make_publish()
    crowd = [wire.dial(gate.port) for _ in range(4)]
    for sock, begin in zip(crowd, (b"GET /ca", b"\r\n", b"\x16\x03\x01")):
        sock.sendall(begin)
    for sock in crowd:
        assert wire.read_to_end(sock) == b""
    close(crowd)
