"""Upstreams on free loopback ports: real servers, and scripted ones for what no real one does.

Each is a context manager with .port and leaves nothing running. Independent of suitegate.
"""

import contextlib
import hashlib
import os
import pathlib
import socket
import struct
import subprocess
import threading
import time

import wire
from gate import PATIENCE, free_port

# linux/netlink.h, linux/inet_diag.h
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, NLMSG_ERROR, NLMSG_DONE = 4, 20, 0x301, 2, 3
TCP_LISTEN = 10

def listening_ports():
    """The TCP ports on which somebody listens (sock_diag(7)): a reader of /proc/net/tcp walks through
    the kernel's table of all connections."""
    found = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
        for family in (socket.AF_INET, socket.AF_INET6):
            request = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, 1 << TCP_LISTEN)
            kernel.send(struct.pack("=IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY,
                                    NLM_F_REQUEST_DUMP, 0, 0) + request)
            done = False
            while not done:
                data = kernel.recv(1 << 16)
                while data:
                    size, kind = struct.unpack_from("=IH", data)
                    done = done or kind in (NLMSG_ERROR, NLMSG_DONE)
                    if kind == SOCK_DIAG_BY_FAMILY:  # struct inet_diag_msg: the port after 4 bytes
                        found.add(struct.unpack_from("!H", data, 16 + 4)[0])
                    data = data[(size + 3) & ~3:]
    return found


class Process:
    """A server process; its output is in log, its standard input takes send()."""

    popen = {}  # more arguments for subprocess.Popen

    def __init__(self, argv, port, log, stdin=subprocess.DEVNULL):
        self.argv, self.port, self.log, self._stdin = argv, port, pathlib.Path(log), stdin

    def __enter__(self):
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([str(a) for a in self.argv], stdin=self._stdin,
                                            stdout=out, stderr=subprocess.STDOUT, **self.popen)
        try:
            self._await_port()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _await_port(self):
        """Asks the kernel, since a test connection would count as a client."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.argv[0]} ended: {self.output}")
            if self._listens():
                return
            time.sleep(0.02)
        raise RuntimeError(f"{self.argv[0]} does not listen: {self.output}")

    def _listens(self):
        with contextlib.suppress(OSError):
            namespace = f"/proc/{self.process.pid}/ns/net"
            if os.path.samefile(namespace, "/proc/self/ns/net"):
                return self.port in listening_ports()
            # In another network namespace: its table, which costs more time.
            for table in ("tcp", "tcp6"):
                text = pathlib.Path(f"/proc/{self.process.pid}/net/{table}").read_text()
                for _, local, _, state, *_ in map(str.split, text.splitlines()[1:]):
                    if state == "0A" and local.endswith(f":{self.port:04X}"):
                        return True
        return False

    @property
    def output(self):
        return self.log.read_text(errors="replace")

    def wait_output(self, text, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert time.monotonic() < deadline, f"no {text!r} in: {self.output}"
            time.sleep(0.02)

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


def s_server(folder, leaf, *options, port=None, stdin=False, www=True):
    """openssl s_server. With www it answers any GET with a page about the session."""
    port = port or free_port()
    argv = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", leaf.cert,
            "-cert_chain", leaf.chain, "-key", leaf.key, *(["-www"] if www else []), *options]
    return Process(argv, port, pathlib.Path(folder) / f"s_server-{port}.log",
                   subprocess.PIPE if stdin else subprocess.DEVNULL)


def gnutls_serv(folder, leaf, priority, port=None):
    port = port or free_port()
    argv = ["gnutls-serv", "--http", "--port", port, "--x509certfile", leaf.chain,
            "--x509keyfile", leaf.key, "--priority", priority]
    return Process(argv, port, pathlib.Path(folder) / f"gnutls-serv-{port}.log")


def nginx(folder, *leaves, port=None, protocols="TLSv1.2", ciphers=None, http2=False, files=None,
          extra="", connections=4096, enter=()):
    """nginx: /facts describes the session, all else is served from files. enter: argv before it."""
    port = port or free_port()
    home = pathlib.Path(folder) / f"nginx-{port}"
    home.mkdir()
    certificates = "".join(f"ssl_certificate {l.chain}; ssl_certificate_key {l.key};\n"
                           for l in leaves)
    temporary = "".join(f"{kind}_temp_path {home}/{kind};\n" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(f"""
daemon off; master_process off; {user} pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections {connections}; }}
http {{
  access_log off; default_type application/octet-stream; {temporary}
  server {{
    listen 127.0.0.1:{port} ssl {"http2" if http2 else ""};
    {certificates}
    ssl_protocols {protocols};
    {f"ssl_ciphers {ciphers};" if ciphers else ""}
    root {files or home};
    location = /facts {{
      return 200 "$ssl_session_reused $ssl_cipher $ssl_protocol $server_protocol";
    }}
    {extra}
  }}
}}
""")
    return Process([*enter, "nginx", "-e", home / "error.log", "-c", home / "nginx.conf"], port,
                   home / "output.log")


def apache(home, port, modules, settings):
    """Apache with these modules, for example "ssl", and whatever the settings say."""
    load = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
                   for name in ("mpm_event", "authz_core", *modules))
    (home / "apache2.conf").write_text(f"""
ServerRoot {home}
PidFile {home}/pid
DefaultRuntimeDir {home}
ErrorLog {home}/error.log
ServerName localhost
Listen 127.0.0.1:{port}
{load}
{settings}
""")
    return Process(["apache2", "-X", "-f", home / "apache2.conf"], port, home / "output.log")


def https_apache(folder, leaf, settings="", modules=()):
    """It serves the files in the folder."""
    port = free_port()
    home = folder / f"apache-{port}"
    home.mkdir()
    return apache(home, port, ("ssl", *modules), f"""
DocumentRoot {folder}
SSLEngine on
SSLCertificateFile {leaf.chain}
SSLCertificateKeyFile {leaf.key}
{settings}
""")


class Peer:
    """Accepts on a thread and gives each connection to script(sock, number) on its own thread.

    All sockets that a script leaves open are closed with it. failures collects what went wrong in
    scripts, except ends of connections, which these tests are about.
    """

    def __init__(self, script, port=None, backlog=512, host="127.0.0.1"):
        self.script, self.port, self.host = script, port or free_port(), host
        self.count, self.failures = 0, []
        self._threads, self._socks, self._lock = [], [], threading.Lock()
        self._backlog = backlog

    def __enter__(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family,
                                              backlog=self._backlog)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(wire.TIMEOUT)
            with self._lock:
                number, self.count = self.count, self.count + 1
                self._socks.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock, number), daemon=True)
                self._threads.append(thread)
            thread.start()

    def _serve(self, sock, number):
        try:
            self.script(sock, number)
        except (OSError, EOFError):  # ssl.SSLError is an OSError
            pass
        except Exception as failure:  # kept for the test, a thread's traceback is lost
            self.failures.append(failure)
        finally:
            sock.close()

    def __exit__(self, *_):
        # A thread blocked in accept() keeps the port until it is woken.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        assert not self.failures, self.failures


class Tap(Peer):
    """Forwards to a server and keeps the raw bytes of each of its clients."""

    def __init__(self, to):
        super().__init__(self._play)
        self._to, self.sent = to, {}

    def _play(self, sock, number):
        self.sent[number] = bytearray()
        with wire.dial(self._to) as server:
            back = threading.Thread(target=self._copy, args=(server, sock), daemon=True)
            back.start()
            try:
                self._copy(sock, server, self.sent[number])
            finally:
                back.join(wire.TIMEOUT)

    @staticmethod
    def _copy(source, target, kept=None):
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                if kept is not None:
                    kept += chunk
                target.sendall(chunk)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class Scripted(Peer):
    """Reads the ClientHello, answers with fixed bytes, then keeps all that it receives."""

    def __init__(self, answer, port=None, end="read"):
        super().__init__(self._play, port)
        self.answer, self.end = answer, end
        self.hellos, self.after = [], []
        self.finished = threading.Event()

    def _play(self, sock, _number):
        try:
            raw = bytearray()
            while not any(kind == 22 for kind, _, _ in wire.records(raw)):
                chunk = sock.recv(65536)
                if not chunk:
                    return
                raw += chunk
            self.hellos.append(bytes(raw))
            sock.sendall(self.answer)
            if self.end == "close":
                return
            if self.end == "reset":
                wire.reset(sock)
                return
            self.after.append(wire.read_to_end(sock))
        finally:
            self.finished.set()

    def alerts(self):
        """The alerts that the other side sent after the answer."""
        assert self.finished.wait(10), "the connection did not end"
        return [a for raw in self.after for a in wire.plain_alerts(raw)]


class TlsPeer(Peer):
    """Python's TLS server. handler(tls, number) gets the session; received is kept per number."""

    def __init__(self, context, handler=None, port=None):
        super().__init__(self._play, port)
        self.context, self.handler = context, handler or (lambda tls, _n: tls.recv_to_end())
        self.received, self.sessions = {}, {}

    def _play(self, sock, number):
        tls = wire.Tls(sock, self.context, server_side=True)
        self.received[number] = tls.received
        try:
            tls.handshake()
        except Exception:
            # What follows the failure (an alert that comes late) belongs to the evidence.
            with contextlib.suppress(OSError):
                tls.received += wire.read_to_end(sock)
            raise
        self.sessions[number] = tls
        self.handler(tls, number)

    def hello(self, number=0):
        return wire.Hello(self.received[number])

    def alerts(self, number=0):
        deadline = time.monotonic() + PATIENCE
        while not wire.plain_alerts(self.received.get(number, b"")):
            if time.monotonic() > deadline:
                return []
            time.sleep(0.02)
        return wire.plain_alerts(self.received[number])


def echo(tls, _):
    """A handler that echoes until the end."""
    while data := tls.recv():
        tls.send(data)
    tls.close_notify()


def page(text="hello from upstream", content_type="text/plain"):
    """A handler that answers one request with text and closes properly."""
    def handler(tls, _number):
        request = bytearray()
        while b"\r\n\r\n" not in request:
            chunk = tls.recv()
            if not chunk:
                return
            request += chunk
        body = text.encode()
        tls.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: %s\r\n"
                 b"Content-Length: %d\r\n\r\n%s" % (content_type.encode(), len(body), body))
        tls.close_notify()
        tls.recv_to_end()
    return handler


class Sink:
    """Takes HTTP uploads over TLS and answers with their SHA-256 and size.

    A blocking ssl socket: fast enough for a hundred MiB; wire.Tls is not."""

    def __init__(self, context):
        self.context = context

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), sock:
                sock.settimeout(wire.TIMEOUT)
                with self.context.wrap_socket(sock, server_side=True) as tls:
                    self._take(tls)

    @staticmethod
    def _take(tls):
        data = bytearray()
        while b"\r\n\r\n" not in data:
            chunk = tls.recv(65536)
            if not chunk:
                return
            data += chunk
        head, _, rest = bytes(data).partition(b"\r\n\r\n")
        size = int(next(line.split(b":")[1] for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length:")))
        digest, left = hashlib.sha256(rest), size - len(rest)
        while left:
            chunk = tls.recv(min(left, 1 << 20))
            if not chunk:
                return
            digest.update(chunk)
            left -= len(chunk)
        body = f"{digest.hexdigest()} {size}".encode()
        tls.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(body), body))

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30)


class Blackhole:
    """A port that answers no SYN: its accept queue is full and nobody accepts."""

    def __enter__(self):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port = self._listener.getsockname()[1]
        self._fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)
        return self

    def __exit__(self, *_):
        for sock in (*self._fillers, self._listener):
            sock.close()
