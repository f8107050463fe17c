"""The CONNECT leg: which requests are accepted, which targets are allowed, which name counts."""

import concurrent.futures
import contextlib
import json
import socket
import subprocess
import sys
import threading

import pytest

import hellos
from gate import free_port
from hellos import alert_bytes, connect_request, hello
from names import BlackHole, World, with_hosts
from verdicts import assert_refusal, connection_records, only_refusal

DUAL = "dual.example.test"


def assert_answer(response, status, error, code):
    assert response.status == status, response.raw
    assert response.proxy_error == error, response.raw
    assert response.fields["proxy-status"].startswith("suitegate")
    assert code.encode() in response.body


def assert_answered(gate, raw, status, error, code):
    """The answer before the 200; its record was written before its first byte."""
    with hellos.connect(gate.port) as sock:
        sock.sendall(raw)
        first = sock.recv(65536)
        at_once = gate.matching(code=code)
        response = hellos.Response(first + hellos.read_all(sock))
    assert_answer(response, status, error, code)
    assert len(at_once) == 1
    return only_refusal(gate, code)


def curl(gate, url, *arguments):
    return subprocess.run(["curl", "-sS", "--max-time", "30", "--noproxy", "", "--proxy", gate.url,
                           "--cacert", str(gate.ca_path), *arguments, url],
                          capture_output=True, timeout=50, check=False)


@contextlib.contextmanager
def relay(address, port, target_port):
    """A TCP port that leads to 127.0.0.1:target_port, for an origin at another address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family)
    threads = []

    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve(client):
        with client, socket.create_connection(("127.0.0.1", target_port)) as upstream:
            back = threading.Thread(target=pump, args=(upstream, client))
            back.start()
            pump(client, upstream)
            back.join()

    def accept():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(client,)))
            threads[-1].start()

    threads.append(threading.Thread(target=accept))
    threads[0].start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join(20)


# ---- the request ------------------------------------------------------------------------

GOOD = {
    "name": ("localhost:{port}", (), "HTTP/1.1", "localhost"),
    "upper_case": ("LOCALHOST:{port}", (), "HTTP/1.1", "localhost"),
    "final_dot": ("localhost.:{port}", (), "HTTP/1.1", "localhost"),
    "ipv4": ("127.0.0.1:{port}", (), "HTTP/1.1", "127.0.0.1"),
    "ipv6": ("[::1]:{port}", (), "HTTP/1.1", "::1"),
    "http10": ("localhost:{port}", (), "HTTP/1.0", "localhost"),
    "fields": ("localhost:{port}", ("User-Agent: x", "Proxy-Connection: keep-alive", "X:"),
               "HTTP/1.1", "localhost"),
    "big_fields": ("localhost:{port}", ("Proxy-Authorization: Negotiate " + "A" * 8000,),
                   "HTTP/1.1", "localhost"),
}


@pytest.mark.parametrize("name", GOOD)
def test_connect_is_taken(forward, origin, name):
    authority, fields, version, where = GOOD[name]
    with hellos.connect(forward.port) as sock:
        sock.sendall(connect_request(authority.format(port=origin.port), *fields, version=version))
        head = hellos.read_until(sock, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"content-length" not in head.lower()  # RFC 9110 section 9.3.6
        assert b"transfer-encoding" not in head.lower()
        sock.sendall(hello(version=hellos.TLS10))
        assert hellos.read_all(sock) == alert_bytes(70)
    record = only_refusal(forward, "client_protocol_too_old")
    destination = record["destination"]
    assert where in (destination.get("domain"), destination.get("ip"))
    assert destination["port"] == origin.port


def test_connect_in_one_byte_segments(forward, origin):
    with hellos.connect(forward.port) as sock:
        hellos.drip(sock, connect_request(f"localhost:{origin.port}"))
        assert hellos.read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_hello_right_behind_the_connect(forward, origin):
    """RFC 9110 allows a client to send early; early bytes are not lost."""
    with hellos.connect(forward.port) as sock:
        sock.sendall(connect_request(f"localhost:{origin.port}") + hello())
        answer = hellos.read_until(sock, b"\x0e\0\0\0")
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert hellos.server_messages(rest) == [2, 11, 12, 14]


BAD = {
    "no_port": connect_request("localhost"),
    "empty_port": connect_request("localhost:"),
    "port_0": connect_request("localhost:0"),
    "port_65536": connect_request("localhost:65536"),
    "port_word": connect_request("localhost:https"),
    "port_sign": connect_request("localhost:+443"),
    "port_padded": connect_request("localhost:000000443"),
    "userinfo": connect_request("user:secret@localhost:443"),
    "no_host": connect_request(":443"),
    "bare_ipv6": connect_request("::1:443"),
    "open_bracket": connect_request("[::1:443"),
    "bracketed_name": connect_request("[localhost]:443"),
    "zone": connect_request("[fe80::1%25lo]:443"),
    "url": connect_request("https://localhost:443/"),
    "path": connect_request("localhost:443/path"),
    "space": connect_request("local host:443"),
    "label_too_long": connect_request("a" * 64 + ".test:443"),
    "host_too_long": connect_request(".".join(["a" * 60] * 5) + ":443"),
    "wildcard": connect_request("*.test:443"),
    "nul": connect_request("local\0host:443"),
    "number_host": connect_request("2130706433:443"),
    "octal_host": connect_request("0177.0.0.1:443"),
    "no_version": b"CONNECT localhost:443\r\n\r\n",
    "http2": connect_request("localhost:443", version="HTTP/2.0"),
    "bad_field": b"CONNECT localhost:443 HTTP/1.1\r\nno colon here\r\n\r\n",
    "folded_field": b"CONNECT localhost:443 HTTP/1.1\r\nA: b\r\n  c\r\n\r\n",
    "bare_cr": b"CONNECT localhost:443 HTTP/1.1\r\nA: b\rc\r\n\r\n",
    "oversized": b"CONNECT localhost:443 HTTP/1.1\r\nA: " + b"b" * 17000 + b"\r\n\r\n",
    "endless_line": b"CONNECT " + b"a" * 17000,
    "endless_fields": b"CONNECT localhost:443 HTTP/1.1\r\n" + b"A: b\r\n" * 3000,
    "tls": hello(),
    "sslv2": hellos.sslv2_hello(),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_connect_gets_400(forward, name):
    record = assert_answered(forward, BAD[name], 400, "http_request_error", "client_bad_request")
    assert "secret" not in json.dumps(record)


@pytest.mark.parametrize("raw", [
    b"GET http://localhost/secret-path HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST http://localhost/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
], ids=["absolute", "origin", "post", "options"])
def test_other_methods_get_403(forward, raw):
    record = assert_answered(forward, raw, 403, "http_request_denied", "client_plaintext_http")
    assert "secret-path" not in json.dumps(record)
    if b"http://" in raw:
        assert record["destination"] == {"domain": "localhost", "port": 80}
        assert record["suitegate"]["identity"] == "localhost"


@pytest.mark.parametrize("lead", [b"", b"\r\n"])
def test_the_answer_to_head_has_no_body(forward, lead):
    response = hellos.ask(forward.port, lead + b"HEAD http://localhost/ HTTP/1.1\r\nHost: a\r\n\r\n")
    assert response.status == 403
    assert response.body == b""
    assert int(response.fields["content-length"]) > 0
    only_refusal(forward, "client_plaintext_http")


def test_the_status_line_names_the_code(forward):
    """Java, git and .NET show nothing else."""
    response = hellos.ask(forward.port, connect_request("localhost:1"))
    assert response.raw.startswith(b"HTTP/1.1 502 Bad Gateway (upstream_unreachable)\r\n")
    only_refusal(forward, "upstream_unreachable")


def test_neither_http_nor_tls_is_closed(forward):
    with hellos.connect(forward.port) as sock:
        sock.sendall(b"\0\1\2\3\4\5\6\7")
        assert hellos.read_all(sock) == b""
    forward.wait_record(code="client_not_tls")
    only_refusal(forward, "client_not_tls")


def test_connect_cut_short(forward):
    with hellos.connect(forward.port) as sock:
        sock.sendall(b"CONNECT localhost:443 HT")
        sock.shutdown(socket.SHUT_WR)
        hellos.read_all(sock)
    forward.wait_record(code="client_bad_request")
    only_refusal(forward, "client_bad_request")


def test_connect_that_never_ends_meets_hello_timeout(share_forward):
    gate = share_forward(proxy={"hello_timeout": "1s"})
    with hellos.connect(gate.port) as sock:
        sock.sendall(b"CONNECT localhost:443 HTTP/1.1\r\nA: ")
        hellos.read_all(sock)
    gate.wait_record(code="client_hello_timeout")
    only_refusal(gate, "client_hello_timeout")


def test_silence_after_the_200_is_no_attempt_at_tls(share_forward, origin):
    """The client asked for the tunnel, so this is recorded, unlike a silent TCP connection."""
    gate = share_forward(proxy={"hello_timeout": "1s"})
    with hellos.open_tunnel(gate.port, f"localhost:{origin.port}") as sock:
        assert hellos.read_all(sock) == b""
    gate.wait_record(code="client_hello_timeout")
    only_refusal(gate, "client_hello_timeout")


# ---- allowed targets --------------------------------------------------------------------

def test_denied_client_gets_403(share_forward, origin):
    gate = share_forward(listen={"allow_clients": "192.0.2.0/24"})
    assert_answered(gate, connect_request(f"localhost:{origin.port}"), 403, "http_request_denied",
                    "client_denied")


def test_allowed_client_range(share_forward, origin):
    gate = share_forward(listen={"allow_clients": ["192.0.2.0/24", "127.0.0.0/8"]})
    hellos.open_tunnel(gate.port, f"localhost:{origin.port}").close()


@pytest.mark.parametrize("allowed, authority, error", [
    ("*.example.test:443", "localhost:443", "http_request_denied"),
    ("*.example.test", "example.test:443", "http_request_denied"),
    ("*.example.test", "aexample.test:443", "http_request_denied"),
    ("localhost:443", "localhost:8443", "http_request_denied"),
    ("localhost", "127.0.0.1:443", "destination_ip_prohibited"),
    ("10.0.0.0/8", "127.0.0.1:443", "destination_ip_prohibited"),
    ("[2001:db8::]/32", "[::1]:443", "destination_ip_prohibited"),
    ("10.0.0.0/8", "localhost:443", "http_request_denied"),
], ids=["name", "apex", "suffix", "port", "ip_for_a_name", "ip", "ipv6", "name_for_an_ip"])
def test_denied_destination_gets_403(make_forward, allowed, authority, error):
    gate = make_forward(listen={"allow_upstreams": allowed})
    record = assert_answered(gate, connect_request(authority), 403, error, "destination_denied")
    host = authority.rpartition(":")[0].strip("[]")
    assert host in (record["destination"].get("domain"), record["destination"].get("ip"))


@pytest.mark.parametrize("allowed", ["localhost", "*", "LOCALHOST:1-65535", "*:*"])
def test_allowed_destination(share_forward, origin, allowed):
    gate = share_forward(listen={"allow_upstreams": ["192.0.2.1", allowed]})
    hellos.open_tunnel(gate.port, f"localhost:{origin.port}").close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_loop_to_the_same_listener(forward, host):
    assert_answered(forward, connect_request(f"{host}:{forward.port}"), 502, "proxy_loop_detected",
                    "proxy_loop")


def test_loop_to_another_listener(make_forward, origin, pki):
    other = free_port()
    gate = make_forward(**{"listen": {}, "listen other": {
        "type": "fixed", "address": f"127.0.0.1:{other}", "upstream": f"127.0.0.1:{origin.port}",
        "upstream_name": "localhost", "certificate": pki.ec.chain, "key": pki.ec.key}})
    assert_answered(gate, connect_request(f"localhost:{other}"), 502, "proxy_loop_detected",
                    "proxy_loop")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "0.0.0.0", "localhost"])
def test_loop_to_a_wildcard_listener(share_forward, host):
    gate = share_forward(address="0.0.0.0", listen={"allow_clients": "127.0.0.0/8"})
    assert_answered(gate, connect_request(f"{host}:{gate.port}"), 502, "proxy_loop_detected",
                    "proxy_loop")


def test_refused_by_the_destination(forward):
    record = assert_answered(forward, connect_request(f"127.0.0.1:{free_port()}"), 502,
                             "connection_refused", "upstream_unreachable")
    assert record["suitegate"]["leg"] == "upstream"


def test_destination_that_does_not_answer(share_forward):
    gate = share_forward(proxy={"connect_timeout": "1s"})
    port = free_port()
    with BlackHole("127.0.0.1", port):
        assert_answered(gate, connect_request(f"127.0.0.1:{port}"), 504, "connection_timeout",
                        "upstream_timeout")


# ---- names -------------------------------------------------------------------------------

@pytest.fixture
def world(tmp_path):
    with World(tmp_path, {
        "good.test": {"A": ["127.0.0.1"]},
        "fleeting.test": {"A": ["127.0.0.1"], "TTL": 0},
        "alias.test": {"CNAME": "good.test"},
        "fleeting-alias.test": {"CNAME": "good.test", "TTL": 0},
        "empty.test": {},
        "broken.test": "SERVFAIL",
        "silent.test": "SILENT",
        "unroutable.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    }) as made:
        yield made


LOOKUPS = {
    "missing.test": (502, "dns_error", "upstream_name_not_found"),
    "empty.test": (502, "dns_error", "upstream_name_not_found"),
    "broken.test": (504, "dns_timeout", "upstream_name_lookup_failed"),
    "silent.test": (504, "dns_timeout", "resolver_unavailable"),
    "unroutable.test": (502, "destination_ip_unroutable", "upstream_unreachable"),
    "good.test": (502, "connection_refused", "upstream_unreachable"),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_name_that_leads_nowhere(make_forward, world, name):
    status, error, code = LOOKUPS[name]
    gate = make_forward(proxy={"connect_timeout": "2s"}, options={"wrapper": world.enter})
    raw = world.ask(gate.port, connect_request(f"{name}:{free_port()}"))
    assert_answer(hellos.Response(raw), status, error, code)
    record = only_refusal(gate, code)
    assert record["destination"]["domain"] == name


def test_addresses_are_kept_for_their_ttl(make_forward, world):
    gate = make_forward(proxy={"connect_timeout": "2s", "workers": 1},
                        options={"wrapper": world.enter})
    refused, unanswered = LOOKUPS["good.test"], LOOKUPS["silent.test"]

    def ask(name, expected):
        raw = world.ask(gate.port, connect_request(f"{name}:{port}"))
        assert_answer(hellos.Response(raw), *expected)

    port = free_port()
    for name in ("good.test", "alias.test", "fleeting.test", "fleeting-alias.test"):
        ask(name, refused)
    with world.without_dns():
        ask("good.test", refused)
        ask("alias.test", refused)
        ask("fleeting.test", unanswered)
        ask("fleeting-alias.test", unanswered)


@pytest.mark.parametrize("name, dead, live", [
    ("dead_ipv6", "::1", "127.0.0.1"), ("dead_ipv4", "127.0.0.1", "::1")])
def test_race_of_addresses_finds_the_live_one(make_forward, origin, tmp_path, name, dead, live):
    """RFC 8305: an address that drops SYNs costs a fraction of connect_timeout."""
    port = free_port("::1")
    gate = make_forward(proxy={"connect_timeout": "10s"}, options={
        "wrapper": with_hosts(tmp_path, [("::1", DUAL), ("127.0.0.1", DUAL)])})
    with BlackHole(dead, port), relay(live, port, origin.port):
        done = curl(gate, f"https://{DUAL}:{port}/hello.txt")
    assert done.stdout == origin.body, (name, done.stderr)
    opened = gate.wait_record(action="connection-opened")
    assert opened["destination"]["ip"] == live
    assert opened["destination"]["domain"] == DUAL


def test_refused_address_gives_way_to_the_next(make_forward, origin, tmp_path):
    port = free_port("::1")
    gate = make_forward(options={
        "wrapper": with_hosts(tmp_path, [("::1", DUAL), ("127.0.0.1", DUAL)])})
    with relay("127.0.0.1", port, origin.port):
        done = curl(gate, f"https://{DUAL}:{port}/hello.txt")
    assert done.stdout == origin.body, done.stderr


def test_all_addresses_refuse(make_forward, tmp_path):
    gate = make_forward(options={
        "wrapper": with_hosts(tmp_path, [("::1", DUAL), ("127.0.0.1", DUAL)])})
    assert_answered(gate, connect_request(f"{DUAL}:{free_port('::1')}"), 502, "connection_refused",
                    "upstream_unreachable")


# ---- which name counts --------------------------------------------------------------------

def s_client(gate, target, *arguments):
    return subprocess.run(
        ["openssl", "s_client", "-proxy", f"127.0.0.1:{gate.port}", "-connect", target, "-tls1_2",
         "-CAfile", str(gate.ca_path), "-verify_return_error", "-ign_eof", *arguments],
        input=b"GET /hello.txt HTTP/1.0\r\nHost: localhost\r\n\r\n", capture_output=True,
        timeout=50, check=False)


def test_server_name_other_than_the_connect_host(forward, origin):
    with hellos.open_tunnel(forward.port, f"localhost:{origin.port}") as sock:
        sock.sendall(hello(name="other.example.test"))
        first = sock.recv(65536)
        at_once = forward.matching(code="client_server_name_mismatch")
        assert first + hellos.read_all(sock) == alert_bytes(112)
    assert len(at_once) == 1
    record = only_refusal(forward, "client_server_name_mismatch")
    assert record["destination"]["domain"] == "localhost"
    assert record["tls"]["client"]["server_name"] == "other.example.test"


def test_mismatch_allowed_is_verified_against_the_connect_host(share_forward, origin):
    gate = share_forward(policy={"server_name_mismatch": "allow"})
    done = s_client(gate, f"localhost:{origin.port}", "-servername", "other.invalid",
                    "-verify_hostname", "localhost")
    assert origin.body in done.stdout, done.stderr
    opened = gate.wait_record(action="connection-opened")
    assert opened["suitegate"]["identity"] == "localhost"
    assert opened["tls"]["client"]["server_name"] == "other.invalid"


@pytest.mark.parametrize("name", ["LocalHost", "localhost."])
def test_same_name_written_otherwise_is_no_mismatch(forward, origin, name):
    with hellos.open_tunnel(forward.port, f"localhost:{origin.port}") as sock:
        sock.sendall(hello(name=name))
        answer = hellos.read_until(sock, b"\x0e\0\0\0")
    assert hellos.server_messages(answer) == [2, 11, 12, 14]


def test_no_server_name_is_no_mismatch(forward, origin):
    done = s_client(forward, f"localhost:{origin.port}", "-noservername", "-verify_hostname",
                    "localhost")
    assert origin.body in done.stdout, done.stderr
    assert forward.wait_record(action="connection-opened")["suitegate"]["identity"] == "localhost"


def test_server_name_is_the_identity_of_an_address(forward, origin):
    done = s_client(forward, f"127.0.0.1:{origin.port}", "-servername", "inner.example.test",
                    "-verify_hostname", "inner.example.test")
    assert origin.body in done.stdout, done.stderr
    opened = forward.wait_record(action="connection-opened")
    assert opened["suitegate"]["identity"] == "inner.example.test"
    assert opened["destination"]["ip"] == "127.0.0.1"


def test_server_name_of_an_address_is_verified_upstream(forward, origin):
    done = s_client(forward, f"127.0.0.1:{origin.port}", "-servername", "other.invalid",
                    "-verify_hostname", "other.invalid")
    assert b"HTTP/1.1 502 " in done.stdout, done.stderr
    assert b"upstream_certificate_name_mismatch" in done.stdout
    record = forward.wait_record(code="upstream_certificate_name_mismatch")
    assert_refusal(record, "upstream_certificate_name_mismatch")
    assert len(connection_records(forward)) == 1


SILENT_SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.99", 53))
print("ready", flush=True)
server.recv(1500)
print("asked", flush=True)
sys.stdin.read()
"""


def test_resolv_conf_is_read_again_when_it_changes(make_forward, tmp_path):
    """From a name server that is down to one that answers; waiting clients are answered, too."""
    with World(tmp_path, {"good.test": {"A": ["127.0.0.1"]}}) as world:
        settings = tmp_path / "resolv.conf"
        right = settings.read_text()
        silent = subprocess.Popen([*world.enter, sys.executable, "-c", SILENT_SERVER],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert silent.stdout.readline() == b"ready\n"
        settings.write_text("nameserver 127.0.0.99\n")  # not replaced, since it is a mount
        gate = make_forward(proxy={"connect_timeout": "20s", "workers": 1},
                            options={"wrapper": world.enter})
        request = connect_request(f"good.test:{free_port()}")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(world.ask, gate.port, request)
            assert silent.stdout.readline() == b"asked\n"
            settings.write_text(right)
            answers = [waiting.result(), world.ask(gate.port, request)]
        silent.communicate(timeout=20)
        for one in answers:
            assert_answer(hellos.Response(one), 502, "connection_refused", "upstream_unreachable")


def test_states_are_traced_when_asked_for(make_forward, origin):
    gate = make_forward(options={"env": {"SUITEGATE_TRACE": "1"}})
    assert curl(gate, f"https://localhost:{origin.port}/").returncode == 0
    opened = gate.wait_record(action="connection-opened")
    gate.wait_record(action="connection-closed")
    assert gate.stop() == 0
    own = opened["suitegate"]["connection_id"]
    states = [line.rsplit(" ", 3)[1:] for line in gate.stderr.splitlines()
              if f"suitegate trace: {own} " in line]
    path = [states[0][0], *(after for _, _, after in states)]
    assert path[:6] == ["GREETING", "GREETING", "RESOLVING", "DIALLING", "HELLO",
                        "UPSTREAM_HANDSHAKE"]
    assert "CLIENT_HANDSHAKE" in path and path[-1] == "DONE"
