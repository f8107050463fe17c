"""`suitegate check` against servers, mail servers, names and arguments that are not in order."""

import random
import re
import signal
import struct
import subprocess
import threading
import time

import pytest

import wire
from checks import (CLOSE, HANG, RESET, Front, Open, flight, four_at_once, here, judge,
                    judge_all, offers, run, tell)
from gate import BINARY, free_port
from names import World, with_hosts
from test_check import STRICT, loose, strict  # noqa: F401 (fixtures)
from upstreams import Blackhole, Peer, Process, s_server

USAGE = 64
NOISE = b"\xff" + random.Random(7).randbytes(65535)
HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
GREETING = b"220 mail.example ESMTP\r\n"
UNOFFERED = wire.server_hello(suite=0x1234) + wire.record(22, wire.handshake_message(14, b""))


def drip(sock, _number):
    for byte in wire.server_hello():
        sock.sendall(bytes([byte]))
        time.sleep(1)


def without_end(head, more):
    """head, then more again and again until the client has enough."""
    def play(sock, _number):
        sock.recv(65536)
        sock.sendall(head)
        while True:
            sock.sendall(more)
    return play


def say(answer, *, first=False):
    """One answer to whatever comes, or before anything comes; then it reads on."""
    def play(sock, _number):
        if not first:
            sock.recv(65536)
        sock.sendall(answer)
        wire.read_to_end(sock)
    return play


def endless_chain(der):
    """A Certificate message of 16 MiB whose records do not cease."""
    entry = len(der).to_bytes(3, "big") + der
    head = wire.record(22, b"\x0b\xff\xff\xff\xff\xff\xfc")
    return without_end(wire.server_hello() + head, wire.record(22, entry))


# ---- servers that are none ----------------------------------------------------------------

STRANGE = {  # script, verdict, kind, code, what its sentence has
    "silent": (lambda s, _: wire.read_to_end(s), 2, "doubts", "silent", "says nothing"),
    "drips": (drip, 2, "doubts", "slow", "not complete in time"),
    "http": (say(HTTP), 1, "problems", "not_tls", "HTTP"),
    "html": (say(b"<html>what?</html>"), 1, "problems", "not_tls", "HTTP"),
    "smtp": (say(GREETING, first=True), 1, "problems", "not_tls", "--starttls smtp"),
    "imap": (say(b"* OK ready\r\n", first=True), 1, "problems", "not_tls", "IMAP"),
    "ssh": (say(b"SSH-2.0-x\r\n", first=True), 1, "problems", "not_tls", "SSH"),
    "noise": (say(NOISE), 1, "problems", "not_tls", "not TLS"),
    "noise that begins like TLS": (say(b"\x16\x03\x03" + NOISE), 1, "problems", "not_tls",
                                   "not TLS"),
    "warnings without end": (without_end(b"", wire.alert(112, level=1) * 1000), 1, "problems",
                             "not_tls", "not TLS"),
    "closes": (lambda s, _: s.recv(65536), 2, "doubts", "closed", "closes the connection"),
    "closes at once": (lambda s, _: None, 2, "doubts", "closed", "closes the connection"),
    "resets": (lambda s, _: (s.recv(65536), wire.reset(s)), 2, "doubts", "closed",
               "closes the connection"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_each_has_its_own_outcome(pki, name):
    script, status, kind, code, words = STRANGE[name]
    with Peer(script) as peer:
        host = judge(pki, peer.port, "--timeout", "2s", timeout=50)
        exit_code, text = tell("--timeout", "2s", *here(peer.port), timeout=50)
    assert host.verdict == {1: "not_compliant", 2: "could_not_tell"}[status]
    assert host.items(kind) == [(code, None)]
    assert words in host.text(code)
    assert exit_code == status and words in " ".join(text.split())


def test_a_closed_port_says_so(pki):
    host = judge(pki, free_port())
    assert host.items("doubts") == [("unreachable", None)]
    assert host.text("unreachable") == "no connection: Connection refused"
    assert host.addresses[0]["verdict"] == "unreachable"


def test_an_address_that_answers_no_syn(pki):
    with Blackhole() as hole:
        host = judge(pki, hole.port, "--timeout", "1s", timeout=50)
    assert host.verdict == "could_not_tell"
    assert host.items("doubts") == [("unreachable", None)]


def test_an_endless_certificate_chain_is_not_compliant(pki):
    with Peer(endless_chain(pki.ec.der)) as peer:
        host = judge(pki, peer.port, "--timeout", "10s", timeout=50)
    assert host.verdict == "not_compliant"
    assert "upstream_certificate_invalid" in host.codes("problems")
    assert any("no end" in i["text"] for i in host.entry["problems"])


def test_a_suite_that_was_not_offered_is_not_compliant(pki):
    with Peer(say(UNOFFERED)) as peer:
        host = judge(pki, peer.port, "--timeout", "10s", timeout=50)
    assert host.verdict == "not_compliant"


def test_a_server_that_hangs_behind_the_server_hello(pki):
    with Peer(say(wire.server_hello())) as peer:
        host = judge(pki, peer.port, "--timeout", "3s", timeout=50)
    assert host.verdict in ("not_compliant", "could_not_tell")
    assert not any(row["handshake"] for row in host.approved)


def test_a_name_that_does_not_exist_says_so():
    """The resolver library answers .onion itself (RFC 7686), so nothing leaves the machine."""
    host, = judge_all("nosuch.onion")
    assert host.items("doubts") == [("name_not_found", None)]
    assert host.verdict == "could_not_tell" and host.addresses == []
    code, text = tell("nosuch.onion")
    assert code == 2 and text.startswith("nosuch.onion:443: could not tell\n")


# ---- protocols that no current library has ------------------------------------------------

def sslv2_server_hello(kinds):
    body = struct.pack(">BBBHHHH", 4, 0, 1, 2, 0, 3 * len(kinds), 16)
    body += b"".join(k.to_bytes(3, "big") for k in kinds) + bytes(16)
    return struct.pack(">H", 0x8000 | len(body)) + body


def test_sslv2_is_a_finding(pki, strict):
    answer = sslv2_server_hello([0x010080, 0x0700C0, 0x999999])
    with Front(strict.port, lambda hello, _: answer if hello is None else None) as front:
        host = judge(pki, front.port)
    assert host.verdict == "compliant_with_findings"
    assert host.items("findings") == [("accepts_protocol", "SSL 2.0")]
    assert host.accepted() == ["SSL 2.0", "TLS 1.2"]
    assert host.suites["SSL 2.0"] == [
        "SSL_CK_RC4_128_WITH_MD5", "SSL_CK_DES_192_EDE3_CBC_WITH_MD5", "unknown"]
    assert "SSL 2.0" in host.remedies("Windows / IIS")["protocol versions"]


def test_sslv2_only_is_not_compliant(pki):
    def play(sock, _number):
        if sock.recv(65536)[0] & 0x80:
            sock.sendall(sslv2_server_hello([0x010080]))
            wire.read_to_end(sock)
        else:
            sock.sendall(wire.alert(40, version=0x0300))
    with Peer(play) as peer:
        host = judge(pki, peer.port)
    assert host.verdict == "not_compliant"
    assert host.items("problems") == [("no_tls12", "TLS 1.2")]
    assert host.accepted() == ["SSL 2.0"]


def test_ssl3_is_a_finding(pki, strict):
    """Suite by suite: RC4-SHA is the one it has."""
    def rule(hello, _number):
        if hello is None or hello.version != 0x0300:
            return None
        return flight(0x0300, 0x0005, extensions=b"") if offers(hello, 5) else wire.alert(40)
    with Front(strict.port, rule) as front:
        host = judge(pki, front.port)
    assert host.items("findings") == [("accepts_protocol", "SSL 3.0"),
                                      ("ignores_fallback_scsv", None)]
    assert host.suites["SSL 3.0"] == ["TLS_RSA_WITH_RC4_128_SHA"]


def test_compression_is_a_finding(pki, strict):
    def rule(hello, _number):
        return flight(compression=1) if hello and 1 in hello.compression else None
    with Front(strict.port, rule) as front:
        host = judge(pki, front.port)
    assert host.items("findings") == [("accepts_compression", None)]
    assert host.features["compression"] is True
    assert host.remedies("Apache") == {"compression": "SSLCompression off"}


def test_a_server_that_ignores_the_fallback_signal_has_a_finding(pki, loose):
    def rule(hello, _number):
        if offers(hello, 0x5600):
            return flight(hello.version, 0xC013)
        return None
    with Front(loose.port, rule) as front:
        host = judge(pki, front.port)
    assert host.features["fallback_scsv"] is False
    assert ("ignores_fallback_scsv", None) in host.items("findings")
    assert "never honours" in host.remedies("Java")["TLS library"]


def test_no_extended_master_secret_by_a_server_without_extensions(pki):
    """A ServerHello that has none at all: secure renegotiation is missing too."""
    def play(sock, _number):
        hello = sock.recv(65536)
        sock.sendall(flight(extensions=b"", certificates=(pki.ec.der,))
                     if b"\xc0\x2b" in hello else wire.alert(40))
        wire.read_to_end(sock)
    with Peer(play) as peer:
        host = judge(pki, peer.port)
    assert host.verdict == "not_compliant"
    assert host.codes("problems") == {"upstream_no_secure_renegotiation"}
    assert host.codes("notes") >= {"no_extended_master_secret"}
    assert [host.features[f] for f in ("secure_renegotiation", "extended_master_secret",
                                       "session_tickets")] == [False] * 3


# ---- servers that cannot stand to be asked ------------------------------------------------

def same_but_target(a, b):
    """Two runs have found out the same."""
    for host in (a, b):
        address = host.addresses[0]
        address["features"]["weak_signatures"].sort()
        for findings in (host.entry["findings"], address["findings"]):
            findings.sort(key=str)
    left, right = ({k: v for k, v in host.entry.items() if k not in ("target", "port")}
                   for host in (a, b))
    assert left == right


@pytest.mark.parametrize("limit", [40, 32, 16, 8])
@pytest.mark.parametrize("server", ["strict", "loose"])
def test_a_server_that_stands_few_suites_is_judged_all_the_same(pki, strict, loose, server, limit):
    real = {"strict": strict, "loose": loose}[server]
    with Front(real.port, lambda hello, _: CLOSE if hello and len(hello.suites) > limit
               else None) as front:
        same_but_target(judge(pki, front.port), judge(pki, real.port))


@pytest.mark.parametrize("end", [HANG, CLOSE, RESET])
def test_a_server_that_cannot_stand_extensions_is_looked_at(pki, tmp_path, end):
    with s_server(tmp_path, pki.rsa, "-tls1_2", "-cipher",
                  "AES128-GCM-SHA256:@SECLEVEL=0") as server:
        with Front(server.port, lambda hello, _: end if hello and set(hello.extensions) - {0}
                   else None) as front:
            host = judge(pki, front.port, "--timeout", "12s", timeout=50)
    assert host.verdict in ("not_compliant", "could_not_tell")
    assert host.protocols["TLS 1.2"] is True
    assert host.suites["TLS 1.2"] == ["TLS_RSA_WITH_AES_128_GCM_SHA256"]


def test_a_server_that_accepts_slowly_is_judged_all_the_same(pki, strict):
    lock = threading.Lock()

    def greet(_sock, _number):
        with lock:
            time.sleep(0.01)
    with Front(strict.port, lambda *_: None, greet) as front:
        same_but_target(judge(pki, front.port), judge(pki, strict.port))


@pytest.mark.parametrize("server, end, limit", [
    ("loose", HANG, 12), *(("loose", end, limit) for end in (CLOSE, RESET) for limit in (3, 12)),
    ("strict", CLOSE, 60)])
def test_a_server_that_has_had_enough_is_no_answer(pki, strict, loose, server, end, limit):
    """As limits on a client's rate do: from then on nobody is heard."""
    real = {"strict": strict, "loose": loose}[server]
    with Front(real.port, lambda _, number: end if number >= limit else None) as front:
        host = judge(pki, front.port, "--timeout", "3s", timeout=50)
        assert front.count > limit
    assert host.verdict == "could_not_tell"
    assert host.items("problems") == []


def test_a_pause_of_the_server_hides_no_finding(pki, loose):
    with Front(loose.port, lambda _, n: CLOSE if 12 <= n < 40 else None) as front:
        host = judge(pki, front.port)
    whole = judge(pki, loose.port)
    assert host.verdict == "could_not_tell" or sorted(
        host.items("findings"), key=str) == sorted(whole.items("findings"), key=str)


@pytest.mark.parametrize("hosts", [1, 2])
def test_no_more_than_four_connections_at_once(pki, strict, hosts):
    def look():
        with Front(strict.port, lambda *_: time.sleep(0.02)) as front:
            found = judge_all("--ca", pki.trust, "--name", "localhost",
                              *[f"127.0.0.1:{front.port}"] * hosts)
            assert front.count > 50
        assert {h.verdict for h in found} == {"compliant"}
        return front.open

    four_at_once(look)


# ---- names with several addresses ---------------------------------------------------------

def test_an_address_that_cannot_be_reached_is_a_note(pki, strict, tmp_path):
    wrapper = with_hosts(tmp_path, [("127.0.0.1", "two.test"), ("127.0.0.3", "two.test")])
    target = f"two.test:{strict.port}"
    host, = judge_all("--ca", pki.trust, "--name", "localhost", target, wrapper=wrapper)
    assert host.verdict == "compliant"
    assert "unreachable" in host.codes("notes")
    assert {a["ip"]: a["verdict"] for a in host.addresses} == {
        "127.0.0.1": "compliant", "127.0.0.3": "unreachable"}
    code, text = tell("--ca", pki.trust, "--name", "localhost", target, wrapper=wrapper)
    assert code == 0
    assert "  address         127.0.0.3: cannot be reached\n" in text
    assert "no connection: Connection refused [127.0.0.3]" in text


def test_all_addresses_closed_could_not_be_told(tmp_path):
    wrapper = with_hosts(tmp_path, [("127.0.0.1", "two.test"), ("127.0.0.3", "two.test")])
    host, = judge_all(f"two.test:{free_port()}", wrapper=wrapper)
    assert host.items("doubts") == [("unreachable", None)]
    assert [a["verdict"] for a in host.addresses] == ["unreachable"] * 2


def s_server_at(folder, ip, leaf, port):
    return Process(["openssl", "s_server", "-accept", f"{ip}:{port}", "-cert", leaf.cert,
                    "-cert_chain", leaf.chain, "-key", leaf.key, "-www", *STRICT], port,
                   folder / f"s_server-{ip}.log")


def test_one_bad_address_of_two_decides(pki, strict, tmp_path):
    """Such as a load balancer with one node that was forgotten."""
    port = free_port()
    wrapper = with_hosts(tmp_path, [("127.0.0.1", "two.test"), ("127.0.0.2", "two.test")])
    with s_server_at(tmp_path, "127.0.0.2", pki.expired, port), \
            Front(strict.port, lambda *_: None, port=port):
        host, = judge_all("--ca", pki.trust, "--name", "localhost", f"two.test:{port}",
                          wrapper=wrapper)
        code, text = tell("--ca", pki.trust, "--name", "localhost", f"two.test:{port}",
                          wrapper=wrapper)
    assert host.verdict == "not_compliant"
    assert {a["ip"]: a["verdict"] for a in host.addresses} == {
        "127.0.0.1": "compliant", "127.0.0.2": "not_compliant"}
    by_ip = {a["ip"]: a for a in host.addresses}
    assert by_ip["127.0.0.1"]["problems"] == []
    assert by_ip["127.0.0.2"]["problems"][0]["code"] == "upstream_certificate_expired"
    because = " ".join(text.partition("Not compliant, because")[2].partition("Notes")[0].split())
    assert code == 1
    assert re.search(r"has expired: CN=expired, valid until [-0-9]+ \[127\.0\.0\.2\]$", because)


def test_a_note_at_one_address_hides_no_problem_at_another(pki, strict, tmp_path):
    """Both fail at one suite, but the second has no other."""
    port, suite = free_port(), 0xC030
    bad = flight(suite=suite, extensions=b"")
    wrapper = with_hosts(tmp_path, [("127.0.0.1", "two.test"), ("127.0.0.2", "two.test")])
    with Front(strict.port, lambda hello, _: bad if offers(hello, suite)
               and hello.suites[0] == suite else None, port=port), \
            Front(strict.port, lambda hello, _: bad if offers(hello, suite)
                  else wire.alert(40), port=port, host="127.0.0.2"):
        host, = judge_all("--ca", pki.trust, "--name", "localhost", f"two.test:{port}",
                          wrapper=wrapper)
    assert host.verdict == "not_compliant"
    assert [a["verdict"] for a in host.addresses if a["ip"] == "127.0.0.2"] == ["not_compliant"]


def test_four_connections_at_once_to_all_addresses_together(pki, strict, tmp_path):
    ips = [f"127.0.0.{n}" for n in (1, 2, 3)]
    wrapper = with_hosts(tmp_path, [(ip, "many.test") for ip in ips])

    def look():
        port, together = free_port(), Open()
        fronts = [Front(strict.port, lambda *_: time.sleep(0.01), open=together, port=port,
                        host=ip) for ip in ips]
        with fronts[0], fronts[1], fronts[2]:
            host, = judge_all("--ca", pki.trust, "--name", "localhost", f"many.test:{port}",
                              wrapper=wrapper)
        assert host.verdict == "compliant" and len(host.addresses) == 3
        return together

    four_at_once(look)


def test_names_come_from_dns_with_all_their_addresses(pki, tmp_path):
    port = free_port()
    with World(tmp_path, {"two.test": {"A": ["127.0.0.1", "127.0.0.9"], "AAAA": ["::1"]},
                          "broken.test": "SERVFAIL"}) as world:
        server = s_server_at(tmp_path, "127.0.0.1", pki.ec, port)
        log = open(tmp_path / "inside.log", "wb")
        with log, subprocess.Popen([*world.enter, *map(str, server.argv)], stdout=log,
                                   stderr=log) as process:
            try:
                while b"ACCEPT" not in (tmp_path / "inside.log").read_bytes():
                    assert process.poll() is None
                    time.sleep(0.01)
                host, = judge_all("--ca", pki.trust, "--name", "localhost", f"two.test:{port}",
                                  wrapper=world.enter)
            finally:
                process.kill()
        failed, missing = judge_all("broken.test", "nosuch.test", wrapper=world.enter)
        with world.without_dns():
            silent, = judge_all("--timeout", "1s", "two.test", wrapper=world.enter, timeout=50)
    assert host.verdict == "compliant"
    assert {a["ip"]: a["verdict"] for a in host.addresses} == {
        "127.0.0.1": "compliant", "127.0.0.9": "unreachable", "::1": "unreachable"}
    assert failed.items("doubts") == [("name_lookup_failed", None)]
    assert missing.items("doubts") == [("name_not_found", None)]
    assert silent.items("doubts") == [("name_lookup_failed", None)]


# ---- mail servers -------------------------------------------------------------------------

@pytest.fixture(scope="module")
def mail(pki, tmp_path_factory):
    """aiosmtpd on a loopback port, with STARTTLS."""
    folder, port = tmp_path_factory.mktemp("mail"), free_port()
    with Process(["/usr/bin/python3", "-B", "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}",
                  "--tlscert", pki.rsa.chain, "--tlskey", pki.rsa.key, "--no-requiretls",
                  "-c", "aiosmtpd.handlers.Sink"], port, folder / "mail.log") as server:
        yield server


def test_a_mail_server_is_judged_behind_starttls(pki, mail):
    host = judge(pki, mail.port, "--starttls", "smtp")
    assert host.entry["starttls"] == "smtp"
    assert host.verdict in ("compliant", "compliant_with_findings")
    assert not host.items("problems") and not host.items("doubts")
    assert {row["openssl"] for row in host.approved if row["handshake"]} >= {
        "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"}
    assert host.certificate("rsa")["valid"] is True


def test_a_mail_server_without_starttls_asked_for_is_told_apart(pki, mail):
    host = judge(pki, mail.port)
    assert host.verdict == "not_compliant"
    assert "--starttls smtp" in host.text("not_tls")


def test_the_port_of_mail_is_25_and_else_443():
    for options, port in ((["--starttls", "smtp"], 25), ([], 443)):
        host, = judge_all("--timeout", "1s", *options, "127.0.0.250", timeout=50)
        assert host.entry["target"] == f"127.0.0.250:{port}" and host.entry["port"] == port


def smtp(greeting=GREETING, hello=b"250-mail\r\n250-PIPELINING\r\n250 STARTTLS\r\n",
         ready=b"220 go ahead\r\n"):
    """A greet() for a Front: the dialogue before TLS; the answers are what the test says."""
    def line(sock):
        raw = bytearray()
        while not raw.endswith(b"\r\n"):
            byte = sock.recv(1)
            if not byte:
                raise EOFError
            raw += byte
        return bytes(raw)

    def greet(sock, _number):
        sock.sendall(greeting)
        if not line(sock).startswith(b"EHLO "):
            return False
        sock.sendall(hello)
        if line(sock) != b"STARTTLS\r\n":
            return False
        sock.sendall(ready)
        return True
    return greet


@pytest.mark.parametrize("parts", [
    {}, {"greeting": b"220-one\r\n220-two\r\n220 three\r\n"},
    {"hello": b"250-mail\r\n250 starttls\r\n"},
    {"hello": b"250-STARTTLS\r\n250-STARTTLS\r\n" + b"250-X\r\n" * 50 + b"250 HELP\r\n"},
    {"ready": b"220-go\r\n220 ahead\r\n"}, {"ready": b"220\r\n"},
    {"greeting": b"220 lines end in LF only\n"},
], ids=["plain", "long_greeting", "lower_case", "many_lines", "two_lines", "no_text", "lf"])
def test_smtp_in_all_its_forms(pki, strict, parts):
    with Front(strict.port, lambda *_: None, smtp(**parts)) as front:
        assert judge(pki, front.port, "--starttls", "smtp").verdict == "compliant"


SMTP_FAULTS = {
    "refuses": ({"ready": b"454 TLS not available\r\n"}, "454 TLS not available"),
    "greets with no": ({"greeting": b"554 go away\r\n"}, "554 go away"),
    "is full": ({"greeting": b"421 too busy\r\n"}, "421 too busy"),
    "knows no EHLO": ({"hello": b"502 what?\r\n"}, "502 what?"),
    "garbage": ({"greeting": b"\xff\xfe\0\x01" * 10 + b"\r\n"}, "does not speak SMTP"),
    "noise": ({"greeting": NOISE}, "does not speak SMTP"),
    "HTTP": ({"greeting": HTTP}, "does not speak SMTP"),
    "lines without end": ({"greeting": b"220-more\r\n" * 1000}, "does not speak SMTP"),
    "a line without end": ({"greeting": b"220 " + b"a" * 5000}, "does not speak SMTP"),
}


@pytest.mark.parametrize("name", SMTP_FAULTS)
def test_a_mail_server_that_will_not(pki, strict, name):
    parts, words = SMTP_FAULTS[name]
    with Front(strict.port, lambda *_: None, smtp(**parts)) as front:
        host = judge(pki, front.port, "--starttls", "smtp", "--timeout", "6s", timeout=50)
    assert host.verdict == "could_not_tell"
    assert host.items("doubts") == [("starttls", None)]
    assert words in host.text("starttls")


@pytest.mark.parametrize("hello", [b"250-mail\r\n250 SIZE 1000\r\n",
                                   b"250-mail\r\n250 STARTTLSX\r\n"], ids=["none", "almost"])
def test_a_mail_server_without_starttls_is_not_compliant(pki, strict, hello):
    with Front(strict.port, lambda *_: None, smtp(hello=hello)) as front:
        host = judge(pki, front.port, "--starttls", "smtp", "--timeout", "6s", timeout=50)
    assert host.verdict == "not_compliant"
    assert host.items("problems") == [("no_starttls", None)]
    assert "smtpd_tls_security_level" in host.remedies("Postfix")["STARTTLS"]


@pytest.mark.parametrize("script, code", [
    (lambda s, _: wire.read_to_end(s), "silent"), (lambda s, _: None, "closed"),
    (lambda s, _: (s.sendall(b"220"), wire.read_to_end(s)), "slow")])
def test_a_mail_server_that_says_too_little(pki, script, code):
    with Peer(script) as peer:
        host = judge(pki, peer.port, "--starttls", "smtp", "--timeout", "2s", timeout=50)
    assert host.items("doubts") == [(code, None)]


def test_plain_text_behind_the_220_is_not_taken_for_tls(pki, strict):
    """What came before TLS belongs to nobody (CVE-2011-0411)."""
    for injected in (b"250 injected\r\n", UNOFFERED):
        with Front(strict.port, lambda *_: None,
                   smtp(ready=b"220 go ahead\r\n" + injected)) as front:
            host = judge(pki, front.port, "--starttls", "smtp")
        assert host.verdict == "compliant"


@pytest.mark.parametrize("server, limit", [("loose", 3), ("loose", 12), ("strict", 60)])
def test_a_mail_server_that_has_had_enough_is_no_answer(pki, strict, loose, server, limit):
    """421 for every further connection."""
    whole, full = smtp(), smtp(greeting=b"421 too many connections\r\n")
    real = {"strict": strict, "loose": loose}[server]
    with Front(real.port, lambda *_: None,
               lambda sock, n: whole(sock, n) if n < limit else full(sock, n)) as front:
        host = judge(pki, front.port, "--starttls", "smtp", "--timeout", "6s", timeout=50)
        assert front.count > limit
    assert host.verdict == "could_not_tell"
    assert host.items("problems") == []


# ---- lists and arguments ------------------------------------------------------------------

def test_hosts_from_a_file(tmp_path):
    ports = [free_port() for _ in range(4)]
    path = tmp_path / "hosts"
    path.write_text(f"\ufeff# our servers\n\n127.0.0.1:{ports[0]}\r\n   127.0.0.1:{ports[1]}   # two\n"
                    f"\t\n[::1]:{ports[2]}")
    hosts = judge_all("-f", path, f"127.0.0.1:{ports[3]}")
    assert sorted(h.entry["target"] for h in hosts) == sorted(
        [*(f"127.0.0.1:{p}" for p in (ports[0], ports[1], ports[3])), f"[::1]:{ports[2]}"])


def test_hosts_from_standard_input():
    port = free_port()
    host, = judge_all("--file", "-", input=f"#\n127.0.0.1:{port}\n\n")
    assert host.entry["port"] == port


def test_the_forms_of_a_host():
    hosts = judge_all("--timeout", "1s", "127.0.0.251", "::1", "[::1]:4", "nosuch.onion",
                      "NOSUCH.onion.:44", "https://NOSUCH.onion", "HTTPS://nosuch.onion:45/a?b",
                      "https://[::1]:5#c", "--name", "other.test.", timeout=50)
    assert [h.entry["target"] for h in hosts] == [
        "127.0.0.251:443", "[::1]:443", "[::1]:4", "nosuch.onion:443", "nosuch.onion:44",
        "nosuch.onion:443", "nosuch.onion:45", "[::1]:5"]
    assert {h.entry["name"] for h in hosts} == {"other.test"}


def test_an_international_name_is_told_how_to_be_written():
    done = run("b\u00fccher.test")
    assert done.returncode == USAGE and "xn--" in done.stderr


@pytest.mark.parametrize("line", ["nosuch.onion and more",
                                  "a.test:0", "a.test:65536", "a.test:x", "[::1",
                                  "http://a.test/", "https://", "https:///x",
                                  "https://user@a.test/", "a..test", "a.test,b.test"])
def test_a_bad_line_is_wrong_usage(tmp_path, line):
    path = tmp_path / "hosts"
    path.write_text(f"nosuch.onion\n{line}\n")
    done = run("-f", path)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert line in done.stderr


def test_a_list_that_cannot_be_read(tmp_path):
    done = run("-f", tmp_path / "nowhere")
    assert done.returncode == 2 and "nowhere" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("arguments", [
    (), ("--nonsense", "a.test"), ("--timeout", "0s", "a.test"), ("--timeout", "5", "a.test"),
    ("--timeout", "2h", "a.test"), ("--timeout", "soon", "a.test"), ("--timeout",),
    ("--starttls", "imap", "a.test"), ("--name", "not a name", "a.test"), ("--name", "", "a.test"),
    ("a.test:0",), ("a.test:99999",), ("http://a.test",), ("https://",), ("--name", ".", "a.test"), ("",), ("a b",), ("-f",),
    ("--ca", "/dev/null"), ("a.test:443:443",), ("[a.test]:443",), ("user@a.test",)],
    ids=lambda a: " ".join(a) or "nothing")
def test_wrong_usage_is_64(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert done.stderr.strip()


def test_an_empty_list_is_wrong_usage(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("# none\n\n")
    done = run("-f", path)
    assert done.returncode == USAGE and done.stderr.strip()


@pytest.mark.parametrize("content", [
    None, "", "no certificate\n",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_ca_file_that_is_none_could_not_do_it(tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    done = run("--ca", path, f"127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "ca.pem" in done.stderr


def test_help_tells_the_exit_codes():
    done = run("--help")
    assert done.returncode == 0 and done.stderr == ""
    for word in ("0 compliant", "3 compliant with findings", "1 not compliant",
                 "2 could not tell", "64 wrong usage", "--starttls smtp", "--json"):
        assert word in done.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_output_that_cannot_be_written_is_2(strict, pki, options):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = run(*options, "--ca", pki.trust, *here(strict.port), capture_output=False,
                   stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert "standard output" in done.stderr and "No space" in done.stderr


def test_an_interrupt_ends_it():
    with Peer(lambda sock, _: wire.read_to_end(sock)) as peer:
        process = subprocess.Popen([BINARY, "check", "--timeout", "50s", f"127.0.0.1:{peer.port}"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            while peer.count == 0:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=50)
        finally:
            process.kill()
            process.wait()
    assert process.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert out == err == b""
