"""Names with a meaning that the test chooses: own /etc/hosts and DNS, by Linux namespaces.

Needs no privilege if user namespaces are allowed. c-ares 1.18 takes no port in resolv.conf, hence
the network namespace: there port 53 of 127.0.0.53 is free for all.

As a program: names.py ZONE.json [PORT] answers DNS on 127.0.0.53:PORT (53) until it is killed.
"""

import contextlib
import ipaddress
import json
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
DNS = "127.0.0.53"
ELSEWHERE = "10.99.0.1"  # an address outside loopback, for clients in a World
TYPES = {1: "A", 28: "AAAA"}
NXDOMAIN, SERVFAIL = 3, 2


def unshare(*kinds):
    """argv that gives a program namespaces of its own; skips the test if the system allows them to
    nobody, as in a chroot."""
    argv = ["unshare", *kinds]
    tried = subprocess.run([*argv, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        import pytest  # not in the name server's own process
        pytest.skip(f"not here: {tried.stderr.strip()}")
    return argv


def with_hosts(folder, entries):
    """argv that gives a program an /etc/hosts with entries ((ip, name), ...)."""
    hosts = folder / "hosts"
    hosts.write_text("".join(f"{ip} {name}\n" for ip, name in entries))
    return [*unshare("--user", "--map-root-user", "--mount"), "sh", "-c",
            f'mount --bind "{hosts}" /etc/hosts && exec "$@"', "sh"]


class NameServer:
    """A name server without namespaces: .address is what a gate's resolver option takes. zone: as
    that of World."""

    def __init__(self, folder, zone, port):
        (folder / "zone.json").write_text(json.dumps(zone))
        self.address = f"{DNS}:{port}"
        self._argv = [sys.executable, "-B", HERE / "names.py", folder / "zone.json", str(port)]

    def __enter__(self):
        self.process = subprocess.Popen(self._argv, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class World:
    """A network and mount namespace with loopback and a name server; .enter is the argv that runs a
    program in it. zone: {name: {"A": [..], "AAAA": [..], "TTL": 60} or {"CNAME": name, "TTL": 60}
    or "SERVFAIL" or "SILENT"}; any other name is NXDOMAIN."""

    def __init__(self, folder, zone, users=False):
        """users: with all the users of the system, which only root can have."""
        self.folder, self.zone = folder, zone
        self._user = [] if users else ["--user"]

    def __enter__(self):
        resolv, hosts, zone = (self.folder / n for n in ("resolv.conf", "hosts", "zone.json"))
        resolv.write_text(f"nameserver {DNS}\n")
        hosts.write_text("127.0.0.1 localhost\n")
        zone.write_text(json.dumps(self.zone))
        script = (f'ip link set lo up && ip addr add {ELSEWHERE}/32 dev lo && mount --bind "{resolv}" /etc/resolv.conf && '
                  f'mount --bind "{hosts}" /etc/hosts && exec "{sys.executable}" '
                  f'"{HERE / "names.py"}" "{zone}"')
        self.process = subprocess.Popen(
            [*unshare(*self._user, *(["--map-root-user"] if self._user else []), "--net", "--mount"), "sh", "-c", script],
            stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"
        self.enter = ["nsenter", "-t", str(self.process.pid), *self._user, "--net", "--mount",
                      "--preserve-credentials", "--"]
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    @contextlib.contextmanager
    def without_dns(self):
        """The name server is up and does not answer."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def ask(self, port, raw, source="127.0.0.1"):
        """hellos.ask() from inside the namespace and from that address; returns the raw answer."""
        # nsenter changes to the root of the other mount namespace: no relative paths.
        code = (f"import sys; sys.path.insert(0, {str(HERE)!r}); import hellos; "
                "sys.stdout.buffer.write("
                "hellos.ask(int(sys.argv[1]), sys.stdin.buffer.read(), source=sys.argv[2]).raw)")
        done = subprocess.run([*self.enter, sys.executable, "-B", "-c", code, str(port), source],
                              input=raw, capture_output=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def answer(query, zone):
    """The reply to one query, or None for silence (RFC 1035 section 4.1)."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
        at += 1 + query[at]
    kind = TYPES.get(int.from_bytes(query[at + 1:at + 3], "big"))
    entry = zone.get(".".join(labels))
    if entry == "SILENT":
        return None
    code = NXDOMAIN if entry is None else SERVFAIL if entry == "SERVFAIL" else 0
    resources = []
    if isinstance(entry, dict) and "CNAME" in entry:
        alias = b"".join(bytes([len(l)]) + l.encode() for l in entry["CNAME"].split(".")) + b"\0"
        resources.append(resource(b"\xc0\x0c", 5, entry.get("TTL", 60), alias))
        owner, entry = alias, zone[entry["CNAME"]]
    else:
        owner = b"\xc0\x0c"
    for text in entry.get(kind, []) if isinstance(entry, dict) else []:
        number = int.from_bytes(query[at + 1:at + 3], "big")
        packed = ipaddress.ip_address(text).packed
        resources.append(resource(owner, number, entry.get("TTL", 60), packed))
    reply = query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(resources), 0, 0)
    return reply + query[12:at + 5] + b"".join(resources)


def resource(owner, kind, ttl, data):
    """One resource record of class IN (RFC 1035 section 4.1.3)."""
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def serve(zone, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((DNS, port))
        print("ready", flush=True)
        while True:
            query, peer = server.recvfrom(1500)
            reply = answer(query, zone)
            if reply:
                server.sendto(reply, peer)


class BlackHole:
    """A port whose SYNs are never answered: its queue of unaccepted connections is full."""

    def __init__(self, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sockets = [socket.socket(family, socket.SOCK_STREAM)]
        self.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sockets[0].bind((address, port))
        self.sockets[0].listen(0)
        self.where = (address, port)

    def __enter__(self):
        for _ in range(8):
            filler = socket.socket(self.sockets[0].family, socket.SOCK_STREAM)
            filler.setblocking(False)
            filler.connect_ex(self.where)
            self.sockets.append(filler)
        time.sleep(0.05)
        return self

    def __exit__(self, *_):
        for one in self.sockets:
            one.close()


if __name__ == "__main__":
    serve(json.loads(pathlib.Path(sys.argv[1]).read_text()),
          int(sys.argv[2]) if len(sys.argv) > 2 else 53)
