"""/proxy.pac: what only allows goes through the forward listeners, all else does not.

The model of the patterns is this file's own; Node evaluates, and Chromium obeys.
"""

import ipaddress
import json
import random

import pytest

import hellos
from client_programs import CLIENTS, command
from gate import StartError, free_port, ini
from names import with_hosts
from probe import Browser
from upstreams import nginx

SETS, ASKED, AT_ONCE = 60, 150, 20
NAMES = ["a.example", "b.a.example", "c.b.a.example", "example", "xa.example", "a.example.test",
         "xn--bcher-kva.example", "under_score.example", "1a.example", "a-b.example", "example.a"]
V4 = ["10.0.0.0", "10.0.0.1", "10.1.2.3", "10.128.0.1", "11.0.0.1", "192.0.2.1", "203.0.113.255",
      "0.0.0.1", "255.255.255.255", "128.0.0.0"]
V6 = ["2001:db8::", "2001:db8::1", "2001:db8:0:1::", "2001:db8:8000::1", "2001:db9::1", "fe80::1",
      "::2", "::1.2.3.4", "64:ff9b::a00:1", "1:2:3:4:5:6:7:8", "::ffff:0:1", "ffff::", "0:0:1::"]
LOCAL = ["localhost", "LocalHost", "a.localhost", "localhost.", "127.0.0.1", "127.255.0.9", "[::1]",
         "[0:0:0:0:0:0:0:1]", "[::0001]", "[::ffff:127.0.0.1]", "[::FFFF:7f00:2]"]
PORTS = [1, 80, 442, 443, 444, 1023, 1024, 2048, 2049, 8443, 65535]


def plain(ip):
    """An address that is mapped to IPv6 is the IPv4 address."""
    return getattr(ip, "ipv4_mapped", None) or ip


class Pattern:
    """One line of only, and what it means."""

    def __init__(self, dice):
        self.kind = dice.choice(["any", "name", "name", "wildcard", "wildcard", "v4", "v4", "v6", "v6"])
        self.ranges = dice.choice([[], [], [(443, 443)], [(443, 443), (8443, 8443)], [(1024, 2048)],
                                   [(1, 65535)], [(1, 80), (444, 444), (2049, 65535)]])
        self.host = getattr(self, "_" + self.kind)(dice)

    def _any(self, _):
        return "*"

    def _name(self, dice):
        self.name = dice.choice(NAMES)
        return cased(self.name, dice)

    def _wildcard(self, dice):
        self.name = dice.choice(NAMES)
        return "*." + cased(self.name, dice)

    def _v4(self, dice):
        base, bits = dice.choice(V4), dice.choice([0, 1, 7, 8, 9, 15, 16, 17, 24, 31, 32])
        self.network = ipaddress.ip_network(f"{base}/{bits}", strict=False)
        if dice.randrange(5) == 0:
            return f"[::ffff:{base}]/{bits + 96}"
        return base if bits == 32 and dice.randrange(2) else f"{base}/{bits}"

    def _v6(self, dice):
        base, bits = dice.choice(V6), dice.choice([0, 1, 15, 16, 17, 32, 33, 47, 48, 64, 97, 127, 128])
        if ipaddress.ip_address(base).ipv4_mapped:
            bits = 128
            self.network = ipaddress.ip_network(plain(ipaddress.ip_address(base)))
        else:
            self.network = ipaddress.ip_network(f"{base}/{bits}", strict=False)
        return f"[{base}]" if bits == 128 and dice.randrange(2) else f"[{base}]/{bits}"

    def __str__(self):
        ports = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in self.ranges)
        return self.host + (f":{ports}" if ports else "")

    def allows(self, host, port):
        if self.ranges and not any(a <= port <= b for a, b in self.ranges):
            return False
        if self.kind == "any":
            return True
        if self.kind in ("v4", "v6"):
            return not isinstance(host, str) and host.version == self.network.version \
                and host in self.network
        if not isinstance(host, str):
            return False
        return host == self.name if self.kind == "name" else host.endswith("." + self.name)


def cased(text, dice):
    return "".join(dice.choice([c.lower, c.upper])() for c in text)


def spelled_v6(ip, dice):
    """One of the many forms of the same address."""
    forms = [str(ip), ip.exploded, ip.exploded.upper(),
             ":".join(f"{int(word, 16):x}" for word in ip.exploded.split(":"))]
    tail = ipaddress.IPv4Address(int(ip) & 0xffffffff)
    forms.append(":".join(ip.exploded.split(":")[:6]) + f":{tail}")
    return f"[{dice.choice(forms)}]"


def spelled_host(dice):
    """(as in a URL, what it is, whether browsers alone make it canonical)"""
    kind = dice.choice(["name", "name", "v4", "v6", "mapped", "odd"])
    if kind == "name":
        name = dice.choice(NAMES)
        name = dice.choice(["", "", "x.", "y.x."]) + name
        return cased(name, dice) + dice.choice(["", "", "."]), name, False
    if kind == "v4":
        text = dice.choice(V4)
        return text, ipaddress.ip_address(text), False
    if kind == "v6":
        ip = ipaddress.ip_address(dice.choice(V6))
        return spelled_v6(ip, dice), plain(ip), False
    if kind == "mapped":
        ip = ipaddress.ip_address("::ffff:" + dice.choice(V4))
        return spelled_v6(ip, dice), plain(ip), False
    ip = ipaddress.ip_address(dice.choice(V4))
    odd = [(str(int(ip)), ip), (hex(int(ip)), ip), (f"{ip}.", ip), ("bücher.EXAMPLE", NAMES[6]),
           ("a。example", "a.example"), ("%61.example", "a.example"), ("ａ.example", "a.example")]
    return (*dice.choice(odd), True)


class Question:
    """A URL, with what it means."""

    def __init__(self, dice):
        self.scheme = dice.choice(["https"] * 6 + ["wss", "HTTPS", "http", "ws", "ftp"])
        self.port = dice.choice(PORTS)
        given = f":{self.port}"
        if dice.randrange(2):
            given, self.port = dice.choice(["", ":", ":443"]), 443
        spelled, self.host, self.odd = spelled_host(dice)
        self.local = dice.randrange(12) == 0
        if self.local:
            spelled, self.odd = dice.choice(LOCAL), False
        user = dice.choice(["", "", "", "me@", "me:secret@", "a.example:443@", "u%40v@"])
        rest = dice.choice(["/", "", "/x@y:1/z", "/?https://b.a.example:8443/", "/#@a.example:1",
                            "?a@b:1", "#x", "/%2f:80/"])
        self.url = f"{self.scheme}://{user}{spelled}{given}{rest}"
        self.raw_host = spelled.strip("[]") if dice.randrange(2) else spelled
        self.proxied = self.scheme.lower() in ("https", "wss") and not self.local

    def forms(self):
        """As browsers ask, and as programs do that take the URL as it is."""
        yield [self.url, None]
        if not self.odd:
            yield [self.url, self.raw_host]


def evaluate(cases):
    done = command("node", CLIENTS / "pac.js", stdin=json.dumps(cases).encode())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pac_of(port):
    answer = hellos.ask(port, b"GET /proxy.pac HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.status == 200
    return answer.body.decode()


@pytest.fixture
def make_pacs(make_gate, ca_folder):
    """make_pacs([pattern, ...], ...) -> (the PROXY answer, the text for each list of patterns)."""
    def make(*lists):
        forward, ports, pacs = free_port(), [free_port() for _ in lists], []
        sections = {
            "proxy": {"workers": 1},
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "audit": {"file": "audit.jsonl"},
            "listen forward": {"type": "forward", "address": f"127.0.0.1:{forward}"}}
        for n, (port, only) in enumerate(zip(ports, lists)):
            sections[f"listen pub{n}"] = {"type": "publish", "address": f"127.0.0.1:{port}",
                                          "only": list(map(str, only))}
        gate = make_gate(ini(sections))
        pacs = [pac_of(port) for port in ports]
        assert gate.stop() == 0
        return f"PROXY 127.0.0.1:{forward}", pacs
    return make


def test_it_decides_as_the_patterns_say(make_pacs):
    dice = random.Random(20261129)
    lists = [[Pattern(dice) for _ in range(dice.randint(1, 4))] for _ in range(SETS)]
    told = {True: 0, False: 0}
    for first in range(0, SETS, AT_ONCE):
        some = lists[first:first + AT_ONCE]
        proxy, pacs = make_pacs(*some)
        questions = [[Question(dice) for _ in range(ASKED)] for _ in some]
        answers = evaluate([{"pac": pac, "questions": [f for q in asked for f in q.forms()]}
                            for pac, asked in zip(pacs, questions)])
        for patterns, asked, said in zip(some, questions, answers):
            pairs = [(q, form) for q in asked for form in q.forms()]
            assert len(pairs) == len(said)
            for (q, form), answer in zip(pairs, said):
                wanted = q.proxied and any(p.allows(q.host, q.port) for p in patterns)
                told[wanted] += 1
                assert answer == (proxy if wanted else "DIRECT"), (form, list(map(str, patterns)))
    assert min(told.values()) > 1000  # both answers are tested


def test_without_patterns_everything_with_https_is_proxied(make_pacs):
    dice = random.Random(1)
    proxy, (pac,) = make_pacs([])
    asked = [Question(dice) for _ in range(400)]
    forms = [(q, form) for q in asked for form in q.forms()]
    (said,) = evaluate([{"pac": pac, "questions": [form for _, form in forms]}])
    for (q, form), answer in zip(forms, said):
        assert answer == (proxy if q.proxied else "DIRECT"), form


STRANGE = [["", ""], ["https", "x"], ["https://", ""], ["https:///", ""], ["https://[", "["],
           ["https://a.example:99999999999/", "a.example"], ["about:blank", ""], ["data:,x", ""],
           ["https:a.example", "a.example"], ["javascript:1", ""], ["https://a/", "1.2.3.4.5"],
           ["https://a/", ":::"], ["https://a/", "::1::"], ["https://a/", "1:2:3:4:5:6:7:8:9"],
           ["https://a/", "999.1.1.1"], ["https://a/", "[fe80::1%25eth0]"], ["https://a/", "."],
           ["https://a/", "__proto__"], ["https://a/", "x" * 5000], ["https://a/", ":" * 3000],
           ["https://" + "@" * 3000, "a"]]


def test_strange_questions_have_an_answer_too(make_pacs):
    """No error and no hang, which browsers would take for DIRECT or worse."""
    proxy, pacs = make_pacs([], ["*.example"], ["10.0.0.0/8", "[2001:db8::]/32", "[::1.2.3.4]/100"],
                            ["*:443"])
    for said in evaluate([{"pac": pac, "questions": STRANGE} for pac in pacs]):
        assert len(said) == len(STRANGE) and set(said) <= {proxy, "DIRECT"}


def test_a_long_list_from_a_file(make_pacs, tmp_path):
    names = [f"n{n}.example" for n in range(1000)]
    (tmp_path / "list").write_text("".join(f"{name}\n" for name in names))
    proxy, (pac,) = make_pacs(["file:list"])
    asked = [[f"https://{name}/", name] for name in (names[0], names[999], "n1000.example")]
    assert evaluate([{"pac": pac, "questions": asked}]) == [[proxy, proxy, "DIRECT"]]


def test_a_longer_list_is_refused(make_pacs, tmp_path):
    """Each client would get all of it."""
    (tmp_path / "list").write_text("".join(f"n{n}.example\n" for n in range(1001)))
    with pytest.raises(StartError, match="only has more than 1000 destinations"):
        make_pacs(["file:list"])


# ---- a browser -------------------------------------------------------------------------------

@pytest.mark.once
def test_chromium_obeys(make_gate, ca_folder, pki, tmp_path):
    """One name goes through the gate, which resolves it; another, and the same on another port,
    do not."""
    web, forward, publish, second = tmp_path / "web", free_port(), free_port(), free_port()
    web.mkdir()
    (web / "page.html").write_text("<p>the origin's own words</p>")
    leaf = pki.leaf("pac", san=("DNS:*.example.test",))
    with nginx(tmp_path, leaf, files=web, extra=f"listen 127.0.0.1:{second} ssl;") as origin:
        gate = make_gate(ini({
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust},
            "audit": {"file": "audit.jsonl"},
            "listen forward": {"type": "forward", "address": f"127.0.0.1:{forward}"},
            "listen publish": {"type": "publish", "address": f"127.0.0.1:{publish}",
                               "only": f"*.example.test:{origin.port}"},
        }), wrapper=with_hosts(tmp_path, [("127.0.0.1", "proxied.example.test")]))
        browser = Browser(tmp_path, ca_folder / "ca.pem")
        browser.trust("origin", pki.trust)

        def dom(name, port):
            return browser.run(f"https://{name}:{port}/page.html", "--dump-dom",
                               proxy=f"--proxy-pac-url=http://127.0.0.1:{publish}/proxy.pac",
                               names="MAP proxied.example.test 127.0.0.1, ")

        assert "the origin's own words" in dom("proxied.example.test", origin.port)
        assert "the origin's own words" in dom("proxied.example.test", second)
    gate.wait_record(action="connection-opened")
    opened = gate.matching(action="connection-opened")
    assert {(r["suitegate"]["identity"], r["destination"]["port"]) for r in opened} == \
        {("proxied.example.test", origin.port)}
