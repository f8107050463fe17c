"""The names of a hosts file, as the proxy finds them: judged by the C library (getent)."""

import random
import re
import subprocess
import time

import hellos
from names import unshare

NAMES = [*(f"name{n}.test" for n in range(16)), "short", "a-b.test", "x.name1.test", "name1"]
# Of this machine or its link: a client is told where the name leads, and nothing is sent there.
ADDRESSES = ["169.254.0.1", "169.254.2.3", "fe80::1", "FE80::0:2", "169.254.0.300", "0169.254.0.1",
             "169.254.1", "1.2.3", "fe80::g", "", "name"]
BLANKS = [" ", "\t", "  ", " \t "]


def line(draw):
    parts = [draw.choice(ADDRESSES), *draw.sample(NAMES, draw.randint(0, 4))]
    text = "".join(p + draw.choice(BLANKS) for p in parts)
    if draw.random() < 0.3:
        text = draw.choice(BLANKS) + text
    if draw.random() < 0.3:
        text += "# " + draw.choice(NAMES)
    if draw.random() < 0.1:
        text = "#" + text
    return text.upper() if draw.random() < 0.2 else text


def test_the_c_library_finds_the_same(make_forward, tmp_path):
    """One gate, while the system's hosts file changes."""
    draw = random.Random(15)
    hosts = tmp_path / "hosts"
    hosts.write_text("")
    enter = [*unshare("--user", "--map-root-user", "--mount"), "sh", "-c",
             f'mount --bind "{hosts}" /etc/hosts && exec "$@"', "sh"]
    gate = make_forward(proxy={"max_handshakes_per_source": 0, "workers": 1},
                        listen={"allow_clients": "10.0.0.0/8", "proxy_protocol_from": "127.0.0.1"},
                        options={"wrapper": enter})
    found = []

    def leads_to(name):
        request = b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + hellos.connect_request(f"{name}:443")
        raw = hellos.ask(gate.port, request).raw.decode()
        if "upstream_name_not_found" in raw:
            return None
        number = re.search(r"Connection: +(\S+) \(in", raw)[1]
        record = gate.wait_record(lambda r: r["suitegate"].get("connection_id") == number)
        return re.search(r"The name leads to (\S+), a", record["message"])[1]

    for turn in range(5):
        lines = [line(draw) + "\n" for _ in range(24)]
        hosts.write_text("".join(lines) + f"169.254.9.{turn} turn.test\n")
        while leads_to("turn.test") != f"169.254.9.{turn}":
            time.sleep(0.2)
        for name in NAMES:
            out = subprocess.run([*enter, "getent", "-s", "files", "ahosts", name], check=False,
                                 capture_output=True, text=True, timeout=10).stdout
            wanted = {row.split()[0] for row in out.splitlines()}
            ip = leads_to(name)
            assert (ip in wanted) if wanted else ip is None, (name, ip, wanted, hosts.read_text())
            found.append(bool(wanted))
    assert len(found) == 100 and 40 < sum(found) < 95, sum(found)
