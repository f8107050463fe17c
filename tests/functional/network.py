"""Three network namespaces in a row: clients, a World in which the gate and the firewall are, and
servers. What clients send to a server goes through the gate's machine.

Needs no privilege if user namespaces are allowed.
"""

import subprocess
import time

from gate import PATIENCE, POLL_SECONDS
from upstreams import nginx

CLIENT, SERVER = {4: "10.99.1.2", 6: "fd99:1::2"}, {4: "10.99.2.2", 6: "fd99:2::2"}
OTHER_SERVER = {4: "10.99.2.3", 6: "fd99:2::3"}
GATE = {4: "10.99.1.1", 6: "fd99:1::1"}
PORT = 443


class Network:
    """.clients, .servers: the argv that runs a program there; .world.enter: at the gate."""

    def __init__(self, world):
        self.world = world
        self._running = []

    def __enter__(self):
        try:
            self.clients = self._far_end("1", [CLIENT])
            self.servers = self._far_end("2", [SERVER, OTHER_SERVER])
            self.at_gate("echo 1 >/proc/sys/net/ipv4/ip_forward; "
                         "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self._running:
            process.kill()
            process.wait()

    @staticmethod
    def run(enter, script):
        done = subprocess.run([*enter, "sh", "-ec", script], capture_output=True, text=True,
                              check=False, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def at_gate(self, script):
        return self.run(self.world.enter, script)

    def firewall(self, rules):
        """Loads rules of nft at the gate."""
        done = subprocess.run([*self.world.enter, "/usr/sbin/nft", "-f", "-"], input=rules, text=True,
                              capture_output=True, check=False, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr

    def _far_end(self, number, addresses):
        """A namespace that a link connects with the gate's; returns the argv that enters it."""
        holder = subprocess.Popen([*self.world.enter, "unshare", "--net", "sleep", "infinity"])
        self._running.append(holder)
        self._await_namespace(holder)
        own = str(self.world.process.pid)
        enter = [str(holder.pid) if word == own else word for word in self.world.enter]
        self.at_gate(f"ip link add to{number} type veth peer name eth0 netns {holder.pid}; "
                     f"ip addr add 10.99.{number}.1/24 dev to{number}; "
                     f"ip addr add fd99:{number}::1/64 dev to{number} nodad; "
                     f"ip link set to{number} up")
        added = "".join(f"ip addr add {a[4]}/24 dev eth0; ip addr add {a[6]}/64 dev eth0 nodad; "
                      for a in addresses)
        self.run(enter, f"ip link set lo up; ip link set eth0 up; {added}"
                        f"ip route add default via 10.99.{number}.1; "
                        f"ip -6 route add default via fd99:{number}::1")
        return enter

    def _await_namespace(self, holder):
        """Until the process has a network namespace of its own."""
        def inode(pid):
            return self.run(self.world.enter, f"stat -Lc %i /proc/{pid}/ns/net").strip()
        deadline = time.monotonic() + PATIENCE
        gate = inode(self.world.process.pid)
        while holder.poll() is None and time.monotonic() < deadline:
            program = open(f"/proc/{holder.pid}/comm", encoding="utf-8").read().strip()
            if program == "sleep" and inode(holder.pid) != gate:
                return
            time.sleep(POLL_SECONDS)
        raise AssertionError("no namespace of its own")

    def origin(self, folder, files, *leaves):
        """nginx on port 443 of both servers."""
        listen = "".join(f"listen {a[4]}:{PORT} ssl; listen [{a[6]}]:{PORT} ssl;"
                         for a in (SERVER, OTHER_SERVER))
        return nginx(folder, *leaves, port=PORT, files=files, extra=listen, enter=self.servers)
