"""log report and log tail: the same figures as the log, and hostile text does no harm."""

import collections
import html.parser
import json
import re
import subprocess

import pytest

import gate as harness
import hellos
import wire
from gate import free_port
from scene import at, wait_until
from upstreams import TlsPeer, page

HOSTILE = ["<script>alert(1)</script>", "\x1b[31mred\x1b[0m", "a\nb\rc", "\u202egpj.exe", "\"'&<>",
           "\u0085\u009b31m", "x" * 5000, "\U0001f600\u00e9"]


@pytest.fixture(scope="module")
def log(tmp_path_factory, running, start_fixed, pki):
    """A log of allowed and refused connections of several kinds: its path."""
    with TlsPeer(wire.server_context(pki.ec), page()) as upstream:
        folder = tmp_path_factory.mktemp("report")
        gate = start_fixed(lambda config, **options: harness.Gate(folder, config, **options),
                           upstream=upstream.port)
        context = wire.client_context(pki.trust, ciphers="ECDHE+AESGCM:AES128-SHA:@SECLEVEL=0")
        for _ in range(3):
            with wire.Tls(wire.dial(gate.port), context, name="localhost").handshake() as tls:
                wire.get(tls, "/")
                tls.close_notify()
        for hello in (hellos.hello(suites=(0x002F,)), hellos.hello(suites=(0x002F,)),
                      hellos.hello(version=0x0301)):
            sock = wire.dial(gate.port)
            sock.sendall(hello)
            wire.read_to_end(sock)
            sock.close()
        gate.wait_record(action="connection-refused", count=3)
        gate.wait_record(action="connection-closed", count=3)
    with wire.Tls(wire.dial(gate.port), context, name="localhost").handshake() as tls:
        assert wire.get(tls, "/").status == 502
    assert gate.stop() == 0
    gate.finish()
    return gate.audit_path


def run(*arguments, status=0, **options):
    done = harness.run("log", *arguments, **options)
    assert done.returncode == status, (done.returncode, done.stdout[:500], done.stderr[:500])
    return done.stdout


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def attempts(path):
    return [r for r in records(path)
            if r["event"]["action"] in ("connection-opened", "connection-refused")]


def forge(path, **changes):
    """A log with hostile text from peers: each change of a path in a real record."""
    base = next(r for r in records(path) if r["event"].get("code") == "client_no_approved_suite")
    lines = []
    for where, values in changes.items():
        for value in values:
            record = json.loads(json.dumps(base))
            *parents, last = where.split("__")
            place = record
            for key in parents:
                place = place.setdefault(key, {})
            place[last] = value
            lines.append(json.dumps(record))
    return "\n".join(lines) + "\n"


# ---- the report --------------------------------------------------------------------------------

def test_the_figures_are_the_logs(log):
    report = json.loads(run("report", "--json", log))
    tries = attempts(log)
    codes = collections.Counter(r["event"]["code"] for r in tries if "code" in r["event"])
    assert report["reasons"] == codes
    assert report["attempts"]["allowed"] == sum("code" not in r["event"] for r in tries) == 3
    assert report["attempts"]["refused"] == codes.total() == 4
    assert report["attempts"]["downgrades"] == sum(
        at(r, "suitegate.downgrade") == "yes" for r in tries)
    assert report["legs"] == {leg: sum(at(r, "suitegate.leg") == leg for r in tries)
                              for leg in ("client", "upstream", "either")}
    assert report["blames"] == {blame: sum(at(r, "suitegate.blame") == blame for r in tries)
                                for blame in ("client", "upstream", "operator")}
    assert report["records"] == len(records(log)) and report["unreadable_lines"] == 0
    assert sum(b["refused"] for b in report["timeline"]) == 4
    assert report["process"]["starts"] == report["process"]["stops"] == 1


def test_whom_to_fix_first_and_how(log):
    report = json.loads(run("report", "--json", log))
    client, = report["clients"]["rows"]
    assert (client["name"], client["to_blame"], client["allowed"]) == ("127.0.0.1", 3, 3)
    newest = [r for r in attempts(log) if at(r, "suitegate.blame") == "client"][-1]
    assert client["newest"]["record"] == newest["event"]["sequence"]
    assert client["newest"]["connection_id"] == newest["suitegate"]["connection_id"]
    assert client["newest"]["code"] == "client_protocol_too_old"
    assert "TLS 1.0" in client["newest"]["offer"] and "TLS 1.2" in client["to_change"]
    assert "TLS_RSA_WITH_AES_128_CBC_SHA" in client["weak_offers"]
    endpoint, = report["endpoints"]["rows"]
    assert (endpoint["to_blame"], endpoint["allowed"]) == (1, 3)
    assert endpoint["newest"]["code"] == "upstream_unreachable"
    assert endpoint["newest"]["client"] == "127.0.0.1"


def test_the_text_fits_a_terminal(log):
    text = run("report", log)
    assert max(map(len, text.splitlines())) <= 80
    for words in ("7 in all: 3 allowed (42.9%), 4 refused (57.1%)", "CLIENTS TO FIX FIRST",
                  "client_no_approved_suite", "To change: Turn TLS 1.2 on", "TIMELINE"):
        assert words in text, words


@pytest.mark.parametrize("since, until, found", [
    ("2000-01-01", None, 7), (None, "2000-01-01", 0), ("1h", None, 7), ("7d", "2999-01-01", 7),
    (None, "1h", 0), ("2999-01-01T00:00:00Z", None, 0)])
def test_since_and_until(log, since, until, found):
    options = [o for name, value in (("--since", since), ("--until", until)) if value
               for o in (name, value)]
    attempts_of = json.loads(run("report", "--json", *options, log))["attempts"]
    assert attempts_of["allowed"] + attempts_of["refused"] == found


def test_since_is_exact(log):
    tries = attempts(log)
    report = json.loads(run("report", "--json", "--since", tries[2]["@timestamp"], "--until",
                            tries[5]["@timestamp"], log))
    expected = [r for r in tries
                if tries[2]["@timestamp"] <= r["@timestamp"] < tries[5]["@timestamp"]]
    assert report["attempts"]["allowed"] + report["attempts"]["refused"] == len(expected)


def test_several_files_and_standard_input(log):
    twice = json.loads(run("report", "--json", log, log))
    assert twice["attempts"]["refused"] == 8
    piped = run("report", "--json", "-", input=log.read_text())
    assert json.loads(piped) == json.loads(run("report", "--json", log))


@pytest.mark.parametrize("arguments, status", [
    (["report"], 64), (["report", "--since", "soon", "LOG"], 64), (["report", "--json", "--html",
     "LOG"], 64), (["report", "/no/such/file"], 2), (["report", "/dev/null"], 0),
    (["tail", "/no/such/file"], 2), (["tail", "a", "b"], 64), (["nonsense"], 64), ([], 64)])
def test_what_cannot_be_reported(log, arguments, status):
    run(*[log if a == "LOG" else a for a in arguments], status=status)


def test_lines_that_are_no_records_are_counted(log):
    dirty = "no json\n{}\n[1]\n{\"event\":3}\n" + log.read_text() + '{"@timestamp":"torn'
    report = json.loads(run("report", "--json", "-", input=dirty))
    assert report["unreadable_lines"] == 5 and report["attempts"]["refused"] == 4


class Page(html.parser.HTMLParser):
    """The elements and attributes of a page, and its text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_self_contained(log):
    text = run("report", "--html", log)
    found = Page(text)
    assert not found.open and "script" not in found.tags and "link" not in found.tags
    assert not [a for a in found.attributes if a[0] in ("src", "href") or a[0].startswith("on")]
    assert not re.search(r"url\(|@import|https?:", text)
    assert found.tags.count("rect") >= 3
    for words in ("Refusals over time, by reason", "Endpoints by state", "Clients to fix first",
                  "client_protocol_too_old"):
        assert words in found.text


def test_addresses_stay_whole_beside_weak_offers(log):
    """The cells break words anywhere, except the cell with the client's address."""
    text = run("report", "--html", log)
    table = text[text.index("Weak offers by client"):]
    assert re.search(r'<table class="named"><tr><th>client</th>', table)
    assert ".named td:first-child{overflow-wrap:normal}" in text
    assert re.search(r"max-width:36rem\)\{.*\.named td\{display:block\}", text)


def hostile_log(log):
    return forge(log, source__ip=HOSTILE, destination__domain=HOSTILE,
                 suitegate__connection_id=HOSTILE, suitegate__detail=HOSTILE,
                 suitegate__client__weak_offers=[[h] for h in HOSTILE],
                 tls__client__supported_ciphers=[[h] for h in HOSTILE],
                 suitegate__client__hello_version=HOSTILE, message=HOSTILE)


def test_hostile_words_stay_words_in_a_page(log):
    found = Page(run("report", "--html", "-", input=hostile_log(log)))
    assert "script" not in found.tags and not found.open
    assert "<script>alert(1)</script>" in found.text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", found.text)


@pytest.mark.parametrize("command", [["report"], ["tail"]])
def test_hostile_words_never_reach_a_terminal(log, command):
    text = run(*command, "-", input=hostile_log(log))
    assert not re.search("[^\n\x20-\x7e]", text)
    assert "\\u{1b}[31mred" in text
    if command == ["report"]:
        assert max(map(len, text.splitlines())) <= 80


def test_a_report_of_many_names_is_bounded(log):
    """30,000 clients: the busiest stay, the others are counted together."""
    base = next(line for line in log.read_text().splitlines() if "client_no_approved_suite" in line)
    lines = [base.replace('"ip":"127.0.0.1"', f'"ip":"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"', 1)
             for i in range(30000)]
    busy = base.replace('"ip":"127.0.0.1"', '"ip":"192.0.2.1"', 1)
    lines[20000:20000] = [busy] * 50
    report = json.loads(run("report", "--json", "-", input="\n".join(lines) + "\n", timeout=60))
    clients = report["clients"]
    assert clients["rows"][0]["name"] == "192.0.2.1" and clients["rows"][0]["refused"] == 50
    assert len(clients["rows"]) + clients["counted_together"] == 30001
    assert sum(r["refused"] for r in clients["rows"]) + clients["counted_together_refused"] == 30050


# ---- tail --------------------------------------------------------------------------------------

def test_tail_shows_a_line_a_record(log):
    lines = run("tail", log).splitlines()
    assert len(lines) == min(20, len(log.read_text().splitlines()))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} refused 127\.0\.0\.1 -> \S+ "
                        r"client_no_approved_suite: offered .*TLS_RSA_WITH_AES_128_CBC_SHA",
                        next(l for l in lines if "no_approved_suite" in l))
    assert any(re.search(r" opened 127\.0\.0\.1 -> \S+ TLS 1\.2 TLS_ECDHE_", l) for l in lines)


def test_tail_refused_only(log):
    lines = run("tail", "--refused", log).splitlines()
    assert lines and all(" refused " in l or "client-fallback-retry" in l for l in lines)


def test_tail_has_colours_on_a_terminal_only(log):
    assert "\x1b" not in run("tail", log)
    shown = subprocess.run(["script", "-qec", f"{harness.BINARY} log tail {log}", "/dev/null"],
                           capture_output=True, text=True, check=True).stdout
    assert "\x1b[1;31mrefused\x1b[0m" in shown
    plain = subprocess.run(["script", "-qec", f"NO_COLOR=1 {harness.BINARY} log tail {log}",
                            "/dev/null"], capture_output=True, text=True, check=True).stdout
    assert "\x1b" not in plain


def test_tail_knows_the_configured_log(make_forward):
    gate = make_forward()
    gate.wait_record(action="proxy-started")
    assert "proxy-started" in run("tail", "-c", gate.config_path)


def test_tail_follows_over_a_rotation(make_forward, tmp_path):
    gate = make_forward()
    gate.wait_record(action="proxy-started")
    out = tmp_path / "shown"
    with open(out, "wb") as shown:
        tail = subprocess.Popen([harness.BINARY, "log", "tail", "-f", gate.audit_path],
                                stdout=shown)
    try:
        for turn in range(3):
            wire.connect(gate.port, f"127.0.0.1:{free_port()}")[0].close()
            wait_until(lambda: out.read_text().count("upstream_unreachable") == turn + 1,
                       what="the record")
            gate.audit_path.rename(tmp_path / f"audit.{turn}")
            gate.reload()
    finally:
        tail.terminate()
        tail.wait()


def test_tail_ends_when_nobody_reads(log):
    done = subprocess.run(f"{harness.BINARY} log tail - < {log} | head -1", shell=True,
                          capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout.count("\n") == 1
