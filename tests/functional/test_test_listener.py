"""A test listener answers every client itself, about the client's handshake."""

import concurrent.futures
import http.client
import json
import re
import socket
import ssl
import urllib.request

import pytest
import requests

import hellos
import jvm
import wire
from client_programs import CLIENTS, command, s_client
from gate import sanitized
from hellos import TLS11, hello
from probe import (Browser, Page, addresses, connect, data, exchange, get,  # noqa: F401
                   make_probe, page, pairs, probe, recent_of, request, share_probe, starter)
from scene import wait_until
from verdicts import assert_refusal

BIG = 3_000_000


@pytest.fixture
def ca_context(probe):
    return wire.client_context(probe.ca_path)


def url(gate, path="/json", host="localhost"):
    return f"https://{host}:{gate.port}{path}"


def curl(gate, *arguments, path="/json", **options):
    return command("curl", "-sS", "--max-time", 30, "--noproxy", "*", "--cacert", gate.ca_path,
                   *arguments, url(gate, path, **options))


def assert_passed(body, opened):
    """The data and the record describe the same connection."""
    said = json.loads(body)
    assert said["verdict"] == "passed"
    assert said["connection_id"] == opened["suitegate"]["connection_id"]
    assert said["chosen"]["cipher"] == opened["tls"]["cipher"]
    assert said["chosen"].get("curve") == opened["tls"].get("curve")
    assert said["chosen"]["version"] == "TLS 1.2"
    assert said["offered"]["ja4"] == opened["tls"]["client"]["ja4"]
    assert said["offered"]["approved"] == opened["suitegate"]["client"]["approved"]
    assert said["offers_weaker"] == bool(said["offered"]["weak_offers"])
    assert said["source"] == {k: opened["source"][k] for k in ("ip", "port")}
    assert said["listener"] == "probe"
    return said


def only_passed(gate, body):
    (opened, _), = pairs(gate)
    return assert_passed(body, opened)


# ---- real clients ----------------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [(), ("--http2",), ("--http1.1",), ("--http1.0",),
                                       ("--no-alpn",), ("--http2-prior-knowledge",)],
                         ids=lambda a: " ".join(a) or "default")
def test_curl(probe, arguments):
    done = curl(probe, *arguments)
    if done.returncode == 16 and "--http2-prior-knowledge" in arguments:
        pairs(probe)
        return  # since 8.12 it requires HTTP/2, which is not supported here
    assert done.returncode == 0, done.stderr
    said = only_passed(probe, done.stdout)
    assert said["offered"]["server_name"] == "localhost"


def test_curl_to_an_address(probe):
    """Without a name the certificate is for the address of the connection."""
    done = curl(probe, host="127.0.0.1")
    assert done.returncode == 0, done.stderr
    assert "server_name" not in only_passed(probe, done.stdout)["offered"]
    assert probe.matching(action="connection-opened")[0]["suitegate"]["identity"] == "127.0.0.1"


def test_curl_to_any_name(probe):
    """Whatever the plug-in host can configure, it can use this listener."""
    done = command("curl", "-sS", "--noproxy", "*", "--cacert", probe.ca_path, "--connect-to",
                   f"::127.0.0.1:{probe.port}", "https://org7.crm4.example.test/api?x=1")
    assert done.returncode == 0, done.stderr
    only_passed(probe, done.stdout)
    opened = probe.matching(action="connection-opened")[0]
    assert opened["suitegate"]["identity"] == "org7.crm4.example.test"
    assert opened["destination"]["ip"] == "127.0.0.1"


def test_curl_on_an_ipv6_listener(share_probe):
    gate = share_probe(address="[::1]:0")
    for host in "localhost", "[::1]":
        done = curl(gate, "-6", host=host)
        assert done.returncode == 0, done.stderr
    assert {o["destination"]["ip"] for o, _ in pairs(gate, 2)} == {"::1"}


def test_curl_asking_for_the_head_only(probe):
    done = curl(probe, "-I")
    assert done.returncode == 0 and done.stdout.startswith(b"HTTP/1.1 200 OK\r\n"), done
    assert done.stdout.endswith(b"\r\n\r\n")
    assert int(re.search(rb"Content-Length: (\d+)", done.stdout)[1]) > 1000
    pairs(probe)


@pytest.mark.parametrize("expect, size", [("Expect: 100-continue", BIG), ("Expect:", 900_000)],
                         ids=["expect", "at_once"])
def test_curl_posting_a_large_body(probe, expect, size, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"x" * size)
    done = curl(probe, "-H", expect, "--data-binary", f"@{body}")
    assert done.returncode == 0, done.stderr
    only_passed(probe, done.stdout)


def test_curl_that_does_not_trust_the_ca(probe, pki):
    done = command("curl", "-sS", "--noproxy", "*", "--cacert", pki.trust, url(probe))
    assert done.returncode == 60, done.stderr
    record = probe.wait_record(code="client_rejected_certificate")
    assert recent_of(probe, record)["code"] == "client_rejected_certificate"


def test_pythons_http_client(probe, ca_context):
    client = http.client.HTTPSConnection("localhost", probe.port, context=ca_context, timeout=50)
    client.request("GET", "/json", headers={"Accept": "*/*"})
    body = client.getresponse().read()
    client.close()
    only_passed(probe, body)


def test_pythons_urllib(probe):
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=probe.ca_path)))
    with opener.open(url(probe), timeout=50) as answer:
        only_passed(probe, answer.read())


def asked(gate, method="get", **options):
    with requests.Session() as session:
        session.trust_env = False
        return getattr(session, method)(url(gate), verify=str(gate.ca_path), timeout=50, **options)


def test_requests(probe):
    answer = asked(probe)
    assert answer.status_code == 200 and answer.headers["Connection"] == "close"
    only_passed(probe, answer.content)


def test_requests_posting_a_form(probe):
    only_passed(probe, asked(probe, "post", data={"field": "x" * 10000}).content)


def test_requests_posting_a_large_body(probe):
    only_passed(probe, asked(probe, "post", data=b"x" * 4 * BIG).content)


@pytest.mark.parametrize("how", ["https", "fetch"])
def test_node(probe, how):
    done = command("node", CLIENTS / "direct.js", how, url(probe),
                   env={"NODE_EXTRA_CA_CERTS": str(probe.ca_path)})
    assert done.returncode == 0, done.stderr
    only_passed(probe, done.stdout)


def test_node_that_speaks_only_http2(probe):
    """No protocol is agreed, so Node closes: the handshake was judged."""
    done = command("node", CLIENTS / "direct.js", "h2", url(probe),
                   env={"NODE_EXTRA_CA_CERTS": str(probe.ca_path)})
    assert done.returncode == 3, done.stdout
    opened = probe.wait_record(action="connection-opened")
    assert "next_protocol" not in opened["tls"]
    assert recent_of(probe, opened)["passed"] is True


def java(gate, host):
    return command(*jvm.argv("Direct", url(gate, host=host), gate.ca_path))


@pytest.mark.once
def test_java(probe):
    done = java(probe, "127.0.0.1")
    assert done.returncode == 0, done.stderr
    lines = [line.split(b" ", 2) for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [[b"URLConnection", b"200"], [b"HttpClient", b"200"]]
    for (_, _, body), (opened, _) in zip(lines, pairs(probe, 2)):
        assert_passed(body, opened)


@pytest.mark.once
def test_java_at_localhost(probe):
    done = java(probe, "localhost")
    assert done.returncode == 0, done.stderr


def test_openssl(probe):
    done = s_client(probe.port, probe.ca_path, "-alpn", "h2,http/1.1", stdin=request())
    assert done.returncode == 0 and b"Verification: OK" in done.stdout, done.stderr
    assert b"ALPN protocol: http/1.1" in done.stdout
    only_passed(probe, re.search(rb'\{"verdict".*\}', done.stdout)[0])


def test_gnutls(probe):
    done = command("gnutls-cli", "--x509cafile", probe.ca_path, "--port", probe.port,
                   "--sni-hostname", "localhost", "--verify-hostname", "localhost", "127.0.0.1",
                   stdin=request())
    assert done.returncode == 0, done.stdout + done.stderr
    only_passed(probe, re.search(rb'\{"verdict".*\}', done.stdout)[0])


# ---- a browser -------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def browser(tmp_path_factory, ca_folder):
    return Browser(tmp_path_factory.mktemp("browser"), ca_folder / "ca.pem")


@pytest.mark.once
def test_chromium_shows_the_page(probe, browser):
    dom = browser.dom(url(probe, "/"))
    assert "<h1>This client passes</h1>" in dom and "<script" not in dom
    opened = probe.matching(lambda r: r["suitegate"]["connection_id"] in dom,
                            action="connection-opened")
    assert len(opened) == 1
    assert opened[0]["suitegate"]["client"]["grease"] is True
    assert opened[0]["tls"]["next_protocol"] == "http/1.1"


@pytest.mark.once
def test_chromium_shows_the_data_and_what_was_refused(probe, browser):
    hellos.ask(probe.port, hello(version=TLS11))
    refused = probe.wait_record(code="client_protocol_too_old")
    dom = browser.dom(url(probe, "/recent"))
    assert refused["suitegate"]["connection_id"] in dom
    assert "client_protocol_too_old" in dom and "Turn TLS 1.2 on in the client" in dom


@pytest.mark.parametrize("scheme, size, paper", [
    ((), (1100, 800), (255, 255, 255)),
    (("--force-dark-mode",), (640, 900), (26, 26, 26)),
], ids=["light", "dark"])
@pytest.mark.once
def test_chromium_paints_it_in_both_colour_schemes(probe, browser, scheme, size, paper):
    shot = browser.screenshot(url(probe, "/"), size, *scheme)
    assert (shot.width, shot.height) == size
    assert shot.first == paper


# ---- the page --------------------------------------------------------------------------------

def test_the_page_says_what_was_offered_and_chosen(probe, ca_context):
    ca_context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(probe, context=ca_context) as tls:
        tls.send(request("/", "Accept: text/html"))
        answer = hellos.Response(tls.recv_to_end())
        cipher = wire.EIGHT[tls.tls.cipher()[0]]
    shown = Page(answer.body.decode())
    (opened, _), = pairs(probe)
    assert "This client passes" in shown.text
    assert shown.terms["Version"] == "TLS 1.2"
    assert shown.terms["Cipher suite"] == cipher == opened["tls"]["cipher"]
    assert shown.terms["Group"] == opened["tls"]["curve"]
    assert shown.terms["Application protocol"] == "http/1.1"
    assert shown.terms["JA4"] == opened["tls"]["client"]["ja4"]
    assert shown.terms["Connection"] == opened["suitegate"]["connection_id"]
    assert shown.row("approved cipher suites")[2].split(", ") == \
        opened["suitegate"]["client"]["approved"]
    assert shown.row("server name")[2] == "localhost"
    assert shown.row("application protocols")[2] == "h2, http/1.1"
    assert set(shown.links) == {"data:,", "/json", "/recent"}
    assert answer.fields["content-security-policy"].startswith("default-src 'none'; ")
    assert answer.fields["cache-control"] == "no-store"


def test_every_item_has_a_verdict_in_words(probe):
    said = data(probe)
    for item in said["items"]:
        assert item["verdict"] in ("meets the policy", "weaker than the policy", "note")
        assert re.fullmatch(r"[A-Z].*\.", item["words"]), item
    shown = page(probe)
    assert [row[0] for row in shown.rows[1:]] == [item["item"] for item in said["items"]]
    for row, item in zip(shown.rows[1:], said["items"]):
        assert row[1] == item["verdict"] + item["words"]


def test_a_client_with_weaker_offers_is_told_of_each(probe):
    done = curl(probe, "--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA")
    said = only_passed(probe, done.stdout)
    assert "TLS_RSA_WITH_AES_128_CBC_SHA" in said["offered"]["weak_offers"]
    marks = {item["item"]: item["verdict"] for item in said["items"]}
    assert marks["weaker cipher suites"] == "weaker than the policy"
    assert marks["approved cipher suites"] == "meets the policy"


def test_one_weaker_offer_is_counted_in_good_english(probe):
    """gnutls-cli with one additional CBC suite with SHA-1."""
    priority = ("NONE:+VERS-TLS1.2:+AES-128-GCM:+AES-128-CBC:+AEAD:+SHA1:+ECDHE-RSA:+GROUP-X25519:"
                "+SIGN-RSA-SHA256:+COMP-NULL")
    done = command("gnutls-cli", "--x509cafile", probe.ca_path, "--port", probe.port,
                   "--sni-hostname", "localhost", "--verify-hostname", "localhost", "--priority",
                   priority, "127.0.0.1", stdin=request("/", "Accept: text/html"))
    shown = Page(re.search(rb"<!doctype html>.*</html>\n", done.stdout, re.S)[0].decode())
    assert shown.row("weaker cipher suites")[2] == "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
    assert "1 things" not in shown.text


HOSTILE_NAMES = ["<script>alert(1)</script>", '"onload="x', "&lt;b&gt;", "a'b", "%3cscript%3e"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_server_name_is_only_text(probe, name):
    """OpenSSL sends any text; this one is not a name, and the certificate is for the
    address."""
    done = command("openssl", "s_client", "-connect", f"127.0.0.1:{probe.port}", "-servername",
                   name, "-CAfile", probe.ca_path, "-quiet", "-ign_eof", "-verify_ip", "127.0.0.1",
                   "-verify_return_error", stdin=request("/", "Accept: text/html"))
    shown = Page(re.search(rb"<!doctype html>.*</html>\n", done.stdout, re.S)[0].decode())
    assert shown.row("server name")[2] == name
    (opened, _), = pairs(probe)
    assert opened["suitegate"]["identity"] == "127.0.0.1"


def alpn_context(gate, *names):
    """Any bytes as names; Python's own method would refuse them."""
    context = wire.client_context(gate.ca_path)
    context._set_alpn_protocols(b"".join(hellos.vector(1, name) for name in names))
    return context


@pytest.mark.parametrize("name, shown_as", [
    (b"<script>alert(1)</script>", "<script>alert(1)</script>"), (b'"><b>', '"><b>'),
    ("é".encode(), r"\xc3\xa9"), (b"x" * 255, "x" * 255)], ids=["script", "quote", "utf8", "long"])
def test_a_hostile_protocol_name_is_only_text(probe, name, shown_as):
    shown = page(probe, context=alpn_context(probe, name, b"http/1.1"))
    assert shown.row("application protocols")[2] == f"{shown_as}, http/1.1"


@pytest.mark.parametrize("name", [b"\x80\xff", b"\x1b[31mred", b"\n\n", b"h2\0c", b"\xfa\xfa"],
                         ids=["not_utf8", "escape", "grease_0a0a", "zero", "grease_fafa"])
def test_a_protocol_name_of_any_bytes_leaves_the_page_readable(probe, name):
    shown = page(probe, context=alpn_context(probe, name, b"http/1.1"))
    cell = shown.row("application protocols")[2]
    assert cell.isprintable() and len(cell) >= len(name) + len(", http/1.1")


def test_a_protocol_name_of_any_bytes_leaves_the_data_readable(probe):
    said = data(probe, context=alpn_context(probe, b"\x80\xff\x1b", b"http/1.1"))
    assert said["items"][-1]["offered"].endswith(", http/1.1")


# ---- HTTP ------------------------------------------------------------------------------------

def test_health(probe):
    for fields in (), ("Accept: text/html",):
        answer = get(probe, "/health", *fields)
        assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/api/data/v9.2/WhoAmI", "/x?y=/health", "/healthy", "/" * 3000,
                                  "/json/../recent", "//", "*", "https://localhost/"])
def test_any_path_is_answered(probe, path):
    """Data for programs, the page for people, for any path that a client insists on."""
    assert json.loads(get(probe, path).body)["verdict"] == "passed"
    assert "This client passes" in page(probe, path).text


@pytest.mark.parametrize("path", ["/json?x=1", "/json"])
def test_data_stays_data_in_a_browser(probe, path):
    answer = get(probe, path, "Accept: text/html")
    assert json.loads(answer.body)["verdict"] == "passed"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "MERGE"])
@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_any_method_and_version(probe, method, version):
    answer = exchange(probe, request(method=method, version=version))
    assert (answer.version, answer.status) == ("HTTP/1.1", 200)
    assert answer.fields["connection"] == "close"
    assert len(answer.body) == int(answer.fields["content-length"])
    only_passed(probe, answer.body)


@pytest.mark.parametrize("path", ["/", "/json", "/health", "/recent", "/other"])
def test_head_is_answered_without_a_body(probe, path):
    answer = exchange(probe, request(path, "Accept: text/html", method="HEAD"))
    assert answer.status == 200 and answer.body == b""
    assert int(answer.fields["content-length"]) > 10


def test_the_first_of_pipelined_requests_is_answered(probe):
    answer = exchange(probe, request("/health") + request("/json"))
    assert answer.body == b'{"status":"ok"}\n'
    pairs(probe)


@pytest.mark.parametrize("expect", [True, False], ids=["expect", "at_once"])
def test_a_body_is_not_waited_for(probe, expect):
    fields = [f"Content-Length: {BIG}"] + ["Expect: 100-continue"] * expect
    answer = exchange(probe, request("/json", *fields, method="POST") + b"x" * 100000)
    only_passed(probe, answer.body)


def test_a_large_body_does_not_cost_the_answer(probe):
    """Such as from a client that writes everything before it reads, as most do."""
    raw = request("/json", f"Content-Length: {4 * BIG}", method="POST") + b"x" * 4 * BIG
    only_passed(probe, exchange(probe, raw).body)


def test_a_head_of_twenty_kilobytes_is_answered(probe):
    """Cookies and tokens grow; what is over the limit is not read."""
    answer = get(probe, "/json", *[f"X-{i}: {'x' * 1000}" for i in range(20)])
    only_passed(probe, answer.body)


def test_a_request_of_bare_line_feeds_is_answered(probe):
    assert exchange(probe, b"GET /health HTTP/1.0\n\n").status == 200


@pytest.mark.parametrize("raw", [
    b"\0\1\2\3" * 10, b"\r\n\r\n", b"hello\n\n", b"EHLO localhost\r\n\r\n", b"GET",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\xff" * 20000, hello()],
    ids=["zeros", "blank", "words", "smtp", "cut", "http2", "noise", "tls_in_tls"])
def test_what_is_not_http_does_no_harm(probe, raw):
    """Answered or closed, but ended, recorded, and the next client is served."""
    with connect(probe) as tls:
        tls.send(raw)
        tls.close_notify()
        answer = tls.recv_to_end()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 200 OK\r\n")
    probe.wait_record(action="connection-closed")
    assert get(probe, "/health").status == 200


def test_a_client_that_leaves_in_the_midst_of_its_request(probe):
    """By close_notify, by the end of TCP, by a reset: three connections without an answer."""
    for leave in wire.Tls.close_notify, lambda tls: None, lambda tls: wire.reset(tls.sock):
        with connect(probe) as tls:
            tls.send(b"GET /json HTT")
            leave(tls)
    for opened, closed in pairs(probe, 3, by="client"):
        assert closed["source"]["bytes"] == 13 and closed["destination"]["bytes"] == 0


def test_a_client_that_goes_right_after_the_handshake(probe):
    with connect(probe) as tls:
        tls.close_notify()
        assert tls.recv_to_end() == b""
    opened, _ = pairs(probe, by="client")[0]
    assert recent_of(probe, opened)["passed"] is True


@pytest.mark.parametrize("how", ["close_notify", "tcp"])
def test_a_client_that_has_ended_its_side_is_answered(probe, how):
    with connect(probe) as tls:
        tls.send(request("/json"))
        if how == "close_notify":
            tls.close_notify()
        tls.sock.shutdown(socket.SHUT_WR)
        body = hellos.Response(tls.recv_to_end()).body
    only_passed(probe, body)


def test_a_request_byte_by_byte(probe):
    with connect(probe) as tls:
        for byte in request("/health"):
            tls.send(bytes([byte]))
        assert hellos.Response(tls.recv_to_end()).body == b'{"status":"ok"}\n'


def test_a_plain_http_request_is_told_of_https(probe):
    answer = hellos.ask(probe.port, request("/"))
    assert answer.status == 403 and b"client_plaintext_http" in answer.body
    record = probe.wait_record(code="client_plaintext_http")
    assert_refusal(record, "client_plaintext_http")
    assert recent_of(probe, record)["code"] == "client_plaintext_http"


# ---- time, signals, load ---------------------------------------------------------------------

@pytest.fixture
def hasty(share_probe):
    return share_probe(proxy={"hello_timeout": "1s"})


def test_a_client_that_asks_for_nothing_is_ended(hasty):
    with connect(hasty) as tls:
        assert tls.recv_to_end() == b""
    pairs(hasty, by="hello_timeout")


def test_dripping_does_not_gain_time(hasty):
    """The request must be complete in time; progress is not enough."""
    with connect(hasty) as tls:
        tls.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ended = tls.received[:0]
        tls.sock.settimeout(0.05)
        tls.send(b"GET /json HTTP/1.1\r\nX: ")
        while ended is not None:
            try:
                tls.send(b"x")
                assert tls.recv() == b""
                ended = None
            except (TimeoutError, BlockingIOError):
                pass
    pairs(hasty, by="hello_timeout")


def test_a_hello_that_does_not_come_is_on_recent(hasty):
    with hellos.connect(hasty.port) as sock:
        sock.sendall(hello()[:40])
        assert hellos.read_all(sock) == b""
    record = hasty.wait_record(code="client_hello_timeout")
    assert recent_of(hasty, record)["sentence"] == "the client sent no complete hello in time"


def test_who_waits_when_the_proxy_stops_is_still_answered(make_probe):
    gate = make_probe()
    with connect(gate) as tls:
        gate.terminate()
        wait_until(lambda: "stopping" in gate.stderr, what="the signal")
        tls.send(request("/json"))
        body = hellos.Response(tls.recv_to_end()).body
    assert gate.wait() == 0
    only_passed(gate, body)


def test_who_asks_for_nothing_when_the_time_to_stop_is_over(make_probe):
    gate = make_probe(proxy={"drain_timeout": "100ms"})
    with connect(gate) as tls:
        gate.terminate()
        assert tls.recv_to_end() == b""
    assert gate.wait() == 0
    _, closed = pairs(gate, by="shutdown")[0]
    assert closed["event"]["code"] == "shutting_down"


def test_a_reload_leaves_who_is_under_way_alone(make_probe):
    """The answer follows the policy of its handshake; the next connection gets the new policy."""
    gate = make_probe()
    with connect(gate) as tls:
        gate.write_config(gate.config + "[policy]\nsuite = ECDHE-RSA-AES256-GCM-SHA384\n")
        assert gate.reload()["event"]["action"] == "configuration-loaded"
        tls.send(request("/json"))
        before = json.loads(hellos.Response(tls.recv_to_end()).body)
    after = data(gate)
    assert len(before["offered"]["approved"]) == 8
    assert after["offered"]["approved"] == ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]
    attempts = data(gate, "/recent")["attempts"]
    assert before["connection_id"] in [a["connection_id"] for a in attempts]


def test_two_hundred_clients_at_once(make_probe):
    gate = make_probe(proxy={"workers": 2})
    context = wire.client_context(gate.ca_path)
    sessions = [connect(gate, context=context) for _ in range(200)]
    for tls in sessions:
        tls.send(request("/json"))
    ids = set()
    for tls in sessions:
        ids.add(json.loads(hellos.Response(tls.recv_to_end()).body)["connection_id"])
        tls.close()
    assert len(ids) == 200
    assert {o["suitegate"]["connection_id"] for o, _ in pairs(gate, 200)} == ids


def test_threads_of_clients(probe):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: get(probe, "/", "Accept: text/html"), range(64)))
    for answer in answers:
        Page(answer.body.decode())


def test_memory_is_bounded(make_probe):
    """Endless requests are not kept; answered ones are not kept either."""
    gate = make_probe()
    context = wire.client_context(gate.ca_path)

    def rounds(count):
        for i in range(count):
            with connect(gate, context=context) as tls:
                tls.send(b"GET /json HTTP/1.1\r\nX: " + b"x" * 200000 if i % 10 == 0
                         else request(("/", "/recent")[i % 2], "Accept: text/html"))
                assert tls.recv_to_end().startswith(b"HTTP/1.1 200 OK\r\n")
        return gate.rss_kib()

    before = rounds(150)
    # A sanitizer keeps 1 MiB of freed memory; thirty requests of 200 kB would be 6 MB.
    assert rounds(300) - before < (3072 if sanitized() else 1024)


def test_when_the_log_cannot_be_written_nobody_passes(make_probe):
    gate = make_probe(audit={"file": "/dev/full", "sync": "record"})
    gate.expected_exit = 2
    refused = hellos.ask(gate.port, hello(version=TLS11)).raw
    assert refused == b""
    with pytest.raises((OSError, EOFError, ssl.SSLError)):
        get(gate, "/health")


# ---- certificates and sessions ---------------------------------------------------------------

@pytest.mark.parametrize("keys", [("ec",), ("rsa",), ("ec", "rsa")], ids="+".join)
def test_its_own_certificates(share_probe, pki, keys):
    gate = share_probe(keys=keys)
    for kind in "ECDSA", "RSA":
        context = wire.client_context(gate.ca_path, ciphers=f"ECDHE-{kind}-AES128-GCM-SHA256")
        if {"ECDSA": "ec", "RSA": "rsa"}[kind] in keys:
            said = data(gate, context=context)
            assert said["chosen"]["certificate"] == kind.lower()
            assert f"_{kind}_" in said["chosen"]["cipher"]
            assert page(gate, context=context).terms["Certificate"] == kind
        else:
            with pytest.raises(ssl.SSLError):
                data(gate, context=context)
            record = gate.wait_record(code="client_no_usable_certificate")
            context = wire.client_context(gate.ca_path)
            shown = [e for e in data(gate, "/recent", context=context)["attempts"]
                     if e["connection_id"] == record["suitegate"]["connection_id"]]
            assert shown[0]["code"] == "client_no_usable_certificate"


@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_a_minted_certificate_of_each_key_type(probe, kind):
    """It has the requested name; nothing else would be trusted."""
    context = wire.client_context(probe.ca_path, ciphers=f"ECDHE-{kind}-AES128-GCM-SHA256")
    with connect(probe, name="plugin.example.test", context=context) as tls:
        names = tls.tls.getpeercert()["subjectAltName"]
        tls.send(request())
        said = json.loads(hellos.Response(tls.recv_to_end()).body)
    assert names == (("DNS", "plugin.example.test"),)
    assert said["chosen"]["certificate"] == kind.lower()


def resumed(gate, context, path="/json", fields=()):
    """The Response over a resumed session."""
    with connect(gate, context=context) as tls:
        tls.send(request())
        tls.recv_to_end()
        session = tls.tls.session
    assert session.has_ticket
    with connect(gate, context=context, session=session) as tls:
        tls.send(request(path, *fields))
        answer = hellos.Response(tls.recv_to_end())
        assert tls.tls.session_reused
    return answer


def test_a_session_is_resumed(probe, ca_context):
    said = json.loads(resumed(probe, ca_context).body)
    assert said["chosen"]["resumed"] is True and "curve" not in said["chosen"]
    assert [o["tls"]["resumed"] for o, _ in pairs(probe, 2)] == [False, True]


def test_the_page_of_a_resumed_session(probe, ca_context):
    shown = Page(resumed(probe, ca_context, "/", ["Accept: text/html"]).body.decode())
    assert shown.terms["Group"] == "- (a resumed session)"


@pytest.mark.parametrize("changed", [False, True])
def test_a_session_is_resumed_only_with_the_same_outcome(probe, changed):
    """A client that now offers more gets the suite that it would get in a new session."""
    context = wire.client_context(probe.ca_path, ciphers="ECDHE-RSA-AES128-GCM-SHA256")
    with connect(probe, context=context) as tls:
        tls.send(request())
        tls.recv_to_end()
        session = tls.tls.session
    if changed:
        context.set_ciphers("ECDHE+AESGCM")
    with connect(probe, context=context, session=session) as tls:
        tls.send(request())
        said = json.loads(hellos.Response(tls.recv_to_end()).body)["chosen"]
        assert tls.tls.session_reused == (not changed)
    assert ("_ECDSA_" if changed else "_RSA_") in said["cipher"]
    assert said.get("certificate") == ("ecdsa" if changed else None)


# ---- a port that the kernel chooses ----------------------------------------------------------

def test_two_listeners_on_free_ports(make_probe):
    gate = make_probe(**{"listen second": {"type": "test", "address": "127.0.0.1:0"},
                         "listen six": {"type": "test", "address": "[::1]:0"},
                         "proxy": {"workers": 2}})
    found = addresses(gate)
    assert set(found) == {"probe", "second", "six"}
    assert found["probe"][1] != found["second"][1] and 0 not in [p for _, p in found.values()]
    for name, (host, port) in found.items():
        gate.port = port
        assert data(gate, host=host)["listener"] == name


def test_a_reload_keeps_the_free_port(make_probe):
    gate = make_probe(**{"listen second": {"type": "test", "address": "127.0.0.1:0"},
                         "proxy": {"workers": 2}})
    for _ in range(3):
        assert gate.reload()["event"]["action"] == "configuration-loaded"
        for name, (_, port) in addresses(gate).items():
            gate.port = port
            assert data(gate)["listener"] == name
    gate.write_config(gate.config.replace("probe]\ntype = test\n",
                                          "probe]\ntype = test\nallow_clients = 127.0.0.0/8\n"))
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    gate.port = addresses(gate)["probe"][1]
    assert data(gate)["listener"] == "probe"


def test_a_rejected_reload_keeps_the_free_port(make_probe):
    gate = make_probe()
    good = gate.config
    gate.write_config(good + "[listen bad]\ntype = test\n")
    assert gate.reload()["event"]["action"] == "configuration-rejected"
    assert data(gate)["listener"] == "probe"
    gate.write_config(good)
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    assert data(gate)["listener"] == "probe"


def test_a_free_port_that_is_written_down_is_kept(make_probe):
    """From 0 to the port that it already has."""
    gate = make_probe()
    gate.write_config(gate.config.replace("127.0.0.1:0", f"127.0.0.1:{gate.port}"))
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    assert data(gate)["listener"] == "probe"


def test_a_listener_that_goes_gives_its_port_back(make_probe):
    gate = make_probe(**{"listen second": {"type": "test", "address": "127.0.0.1:0"}})
    port = addresses(gate)["second"][1]
    gate.write_config(gate.config[:gate.config.index("[listen second]")])
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    with pytest.raises(ConnectionRefusedError):
        hellos.connect(port).close()


def test_a_connection_to_its_own_free_port_is_a_loop(make_probe):
    gate = make_probe(**{"listen way": {"type": "forward", "address": "127.0.0.1:0"}})
    own = addresses(gate)["way"][1]
    for target in own, gate.port:
        answer = hellos.ask(own, hellos.connect_request(f"127.0.0.1:{target}"))
        assert (answer.status, answer.proxy_error) == (502, "proxy_loop_detected")


def test_a_listener_may_not_take_another_ones_free_port(make_probe):
    gate = make_probe()
    taken = f"127.0.0.1:{gate.port}"
    gate.write_config(gate.config + f"[listen rival]\ntype = test\naddress = {taken}\n")
    assert gate.reload()["event"]["action"] == "configuration-rejected"


def test_a_free_port_that_comes_with_a_reload_is_printed(make_probe):
    gate = make_probe()
    gate.write_config(gate.config + "[listen late]\ntype = test\naddress = 127.0.0.1:0\n")
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    assert re.search(r"127\.0\.0\.1:[1-9]\d*.*late", gate.stdout + gate.stderr)
