"""The targets of `suitegate check`: names with several addresses, lists, arguments."""

import re
import signal
import subprocess
import time

import pytest

import wire
from checks import Front, Open, flight, four_at_once, here, judge_all, offers, run, tell
from gate import BINARY, free_port
from names import World, with_hosts
from policy_servers import STRICT
from upstreams import Peer, Process

USAGE = 64


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
    """Such as a load balancer with one node that was not updated."""
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
    """Both fail at one suite, but the second address has no other."""
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
