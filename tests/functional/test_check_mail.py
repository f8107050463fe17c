"""`suitegate check` of mail servers, which use STARTTLS."""

import pytest

import wire
from checks import GREETING, HTTP, NOISE, UNOFFERED, Front, judge, judge_all
from gate import free_port
from upstreams import Peer, Process


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
    """A greet() for a Front: the dialogue before TLS, with the test's answers."""
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
    """Bytes before TLS are not trusted (CVE-2011-0411)."""
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
