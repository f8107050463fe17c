"""The judges of `suitegate check`: an enumerator without a TLS library, nmap and testssl.sh, and
the servers that they all judge.

The enumerator asks one question per connection: a ClientHello of one version with one suite. It
counts the suite as accepted if the answer is a ServerHello of that version and suite and, below TLS
1.3, a whole flight up to ServerHelloDone. It uses neither the project's code nor a TLS library.
"""

import concurrent.futures
import contextlib
import functools
import itertools
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import threading
import xml.etree.ElementTree as ElementTree

import wire
from gate import ROOT, free_port
from pki import Leaf, openssl
from upstreams import Peer, Process, nginx

THREADS = 4
TIMEOUT = 10

VERSIONS = {"SSL 3.0": 0x0300, "TLS 1.0": 0x0301, "TLS 1.1": 0x0302, "TLS 1.2": 0x0303,
            "TLS 1.3": 0x0304}
PROTOCOLS = ("SSL 2.0", *VERSIONS)


def _names():
    """Number to IANA name, as the program's tables have them."""
    found = {}
    for file, pattern in (("cipher_names.def", r'^CIPHER_NAME\((0x\w+), "(\w+)"'),
                          ("suites.def", r'^SUITE\((0x\w+), "(\w+)"')):
        text = (ROOT / "include" / "policy" / file).read_text()
        found |= {int(a, 16): b for a, b in re.findall(pattern, text, re.M)}
    return found


NAMES = _names()
NUMBERS = {name: number for number, name in NAMES.items()}

# RFC 8446 section 4.2.7, RFC 8422, RFC 7027, RFC 8734, RFC 9189; unknown numbers do no harm.
GROUPS = {
    **{n: f"sect{s}" for n, s in enumerate(
        ("163k1", "163r1", "163r2", "193r1", "193r2", "233k1", "233r1", "239k1", "283k1", "283r1",
         "409k1", "409r1", "571k1", "571r1"), 1)},
    **{n: f"secp{s}" for n, s in enumerate(
        ("160k1", "160r1", "160r2", "192k1", "192r1", "224k1", "224r1", "256k1", "256r1", "384r1",
         "521r1"), 15)},
    26: "brainpoolP256r1", 27: "brainpoolP384r1", 28: "brainpoolP512r1", 29: "x25519", 30: "x448",
    31: "brainpoolP256r1tls13", 32: "brainpoolP384r1tls13", 33: "brainpoolP512r1tls13",
    **{n: f"GC{s}" for n, s in enumerate(("256A", "256B", "256C", "256D", "512A", "512B", "512C"),
                                         34)},
    256: "ffdhe2048", 257: "ffdhe3072", 258: "ffdhe4096", 259: "ffdhe6144", 260: "ffdhe8192",
}
# Hash by kind of key as in TLS 1.2, and the additions of RFC 8446, 8734 and 9189 and its drafts.
SIGNATURES = ([0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B, 0x0807,
               0x0808] + [h << 8 | s for h in (4, 5, 6, 3, 2, 1) for s in (1, 3, 2)]
              + [0x081A, 0x081B, 0x081C, 0x0840, 0x0841, 0xEEEE, 0xEFEF, 0xEDED])
WEAK = {0x0101: "rsa_pkcs1_md5", 0x0201: "rsa_pkcs1_sha1", 0x0203: "ecdsa_sha1",
        0x0301: "rsa_pkcs1_sha224", 0x0303: "ecdsa_sha224"}
SCSV_FALLBACK = 0x5600
HANDSHAKE, ALERT = 22, 21
ALERT_PROTOCOL_VERSION = 70
CLIENT_HELLO, SERVER_HELLO, CERTIFICATE, KEY_EXCHANGE, HELLO_DONE = 1, 2, 11, 12, 14
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


# ---- one question ------------------------------------------------------------------------------

def _vector(size, items, width):
    body = b"".join(i.to_bytes(width, "big") for i in items)
    return len(body).to_bytes(size, "big") + body


def hello(version, suites, *, groups=tuple(GROUPS), signatures=tuple(SIGNATURES), extra=(),
          without=(), compression=(0,), shares=(29,), session_id=b""):
    """A ClientHello's record. extra is ((number, body), ..); without omits extensions."""
    extensions = {
        0: struct.pack(">HBH", 12, 0, 9) + b"localhost",
        10: _vector(2, groups, 2),
        11: b"\3\0\1\2",
        22: b"", 23: b"", 35: b"",
        0xFF01: b"\0",
    }
    if not groups:
        del extensions[10]
    if version >= 0x0303:
        extensions[13] = _vector(2, signatures, 2)
    if version >= 0x0304:
        extensions[43] = b"\2" + struct.pack(">H", version)
        # Any 32 bytes are a public key of X25519 (RFC 7748 section 5).
        entries = b"".join(struct.pack(">HH", g, 32) + os.urandom(32) for g in shares)
        extensions[51] = struct.pack(">H", len(entries)) + entries
        extensions[45] = b"\1\1"
        session_id = session_id or os.urandom(32)
    if any("_SRP_" in NAMES.get(s, "") for s in suites):
        extensions[12] = b"\4user"
    extensions.update(extra)
    for number in without:
        extensions.pop(number, None)
    blob = b"".join(struct.pack(">HH", n, len(b)) + b for n, b in extensions.items())
    body = (struct.pack(">H", min(version, 0x0303)) + os.urandom(32)
            + bytes([len(session_id)]) + session_id + _vector(2, suites, 2)
            + _vector(1, compression, 1) + (struct.pack(">H", len(blob)) + blob if blob else b""))
    return struct.pack(">BHHB", HANDSHAKE, min(version, 0x0301), len(body) + 4, CLIENT_HELLO) \
        + len(body).to_bytes(3, "big") + body


class Reply:
    """The answer: .version and .suite of the ServerHello (None without one), .retry whether it was
    a HelloRetryRequest, .extensions, .compression, .messages by type, .alert (level, description),
    .whole whether the flight was complete."""

    def __init__(self):
        self.version = self.suite = self.alert = self.compression = self.session_id = None
        self.retry = self.whole = False
        self.extensions, self.messages, self.raw = {}, {}, b""

    def take(self, kind, body):
        self.messages[kind] = body
        if kind == HELLO_DONE:
            self.whole = True
        if kind != SERVER_HELLO or self.suite is not None:
            return
        self.version, at = int.from_bytes(body[:2], "big"), 35 + body[34]
        self.session_id, self.retry = body[35:at], body[2:34] == RETRY
        self.suite, self.compression = int.from_bytes(body[at:at + 2], "big"), body[at + 2]
        at += 5
        while at + 4 <= len(body):
            number, size = struct.unpack_from(">HH", body, at)
            self.extensions[number] = body[at + 4:at + 4 + size]
            at += 4 + size
        if 43 in self.extensions:
            self.version = int.from_bytes(self.extensions[43], "big")
        if self.version >= 0x0304:
            self.whole = True  # what follows is encrypted, or the client's turn

    @property
    def group(self):
        """The number of the named group of the key exchange."""
        if 51 in self.extensions:
            return int.from_bytes(self.extensions[51][:2], "big")
        exchange = self.messages.get(KEY_EXCHANGE, b"")
        return int.from_bytes(exchange[1:3], "big") if exchange[:1] == b"\3" else None


def ask(port, question, prepare=None, host="127.0.0.1"):
    """The reply to one ClientHello, read until it is complete, refused or closed."""
    reply, stream, handshake = Reply(), b"", b""
    with socket.create_connection((host, port), TIMEOUT) as sock:
        # No TIME_WAIT: a scan makes thousands of connections.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if prepare:
            prepare(sock)
        with contextlib.suppress(ConnectionError):
            sock.sendall(question)
            while not reply.whole and not reply.alert:
                chunk = sock.recv(65536)
                if not chunk:
                    break
                stream += chunk
                reply.raw += chunk
                while len(stream) >= 5 + (size := int.from_bytes(stream[3:5], "big")) > 5:
                    kind, body, stream = stream[0], stream[5:5 + size], stream[5 + size:]
                    if kind == ALERT and len(body) == 2 and (body[0] == 2 or body[1] == 0):
                        reply.alert = tuple(body)
                    if kind == HANDSHAKE:
                        handshake += body
                    while len(handshake) >= max(
                            4, end := 4 + int.from_bytes(handshake[1:4], "big")):
                        reply.take(handshake[0], handshake[4:end])
                        handshake = handshake[end:]
    return reply


# ---- the enumerator ----------------------------------------------------------------------------

class Found:
    """suites: protocol to the set of accepted names; broken: (protocol, name) to the alert that
    followed its ServerHello."""

    def __init__(self):
        self.suites, self.broken = {p: set() for p in PROTOCOLS}, {}

    @property
    def protocols(self):
        return {p: bool(s) for p, s in self.suites.items()}


def enumerate_suites(port, *, versions=tuple(VERSIONS), threads=THREADS, prepare=None, **options):
    """Found, by one connection for each version and suite; one alone for a version that is refused
    as such whatever the suite."""
    found = Found()

    def is_spoken(version):
        reply = ask(port, hello(VERSIONS[version], list(NAMES), **options), prepare)
        return reply.alert != (2, ALERT_PROTOCOL_VERSION)

    def one(version, number):
        reply = ask(port, hello(VERSIONS[version], [number], **options), prepare)
        if (reply.version, reply.suite) == (VERSIONS[version], number):
            if reply.whole:
                found.suites[version].add(NAMES[number])
            else:
                found.broken[version, NAMES[number]] = reply.alert

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        spoken = [v for v, yes in zip(versions, pool.map(is_spoken, versions)) if yes]
        list(pool.map(one, *zip(*((v, n) for v in spoken for n in NAMES))))
    return found


# ---- what else a server does -------------------------------------------------------------------

class Traits:
    """The features, groups and preference of a server, from the enumerator's Found and more hellos;
    None if a question does not apply. ALPN: of h2 and http/1.1."""

    def __init__(self, port, found, prepare=None):
        self.port, self.found, self.prepare = port, found, prepare
        old = [v for v in ("TLS 1.2", "TLS 1.1", "TLS 1.0", "SSL 3.0") if found.suites[v]]
        self.best_old = old[0] if old else None
        self.best = "TLS 1.3" if found.suites["TLS 1.3"] else self.best_old
        self.all = [v for v in VERSIONS if found.suites[v]]

    def ask(self, version, suites=None, scsv=(), **options):
        names = self.found.suites[version] if suites is None else suites
        numbers = [NUMBERS[n] for n in sorted(names, key=_safest)] + list(scsv)
        return ask(self.port, hello(VERSIONS[version], numbers, **options), self.prepare)

    def extension(self, number, suites=None):
        """Whether the ServerHello below TLS 1.3 has it."""
        if self.best_old is None or (suites is not None and not suites):
            return None
        return number in self.ask(self.best_old, suites).extensions

    def features(self):
        old = self.best_old
        cbc = old and {n for n in self.found.suites[old] if "_CBC_" in n}
        return {
            "secure_renegotiation": self.extension(0xFF01),
            "extended_master_secret": self.extension(23),
            "encrypt_then_mac": self.extension(22, cbc),
            "compression": old and bool(self.ask(old, compression=(1, 0)).compression),
            "fallback_scsv": self.fallback(),
            "session_tickets": self.extension(35),
            "alpn": [a for a in ("h2", "http/1.1") if self.alpn(a.encode())],
        }

    def fallback(self):
        """Whether a hello below the best version, with the SCSV, is refused for it (RFC 7507); None
        if there is nothing below TLS 1.2, as testssl.sh does."""
        lower = [v for v in self.all if v not in (self.best, "TLS 1.2")]
        if not lower:
            return None
        return self.ask(lower[-1], scsv=(SCSV_FALLBACK,)).alert == (2, 86)

    def alpn(self, name):
        body = bytes([len(name)]) + name
        extra = ((16, struct.pack(">H", len(body)) + body),)
        version = self.best_old or self.best
        return 16 in self.ask(version, extra=extra).extensions

    def signature(self, suites, **options):
        """The SignatureAndHashAlgorithm of an ECDHE ServerKeyExchange of TLS 1.2, or None."""
        body = self.ask("TLS 1.2", suites, **options).messages.get(KEY_EXCHANGE, b"")
        return int.from_bytes(body[4 + body[3]:][:2], "big") if body[:1] == b"\3" else None

    def weak_signatures(self):
        """The schemes of WEAK with which ECDHE suites of TLS 1.2 are signed if no other is offered.
        Each hello offers only the suites of the scheme's key: Java chooses an ECDSA suite by its
        order and fails if the only scheme is RSA's."""
        found = set()
        for scheme, name in WEAK.items():
            key = "ECDHE_RSA_" if scheme & 0xFF == 1 else "ECDHE_ECDSA_"
            suites = {n for n in self.found.suites["TLS 1.2"] if key in n}
            if suites and self.signature(suites, signatures=(scheme,)) == scheme:
                found.add(name)
        return found

    def preference(self, version=None):
        version = version or self.best_old or self.best
        names = sorted(self.found.suites[version])
        if len(names) < 2:
            return None
        chosen = {ask(self.port, hello(VERSIONS[version], [NUMBERS[n] for n in order]),
                      self.prepare).suite for order in (names, names[::-1])}
        return "server" if len(chosen) == 1 else "client"

    def groups(self, version):
        """The names of the groups that it accepts when each is offered alone."""
        suites = {n for n in self.found.suites[version]
                  if version == "TLS 1.3" or re.search("ECDHE_|ECDH_anon", n)}
        if not suites:
            return set()
        return {name for number, name in GROUPS.items()
                if self.ask(version, suites, groups=(number,), shares=()).group == number}


def _safest(name):
    """Suites that servers accept without trouble come first."""
    return (not name.startswith("TLS_ECDHE_"), "NULL" in name, "PSK" in name, name)


# ---- the other judges --------------------------------------------------------------------------

def resumes_by_id(port, protocol):
    """Whether openssl s_client, without tickets, resumes a session of its own. Not for SSL 3.0."""
    flag = {"TLS 1.0": "-tls1", "TLS 1.1": "-tls1_1", "TLS 1.2": "-tls1_2"}[protocol]
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", flag, "-cipher", "ALL:@SECLEVEL=0",
         "-legacy_server_connect", "-no_ticket", "-reconnect"], stdin=subprocess.DEVNULL,
        capture_output=True, timeout=50, check=False)
    return b"\nReused, " in done.stdout


NMAP_PROTOCOLS = {"SSLv3": "SSL 3.0", "TLSv1.0": "TLS 1.0", "TLSv1.1": "TLS 1.1",
                  "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}


class Nmap:
    """One run for all ports, in the background: by_port() maps port to (protocol to set of names,
    protocol to "server" or "client")."""

    def __init__(self, *ports):
        self.process = subprocess.Popen(
            ["nmap", "-Pn", "-sT", "-n", "-p", ",".join(map(str, ports)), "--script",
             "+ssl-enum-ciphers,+sslv2", "-oX", "-", "127.0.0.1"], stdout=subprocess.PIPE)
        self._found = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def by_port(self):
        if self._found is None:
            report, _ = self.process.communicate(timeout=120)
            self._found = {int(port.get("portid")): self._read(port)
                           for port in ElementTree.fromstring(report).iter("port")}
        return self._found

    @staticmethod
    def _read(port):
        suites, preference = {p: set() for p in PROTOCOLS}, {}
        for table in port.findall("script[@id='ssl-enum-ciphers']/table"):
            protocol = NMAP_PROTOCOLS[table.get("key")]
            names = table.findall("table[@key='ciphers']/table/elem[@key='name']")
            # nmap names TLS 1.3's suites as if they had a key exchange.
            suites[protocol] = {n.text.replace("TLS_AKE_WITH_", "TLS_")
                                if protocol == "TLS 1.3" else n.text for n in names}
            preference[protocol] = table.findtext("elem[@key='cipher preference']")
        for elem in port.findall("script[@id='sslv2']/table[@key='ciphers']/elem"):
            suites["SSL 2.0"].add(elem.text)
        return suites, preference


TESTSSL_PROTOCOLS = {"ssl2": "SSL 2.0", "ssl3": "SSL 3.0", "sslv2": "SSL 2.0", "sslv3": "SSL 3.0",
                     "tls1": "TLS 1.0", "tls1_1": "TLS 1.1", "tls1_2": "TLS 1.2",
                     "tls1_3": "TLS 1.3"}


def testssl(port, folder, *options):
    """(protocol to bool, protocol to set of names, all findings by id) from testssl.sh."""
    path = pathlib.Path(folder) / f"testssl-{port}.json"
    path.unlink(missing_ok=True)
    subprocess.run(
        ["testssl", "--quiet", "--color", "0", "--warnings", "off", "-n", "none", "--jsonfile",
         path, "--openssl-timeout", "5", "--connect-timeout", "5", "-p", "-E", *options,
         f"127.0.0.1:{port}"],
        capture_output=True, check=False, timeout=600, stdin=subprocess.DEVNULL)
    findings = {f["id"]: f["finding"] for f in json.loads(path.read_text())}
    protocols = {TESTSSL_PROTOCOLS[i.lower()]: f.startswith("offered")
                 for i, f in findings.items() if i.lower() in TESTSSL_PROTOCOLS}
    suites = {p: set() for p in PROTOCOLS}
    for key, finding in findings.items():
        if match := re.fullmatch(r"cipher-(\w+)_x([0-9a-f]+)", key):
            number = int(match[2], 16)
            suites[TESTSSL_PROTOCOLS[match[1]]].add(NAMES.get(number, finding))
    return protocols, suites, findings


def run(*argv, **options):
    return subprocess.run(list(map(str, argv)), capture_output=True, check=True, **options)


# ---- the servers -------------------------------------------------------------------------------

EIGHT = ("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
         "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:"
         "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:"
         "ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384")
EVERYTHING = ("-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0", "-ciphersuites",
              "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
              "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256")
SOUND = ":".join(f"{key}+SHA{size}" for size in (256, 384, 512)
                 for key in ("ECDSA", "RSA-PSS", "RSA"))
HAVE_SRP = shutil.which("srptool") is not None  # Debian 13's GnuTLS has no SRP
# GnuTLS disables TLS 1.3 if a priority has NULL, anonymous key exchange, SRP or RSA-PSK.
GNUTLS_TLS13 = (
    "NORMAL:+VERS-TLS-ALL:+SHA1:+SHA256:+SHA384:+MD5:+SIGN-ALL:+SIGN-RSA-SHA1:+SIGN-ECDSA-SHA1:"
    "+SIGN-DSA-SHA1:+SIGN-DSA-SHA256:+SIGN-RSA-MD5:+GROUP-ALL:+CIPHER-ALL:+ARCFOUR-128:+3DES-CBC:"
    "+CAMELLIA-128-CBC:+CAMELLIA-256-CBC:+CAMELLIA-128-GCM:+CAMELLIA-256-GCM:+AES-128-CCM-8:"
    "+AES-256-CCM-8:+RSA:+DHE-RSA:+DHE-DSS:+ECDHE-RSA:+ECDHE-ECDSA:+COMP-ALL")
GNUTLS_EVERYTHING = GNUTLS_TLS13 + ":+NULL:+ANON-DH:+ANON-ECDH"
DISABLED = "".join(f"{key}=\n" for key in (
    "jdk.tls.disabledAlgorithms", "jdk.tls.legacyAlgorithms", "jdk.certpath.disabledAlgorithms",
    "jdk.disabled.namedCurves"))
# As in java.security since 2026, written out because each update of a JDK has another list.
USUAL = ("jdk.tls.disabledAlgorithms=SSLv3, TLSv1, TLSv1.1, DTLSv1.0, RC4, DES, MD5withRSA, "
         "3DES_EDE_CBC, anon, NULL, ECDH, rsa_pkcs1_sha1, ecdsa_sha1, dsa_sha1\n")
JAVA = """\
import java.io.*;
import java.net.*;
import java.security.*;
import javax.net.ssl.*;

public class Judged {
    /* FILE.p12,.. then PORT PROTOCOLS SUITES for each listener; "" is the default. */
    public static void main(String[] args) throws Exception {
        char[] word = "judged".toCharArray();
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        for (String file : args[0].split(",")) {
            KeyStore one = KeyStore.getInstance(new File(file), word);
            String alias = one.aliases().nextElement();
            store.setKeyEntry(file, one.getKey(alias, word), word, one.getCertificateChain(alias));
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance("SunX509");
        keys.init(store, word);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        for (int i = 1; i < args.length; i += 3) {
            SSLServerSocket server = (SSLServerSocket) context.getServerSocketFactory()
                .createServerSocket(Integer.parseInt(args[i]), 512,
                    InetAddress.getByName("127.0.0.1"));
            if (!args[i + 1].isEmpty()) server.setEnabledProtocols(args[i + 1].split(","));
            if (args[i + 2].equals("all"))
                server.setEnabledCipherSuites(server.getSupportedCipherSuites());
            new Thread(() -> accept(server)).start();
        }
    }

    static void accept(SSLServerSocket server) {
        while (true) {
            try {
                SSLSocket peer = (SSLSocket) server.accept();
                new Thread(() -> handshake(peer)).start();
            } catch (IOException e) {
                return;
            }
        }
    }

    static void handshake(SSLSocket peer) {
        try (peer) {
            peer.setSoTimeout(20000);
            peer.startHandshake();
            /* The client's close, so that what it sends last is not answered with a reset. */
            peer.getInputStream().read();
        } catch (IOException e) {
            System.err.println(e);
        }
    }
}
"""


class Relay(Peer):
    """Runs before the server on port to: edit(bytes, number of the piece, what the client sent
    first) changes what the server sends; greet(sock) plays the protocol before TLS."""

    def __init__(self, to, edit=None, greet=None):
        super().__init__(self._play)
        self._to, self._edit, self._greet = to, edit, greet

    def _play(self, sock, _number):
        if self._greet:
            self._greet(sock)
        first = sock.recv(65536)
        if not first:
            return
        with wire.dial(self._to) as server:
            server.sendall(first)
            forth = threading.Thread(target=self._copy, args=(sock, server), daemon=True)
            forth.start()
            with contextlib.suppress(OSError):
                for number in itertools.count():
                    piece = server.recv(65536)
                    if not piece:
                        break
                    sock.sendall(self._edit(piece, number, first) if self._edit else piece)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            forth.join(wire.TIMEOUT)

    @staticmethod
    def _copy(source, target):
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                target.sendall(chunk)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


def compressing(piece, number, question):
    """Takes DEFLATE if it is offered (RFC 3749); no server of Debian can."""
    if question[0] != HANDSHAKE or number or piece[0] != HANDSHAKE:
        return piece
    hello_body = question[9:]
    at = 35 + hello_body[34]
    at += 2 + int.from_bytes(hello_body[at:at + 2], "big")
    offered = hello_body[at + 1:at + 1 + hello_body[at]]
    if 1 not in offered:
        return piece
    at = 5 + 4 + 35 + piece[5 + 4 + 34] + 2
    return piece[:at] + b"\1" + piece[at + 1:]


def smtp_greeting(sock):
    """RFC 3207, with a reply of several lines; a bad command gets a real server's answer."""
    sock.sendall(b"220 mail.example.test ESMTP\r\n")
    lines = sock.makefile("rb", buffering=0)
    while line := lines.readline():
        verb = line.split()[:1]
        if verb in ([b"EHLO"], [b"ehlo"]):
            sock.sendall(b"250-mail.example.test\r\n250-SIZE 1000000\r\n250-STARTTLS\r\n"
                         b"250 HELP\r\n")
        elif line.strip().upper() == b"STARTTLS":
            sock.sendall(b"220 2.0.0 go ahead\r\n")
            return
        else:
            sock.sendall(b"502 5.5.1 no\r\n")


def smtp_ask(sock):
    """The client's part of STARTTLS, for enumerate_suites(prepare=..)."""
    for command in (None, b"EHLO judged\r\n", b"STARTTLS\r\n"):
        if command:
            sock.sendall(command)
        reply = b""
        while not re.search(rb"(?m)^\d{3} .*\r\n\Z", reply):
            reply += sock.recv(4096)


SSL2_KINDS = {0x010080: "SSL2_RC4_128_WITH_MD5", 0x0700C0: "SSL2_DES_192_EDE3_CBC_WITH_MD5"}


class Ssl2(Relay):
    """An SSLv2 server (draft-hickman-netscape-ssl-00) up to its SERVER-HELLO; Debian has no such
    server. All other bytes go to the server on port to, or are dropped."""

    def __init__(self, certificate, kinds=tuple(SSL2_KINDS), to=None):
        super().__init__(to)
        self._certificate, self._kinds, self.asked = certificate, kinds, 0

    def _play(self, sock, number):
        question = sock.recv(5, socket.MSG_PEEK)
        if not question[:1] or not question[0] & 0x80 or question[2:5] != b"\1\0\2":
            if self._to:
                super()._play(sock, number)
            return
        self.asked += 1
        sock.recv(65536)
        kinds = b"".join(k.to_bytes(3, "big") for k in self._kinds)
        body = (b"\4\0\1\0\2" + struct.pack(">HHH", len(self._certificate), len(kinds), 16)
                + self._certificate + kinds + os.urandom(16))
        sock.sendall(struct.pack(">H", 0x8000 | len(body)) + body)
        wire.read_to_end(sock)


class Keys:
    """One leaf per kind of key, all under the test's root."""

    USAGE = "critical,digitalSignature,keyEncipherment,keyAgreement"

    def __init__(self, pki):
        self.pki = pki
        for name, bits, q in (("dsa1024", 1024, 160), ("dsa2048", 2048, 256)):
            parameters = pki.dir / f"{name}.par"
            openssl("genpkey", "-genparam", "-algorithm", "DSA", "-out", parameters,
                    "-pkeyopt", f"dsa_paramgen_bits:{bits}", "-pkeyopt", f"dsa_paramgen_q_bits:{q}")
            openssl("genpkey", "-paramfile", parameters, "-out", pki.dir / f"{name}.key")
        openssl("genpkey", "-algorithm", "ED25519", "-out", pki.dir / "ed25519.key")

    @functools.cached_property
    def gost(self):
        """Self-signed, since OpenSSL has no GOST."""
        key, template, cert = (self.pki.dir / f"judged-gost.{n}" for n in ("key", "tmpl", "pem"))
        template.write_text("cn=localhost\ndns_name=localhost\ntls_www_server\nsigning_key\n"
                            "encryption_key\nkey_agreement\n")
        run("certtool", "--generate-privkey", "--key-type=gost12-256", "--outfile", key)
        run("certtool", "--generate-self-signed", "--load-privkey", key, "--template", template,
            "--outfile", cert)
        return Leaf("gost", cert, cert, key)

    def __getattr__(self, name):
        issuer = {"ec384": self.pki.ca("judged-rsa", key="rsa2048", issuer=self.pki.root)}
        return self.pki.leaf(f"judged-{name}", key=name, usage=self.USAGE,
                             issuer=issuer.get(name, "inter"))

    def ocsp(self, leaf):
        """The issuer's answer about it, for stapling."""
        asked, answer = (self.pki.dir / f"{leaf.name}.{n}" for n in ("ocsp-request", "ocsp"))
        inter = self.pki.inter
        openssl("ocsp", "-issuer", inter.cert, "-cert", leaf.cert, "-no_nonce", "-reqout", asked)
        openssl("ocsp", "-index", inter.home / "index.txt", "-CA", inter.cert, "-rsigner",
                inter.cert, "-rkey", inter.key, "-reqin", asked, "-respout", answer, "-ndays", "7")
        return answer

    def p12(self, *names):
        paths = []
        for name in names:
            paths.append(self.pki.dir / f"judged-{name}.p12")
            leaf = getattr(self, name)
            openssl("pkcs12", "-export", "-in", leaf.chain, "-inkey", leaf.key, "-name", name,
                    "-out", paths[-1], "-passout", "pass:judged")
        return ",".join(map(str, paths))


class Fleet:
    """All servers, started together: ports[name]. SERVERS has the meaning of each name."""

    def __init__(self, folder, pki):
        self.folder, self.keys, self.ports, self.processes = pathlib.Path(folder), Keys(pki), {}, {}
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            started = []
            for name, argv, env in self._commands():
                process = Process(argv, self.ports[name], self.folder / f"{name}.log")
                process.popen = {"env": {**os.environ, **env}, "cwd": self.folder}
                started.append((name, process))
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                jobs = [pool.submit(stack.enter_context, process) for _, process in started]
            for job in jobs:
                job.result()
            for name, leaves, options in self._nginx():
                self.ports[name] = free_port()
                started.append((name, stack.enter_context(
                    nginx(self.folder, *leaves, port=self.ports[name], **options))))
            self.processes = dict(started)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    # Each entry: name, certificates, more options.
    def _commands(self):
        yield from self._java()
        keys = self.keys
        no_pss = ":".join(f"{k}+SHA{h}" for h in (256, 384, 512, 224, 1) for k in ("RSA", "DSA"))
        for name, kinds, options in (
            ("openssl everything", "rsa2048 ec256", EVERYTHING),
            ("openssl rsa dsa", "rsa2048 dsa1024", (*EVERYTHING, "-serverpref",
                                                    "-sigalgs", no_pss)),
            ("openssl tls1", "rsa2048 ec256", ("-tls1", *EVERYTHING)),
            ("openssl tls1_1", "rsa2048 ec256", ("-tls1_1", *EVERYTHING, "-no_ticket")),
            ("openssl tls1_2", "rsa2048 ec256", ("-tls1_2", *EVERYTHING, "-no_etm")),
            ("openssl tls1_3", "rsa2048 ec256", ("-tls1_3", *EVERYTHING, "-groups", "P-384:X448")),
            ("openssl default", "rsa2048", ()),
            ("openssl eight", "rsa2048 ec256", (
                "-tls1_2", "-cipher", EIGHT, "-serverpref", "-groups", "X25519:P-256:P-384:P-521",
                "-sigalgs", SOUND, "-status_file", keys.ocsp(keys.rsa2048))),
            ("openssl ec", "ec256", ("-tls1_2", "-cipher", "ALL", "-serverpref", "-groups",
                                     "P-256:P-521", "-alpn", "h2,http/1.1")),
            ("openssl rsa", "rsa2048", ("-cipher", "ALL:@SECLEVEL=0", "-legacy_renegotiation",
                                        "-comp", "-groups", "X25519", "-no_tls1_1")),
            ("openssl eddsa", "ed25519", ("-cipher", "ALL")),
            ("openssl anon", "", ("-nocert", "-cipher", "aNULL:@SECLEVEL=0", "-no_tls1_3")),
            ("openssl psk", "rsa2048", (*EVERYTHING, "-psk", "0123456789abcdef")),
        ):
            port = self.ports[name] = free_port()
            argv = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-www"]
            for flag, kind in zip(("", "d"), kinds.split()):
                leaf = getattr(keys, kind)
                argv += [f"-{flag}cert", leaf.cert, f"-{flag}key", leaf.key,
                         f"-{flag}cert_chain", leaf.chain]
            yield name, [*argv, *options], {}
        psk, srp, groups = (self.folder / f"gnutls.{n}" for n in ("psk", "srp", "groups"))
        psk.write_text("user:0123456789abcdef\n")
        if HAVE_SRP:
            run("srptool", "--create-conf", groups)
            run("srptool", "--passwd", srp, "--passwd-conf", groups, "--username", "user",
                input=b"judged\njudged\n")
        for name, kinds, priority, options in (
            ("gnutls normal", "rsa2048 ec256", "NORMAL", ()),
            ("gnutls everything", "rsa2048 ec256 dsa2048", GNUTLS_EVERYTHING, ()),
            ("gnutls no etm", "rsa2048", GNUTLS_TLS13 + ":%NO_ETM", ("--noticket",)),
            ("gnutls gost", "rsa2048 gost", "NORMAL:+GOST", ()),
            ("gnutls unsafe", "rsa2048 ec256", "NORMAL:%DISABLE_SAFE_RENEGOTIATION:"
             "%NO_SESSION_HASH:%SERVER_PRECEDENCE", ("--nodb", "--noticket", "--alpn", "http/1.1")),
            ("gnutls tls12", "rsa2048", "NORMAL:-VERS-ALL:+VERS-TLS1.2", ()),
            ("gnutls psk", "rsa2048", GNUTLS_EVERYTHING + ":+PSK:+DHE-PSK:+ECDHE-PSK:+RSA-PSK",
             ("--pskpasswd", psk)),
            ("gnutls srp", "rsa2048 dsa2048", GNUTLS_EVERYTHING + ":+SRP:+SRP-RSA:+SRP-DSS",
             ("--srppasswd", srp, "--srppasswdconf", groups)),
        ):
            if name == "gnutls srp" and not HAVE_SRP:
                continue
            port = self.ports[name] = free_port()
            argv = ["gnutls-serv", "--http", "--quiet", "--port", port, "--priority", priority,
                    "--disable-client-cert"]
            for kind in kinds.split():
                leaf = getattr(keys, kind)
                argv += ["--x509certfile", leaf.chain, "--x509keyfile", leaf.key]
            yield name, [*argv, *options], {}

    def _java(self):
        source = self.folder / "Judged.java"
        source.write_text(JAVA)
        security = {}
        for name, text in ("everything", DISABLED), ("usual", USUAL):
            path = self.folder / f"{name}.security"
            path.write_text(text)
            security[name] = f"-Djava.security.properties={path}"
        subprocess.run(["javac", "-d", self.folder, source], check=True)
        for name in ("java everything", "java tls12", "java sslv2hello", "java usual"):
            self.ports[name] = free_port()
        ports = self.ports
        java = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]
        everything = [
            *java, security["everything"], "-cp", self.folder, "Judged",
            self.keys.p12("rsa2048", "ec256", "ec384", "dsa1024"),
            ports["java tls12"], "TLSv1.2", "all",
            ports["java sslv2hello"], "SSLv2Hello,SSLv3", "all",
            ports["java everything"], "SSLv3,TLSv1,TLSv1.1,TLSv1.2,TLSv1.3", "all"]
        yield "java everything", everything, {}
        usual = [*java, security["usual"], "-cp", self.folder, "Judged",
                 self.keys.p12("rsa2048", "ec256"), ports["java usual"], "TLSv1.2,TLSv1.3", ""]
        yield "java usual", usual, {}

    def _nginx(self):
        rsa, ec = self.keys.rsa2048, self.keys.ec256
        yield "nginx default", (rsa,), {"protocols": "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"}
        yield "nginx eight", (rsa, ec), {"protocols": "TLSv1.2", "ciphers": EIGHT,
                                         "extra": "ssl_session_tickets off; "
                                                  "ssl_prefer_server_ciphers on; "
                                                  "ssl_ecdh_curve prime256v1:secp384r1;"}
        yield "nginx old", (rsa, ec), {"protocols": "TLSv1 TLSv1.1",
                                       "ciphers": "'ALL:@SECLEVEL=0'",
                                       "extra": "ssl_session_cache shared:x:1m; "
                                                "ssl_session_tickets off;"}
        yield "nginx h2", (rsa, ec), {"protocols": "TLSv1.2 TLSv1.3", "http2": True,
                                      "extra": "ssl_conf_command Options "
                                               "-ExtendedMasterSecret,-EncryptThenMac;"}
