"""A gate with a test listener, its pages read by a parser, and a real browser.

The share_probe and make_probe fixtures are imported by the test modules that use them.
"""

import functools
import html.parser
import json
import os
import re
import struct
import subprocess
import types
import zlib

import pytest

import hellos
import wire
from conftest import merged
from gate import ini

VOID = {"meta", "link", "br", "wbr"}
OPENED_CLOSED = ["connection-opened", "connection-closed"]


def addresses(gate):
    """{listener: (address, port)} as the gate printed them."""
    found = re.findall(r"^suitegate: listening on (\S+):(\d+) \((\w+), ", gate.stdout, re.M)
    return {name: (address.strip("[]"), int(port)) for address, port, name in found}


def start_probe(make, pki, ca_folder, *, keys=(), address="127.0.0.1:0", options=None, **extra):
    listener = [("type", "test"), ("address", address)]
    for key in keys:
        leaf = getattr(pki, key)
        listener += [("certificate", leaf.chain), ("key", leaf.key)]
    gate = make(ini(merged({
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "audit": {"file": "audit.jsonl"},
        "listen probe": listener,
    }, extra)), **(options or {}))
    gate.port = addresses(gate)["probe"][1]
    gate.ca_path = pki.trust if keys else ca_folder / "ca.pem"
    return gate


@pytest.fixture(scope="session")
def starter(pki, ca_folder):
    return functools.partial(start_probe, pki=pki, ca_folder=ca_folder)


@pytest.fixture
def make_probe(make_gate, starter):
    """make_probe(keys=(), address=.., proxy={..}, listen={..}) -> Gate of this test with .port of
    its test listener and .ca_path of the trusted CA."""
    return functools.partial(starter, make_gate)


@pytest.fixture
def share_probe(share, starter):
    """Like make_probe, but shared."""
    return functools.partial(share, starter)


@pytest.fixture
def probe(share_probe):
    return share_probe()


# ---- a client --------------------------------------------------------------------------------

def connect(gate, name="localhost", alpn=None, context=None, session=None, host="127.0.0.1"):
    """An established session."""
    context = context or wire.client_context(gate.ca_path, alpn=alpn)
    tls = wire.Tls(wire.dial(gate.port, host), context, name=name, session=session)
    try:
        return tls.handshake()
    except BaseException:
        tls.close()
        raise


def request(path="/json", *fields, method="GET", version="HTTP/1.1"):
    return "\r\n".join([f"{method} {path} {version}", "Host: localhost", *fields, "", ""]).encode()


def exchange(gate, raw, **options):
    """The whole answer to raw, up to a close_notify (else wire.Truncated)."""
    with connect(gate, **options) as tls:
        tls.send(raw)
        return hellos.Response(tls.recv_to_end())


def get(gate, path="/json", *fields, **options):
    return exchange(gate, request(path, *fields), **options)


def data(gate, path="/json", **options):
    answer = get(gate, path, **options)
    assert answer.fields["content-type"].startswith("application/json"), answer.raw
    return json.loads(answer.body)


def page(gate, path="/", **options):
    answer = get(gate, path, "Accept: text/html,*/*;q=0.8", **options)
    assert answer.status == 200 and answer.fields["content-type"] == "text/html; charset=utf-8"
    return Page(answer.body.decode())


def recent_of(gate, record):
    """The entry in /recent for the connection of this record."""
    wanted = record["suitegate"]["connection_id"]
    found = [e for e in data(gate, "/recent")["attempts"] if e["connection_id"] == wanted]
    assert len(found) == 1, found
    return found[0]


# ---- records ---------------------------------------------------------------------------------

def pairs(gate, count=1, by="listener"):
    """The records of COUNT connections and no others: each was opened and closed."""
    gate.wait_record(action="connection-closed", count=count)
    gate.settle()
    by_id = {}
    for record in gate.records():
        if record["event"]["action"] in OPENED_CLOSED or "code" in record["event"]:
            by_id.setdefault(record["suitegate"]["connection_id"], []).append(record)
    assert len(by_id) == count, by_id
    for opened, closed in by_id.values():
        assert [opened["event"]["action"], closed["event"]["action"]] == OPENED_CLOSED
        assert closed["suitegate"]["closed_by"] == by
        for record in opened, closed:
            assert record["destination"]["port"] == gate.port
            assert record["destination"]["ip"] and record["suitegate"]["identity"]
            assert record["suitegate"]["listener"] == "probe"
            assert "upstream" not in record["suitegate"] and record["tls"]["version"] == "1.2"
        if by == "listener":
            assert closed["source"]["bytes"] > 0 and closed["destination"]["bytes"] > 0
    return list(by_id.values())


# ---- pages -----------------------------------------------------------------------------------

class Page(html.parser.HTMLParser):
    """A well-formed page without external resources: .text, .rows of its tables, .terms of its
    lists, .links. Anything else is an AssertionError."""

    def __init__(self, source):
        super().__init__()
        self.source, self.open, self.seen = source, [], []
        self.text, self.links, self.rows, self.terms = "", [], [], {}
        self._term, self._label = None, 0
        assert source.startswith("<!doctype html>\n<html lang=\"en\">")
        self.feed(source)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        assert self.seen.count("h1") == self.seen.count("title") == self.seen.count("main") == 1
        assert not set(self.seen) & {"script", "iframe", "img", "form", "object", "base"}
        assert all(link.startswith("/") or link == "data:," for link in self.links), self.links
        assert not re.search(r"url\(|@import", source), "the page takes from elsewhere"
        assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f]", source), "control characters"
        assert "prefers-color-scheme:dark" in source and "color-scheme:light dark" in source

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"a handler: {name}"
            if name in ("href", "src"):
                self.links.append(value)
        if tag not in VOID:
            self.open.append(tag)
        if ("class", "narrow") in attrs:  # a label for narrow screens only
            self._label = len(self.open)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("dt", "dd"):
            self._term = self._term if tag == "dd" else ""
            if tag == "dd":
                self.terms[self._term] = ""

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> in {self.open}"
        if self._label == len(self.open):
            self._label = 0
        self.open.pop()

    def handle_data(self, text):
        if "style" in self.open or self._label:
            return
        self.text += text
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += text
        elif "dt" in self.open:
            self._term += text
        elif "dd" in self.open:
            self.terms[self._term] += text

    def row(self, name):
        """The cells of the row that begins with name."""
        found = [row for row in self.rows if row[0].startswith(name)]
        assert len(found) == 1, (name, self.rows)
        return found[0]


# ---- Chromium --------------------------------------------------------------------------------

class Browser:
    """Chromium with its own profile, which trusts one CA."""

    def __init__(self, folder, ca):
        self.home = folder / "browser"
        database = self.home / ".pki" / "nssdb"
        database.mkdir(parents=True)
        self._certutil = ["certutil", "-d", f"sql:{database}"]
        subprocess.run([*self._certutil, "-N", "--empty-password"], check=True)
        self.trust("suitegate", ca)

    def trust(self, name, ca):
        subprocess.run([*self._certutil, "-A", "-t", "C,,", "-n", name, "-i", str(ca)], check=True)

    def run(self, url, *arguments, size=(1100, 900), proxy="--no-proxy-server", names=""):
        """names: rules before those that leave only this machine."""
        done = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--hide-scrollbars", proxy,
             f"--host-resolver-rules={names}MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
             f"--user-data-dir={self.home}/profile", f"--window-size={size[0]},{size[1]}",
             *arguments, url], env={**os.environ, "HOME": str(self.home)}, capture_output=True,
            text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def dom(self, url):
        return self.run(url, "--dump-dom")

    def screenshot(self, url, size, *arguments):
        path = self.home / "shot.png"
        path.unlink(missing_ok=True)
        self.run(url, f"--screenshot={path}", *arguments, size=size)
        return png(path.read_bytes())


def png(raw):
    """.width, .height and the .first pixel (RFC 2083): no filter affects that."""
    assert raw.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, depth, colour = struct.unpack(">IIBB", raw[16:26])
    assert depth == 8 and colour in (2, 6)
    pixels, at = b"", 8
    while at < len(raw):
        size, kind = struct.unpack(">I4s", raw[at:at + 8])
        pixels += raw[at + 8:at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    pixels = zlib.decompress(pixels)
    return types.SimpleNamespace(width=width, height=height, first=tuple(pixels[1:4]))
