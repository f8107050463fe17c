"""Where a name leads, which clients may go there, and whose fault a failure is."""

import json
import subprocess
import sys

import pytest

import hellos
from gate import free_port
from hellos import connect_request
from names import ELSEWHERE, World
from scene import nofile
from verdicts import only_refusal

HERE = "127.0.0.1"
SPECIAL = {
    "loopback.test": ("A", "127.0.0.1", "loopback"),
    "loopback6.test": ("AAAA", "::1", "loopback"),
    "mapped.test": ("AAAA", "::ffff:127.0.0.1", "loopback"),
    "nat64.test": ("AAAA", "64:ff9b::7f00:1", "loopback"),
    "6to4.test": ("AAAA", "2002:7f00:1::1", "loopback"),
    "metadata.test": ("A", "169.254.169.254", "link-local"),
    "link.test": ("AAAA", "fe80::1", "link-local"),
    "group.test": ("A", "224.0.0.1", "multicast"),
    "group6.test": ("AAAA", "ff02::1", "multicast"),
    "zero.test": ("A", "0.0.0.0", "unspecified"),
    "any.test": ("AAAA", "::", "unspecified"),
}
ZONE = {name: {kind: [address]} for name, (kind, address, _) in SPECIAL.items()}
ZONE.update({"mixed.test": {"A": ["127.0.0.1", ELSEWHERE]},
             "far.test": {"A": [ELSEWHERE]},
             "broken.test": "SERVFAIL", "silent.test": "SILENT"})


@pytest.fixture
def world(tmp_path):
    with World(tmp_path, ZONE) as made:
        yield made


@pytest.fixture
def made(make_forward, world):
    """made(**listen options) -> a gate in the world that also serves ELSEWHERE"""
    def make(**listen):
        return make_forward(proxy={"connect_timeout": "3s", "workers": 1},
                            listen={"allow_clients": ["127.0.0.0/8", "10.0.0.0/8"], **listen},
                            options={"wrapper": world.enter})
    return make


def answer(world, gate, authority, source=ELSEWHERE):
    return hellos.Response(world.ask(gate.port, connect_request(authority), source))


# ---- addresses of this machine or its link only -------------------------------------------------

@pytest.mark.parametrize("name", SPECIAL)
def test_a_name_that_leads_to_a_special_address_is_denied(made, world, name):
    _, address, kind = SPECIAL[name]
    gate = made()
    response = answer(world, gate, f"{name}:443")
    assert (response.status, response.proxy_error) == (403, "destination_ip_prohibited")
    record = only_refusal(gate, "destination_denied")
    assert record["destination"]["domain"] == name
    shown = address.removeprefix("::ffff:")
    assert f"The name leads to {shown}, a" in record["message"], record["message"]
    assert f" {kind} address" in record["message"] and "allow_upstreams" in record["message"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254",
                                  "[64:ff9b::a9fe:a9fe]", "0.0.0.0"])
def test_so_is_the_address_itself(made, world, host):
    gate = made()
    response = answer(world, gate, f"{host}:443")
    assert (response.status, response.proxy_error) == (403, "destination_ip_prohibited")
    only_refusal(gate, "destination_denied")


def test_for_a_client_of_socks_too(made, world):
    gate = made(type="socks5")
    request = b"\5\1\0" + b"\5\1\0\1\x7f\0\0\1\1\xbb"
    assert world.ask(gate.port, request, ELSEWHERE)[:4] == b"\5\0" + b"\5\2"
    only_refusal(gate, "destination_denied")


def test_a_client_on_this_machine_may(made, world):
    gate = made()
    assert answer(world, gate, f"loopback.test:{free_port()}", HERE).status == 502
    only_refusal(gate, "upstream_unreachable")


@pytest.mark.parametrize("allowed, status", [
    ("127.0.0.0/8", 502), ("127.0.0.1:*", 502), ("127.0.0.2", 403), ("*", 403),
    ("loopback.test", 403), ("127.0.0.1:1", 403)])
def test_a_range_in_allow_upstreams_may(made, world, allowed, status):
    """A pattern allows the name; it does not allow every address of the name."""
    gate = made(allow_upstreams=["loopback.test", allowed])
    assert answer(world, gate, f"loopback.test:{free_port()}").status == status
    only_refusal(gate, "destination_denied" if status == 403 else "upstream_unreachable")


def test_what_else_the_name_leads_to_is_tried(made, world):
    gate = made()
    port = free_port()
    assert answer(world, gate, f"mixed.test:{port}").status == 502
    only_refusal(gate, "upstream_unreachable")


# ---- this machine's own shortage -------------------------------------------------------------------

def test_a_dead_resolver_is_the_operator_s(made, world):
    gate = made()
    with world.without_dns():
        response = answer(world, gate, "far.test:443")
    assert (response.status, response.proxy_error) == (504, "dns_timeout")
    assert only_refusal(gate, "resolver_unavailable")["suitegate"]["blame"] == "operator"


def test_a_name_server_s_own_failure_is_the_upstream_s(made, world):
    gate = made()
    assert answer(world, gate, "broken.test:443").status == 504
    assert only_refusal(gate, "upstream_name_lookup_failed")["suitegate"]["blame"] == "upstream"


def test_silence_about_one_name_is_the_upstream_s(made, world):
    """The name server answers other queries meanwhile, so it is alive."""
    gate = made()
    code = ("import socket, sys, time\n"
            "def ask(name):\n"
            "    s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 20)\n"
            "    s.sendall(f'CONNECT {name}:443 HTTP/1.1\\r\\nHost: {name}:443\\r\\n\\r\\n'.encode())\n"
            "    return s\n"
            "slow = ask('silent.test'); time.sleep(0.5); quick = ask('broken.test')\n"
            "while quick.recv(4096): pass\n"
            "while slow.recv(4096): pass\n")
    subprocess.run([*world.enter, sys.executable, "-c", code, str(gate.port)], check=True,
                   timeout=40)
    record = gate.wait_record(lambda r: r["destination"].get("domain") == "silent.test",
                              action="connection-refused")
    assert record["event"]["code"] == "upstream_name_lookup_failed"


def leave_two_ports(world):
    """For sockets that are not bound, in the world."""
    subprocess.run([*world.enter, "sh", "-c",
                    "echo 40000 40001 > /proc/sys/net/ipv4/ip_local_port_range"], check=True)


def test_no_local_port_is_the_operator_s(made, world):
    """Two local ports, both in use towards this one destination."""
    gate = made()
    port = free_port()
    code = ("import socket, sys\n"
            "upstream = socket.create_server(('10.99.0.1', int(sys.argv[2])))\n"
            "def ask(source):\n"
            "    s = socket.socket(); s.bind((source, 20000 + ask.n)); ask.n += 1\n"
            "    s.settimeout(20); s.connect(('127.0.0.1', int(sys.argv[1])))\n"
            "    s.sendall(f'CONNECT 10.99.0.1:{sys.argv[2]} HTTP/1.1\\r\\nHost: x:1\\r\\n\\r\\n'.encode())\n"
            "    return s\n"
            "ask.n = 0\n"
            "held = [ask('127.0.0.1') for _ in range(6)]\n"
            "print([s.recv(12)[9:].decode() for s in held])\n")
    leave_two_ports(world)
    done = subprocess.run([*world.enter, sys.executable, "-c", code, str(gate.port), str(port)],
                          check=True, timeout=60, capture_output=True, text=True)
    answers = json.loads(done.stdout.replace("'", '"'))
    assert "503" in answers and set(answers) <= {"200", "503"}, answers
    record = gate.wait_record(code="limit_reached")
    assert record["suitegate"]["blame"] == "operator"
    assert "ip_local_port_range" in record["message"]


def test_no_descriptor_is_the_operator_s(made, world):
    """One descriptor is left, which the client's connection takes."""
    gate = made()
    answer(world, gate, f"{ELSEWHERE}:{free_port()}")
    with nofile(gate, gate.fds() + 1):
        response = answer(world, gate, f"{ELSEWHERE}:{free_port()}")
    assert response.status == 503
    record = gate.wait_record(code="limit_reached")
    assert record["suitegate"]["blame"] == "operator" and "LimitNOFILE" in record["message"]
