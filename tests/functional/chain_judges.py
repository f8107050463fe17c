"""The judges of a generated chain: OpenSSL, GnuTLS, Go and the gate itself.

Each judge takes all plans and returns a list of verdicts: "" accepts, any other text is a reason.
"""

import base64
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess

import libcrypto
import libgnutls
import presenter
import wire
from certs import ANY_POLICY, PURPOSES
from gate import Gate, ca_init, free_port, ini
from names import with_hosts
from upstreams import Peer

HERE = pathlib.Path(__file__).parent
AT_ONCE = 4


def pem(*ders, kind="CERTIFICATE"):
    return b"".join(f"-----BEGIN {kind}-----\n".encode() + base64.encodebytes(d)
                    + f"-----END {kind}-----\n".encode() for d in ders)


def all_of(judge, plans):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(judge, plans))


def openssl(plans, _folder):
    """As a client on Debian: security level 2, anchors of any kind, policies processed. It builds
    its path itself from what was sent."""
    return [libcrypto.verify(leaf=plan.sent[0], others=plan.sent[1:], trusted=plan.trusted,
                             lists=plan.lists, host=plan.host, is_address=plan.is_address,
                             level=2, policy=ANY_POLICY) for plan in plans]


def gnutls(plans, _folder):
    """It sorts the certificates; a profile of 112 bits."""
    return [libgnutls.verify(sent=pem(*plan.sent), trusted=pem(*plan.trusted),
                             lists=pem(*plan.lists, kind="X509 CRL"), host=plan.host,
                             purpose=PURPOSES["serverAuth"]) for plan in plans]


def go(plans, folder):
    """crypto/x509, all in one run; it ignores CRLs."""
    program = folder / "verify"
    subprocess.run(["go", "build", "-o", program, HERE / "judges" / "verify.go"], check=True,
                   timeout=120, env={**os.environ, "GO111MODULE": "off", "GOFLAGS": "-mod=mod",
                                     "GOPROXY": "off", "GOCACHE": str(folder / "go-cache")})

    def encoded(ders):
        return [base64.b64encode(d).decode() for d in ders]

    cases = [{"Host": p.host, "Trusted": encoded(p.trusted), "Sent": encoded(p.sent)}
             for p in plans]
    done = subprocess.run([program], input=json.dumps(cases), capture_output=True, text=True,
                          check=True, timeout=120)
    return json.loads(done.stdout)


class Server:
    """Presents every plan's chain. The dialled address selects the plan; there is only one ::1, so
    a plan for that address has its own port."""

    def __init__(self, plans):
        self.port = free_port()
        by_address = {p.ip: p for p in plans}
        self.peers = [Peer(lambda sock, _n: self._present(sock, by_address[sock.getsockname()[0]]),
                           self.port, host="0.0.0.0")]
        self.ports = {}
        for plan in plans:
            if ":" in plan.host:
                self.ports[plan.number] = free_port("::1")
                self.peers.append(Peer(lambda sock, _n, plan=plan: self._present(sock, plan),
                                       self.ports[plan.number], host="::1"))

    @staticmethod
    def _present(sock, plan):
        presenter.serve(sock, plan.key_of_leaf, plan.sent)

    def target(self, plan):
        if ":" in plan.host:
            return f"[{plan.host}]:{self.ports[plan.number]}"
        return f"{plan.host}:{self.port}"

    def __enter__(self):
        for peer in self.peers:
            peer.__enter__()
        return self

    def __exit__(self, *_):
        for peer in self.peers:
            peer.__exit__()


def trust_files(plans, folder):
    """(trust, CRLs or None) of all plans in one file each."""
    trust = folder / "trust.pem"
    trust.write_bytes(pem(*(d for p in plans for d in p.trusted)))
    lists = [d for p in plans for d in p.lists]
    if not lists:
        return trust, None
    crl = folder / "crl.pem"
    crl.write_bytes(pem(*lists, kind="X509 CRL"))
    return trust, crl


def hosts_wrapper(plans, folder):
    named = [(p.ip, p.host) for p in plans if not p.is_address]
    return with_hosts(folder, [("127.0.0.1", "localhost"), *named])


def start_gate(plans, folder):
    """One gate with one trust file for all plans."""
    trust, crl = trust_files(plans, folder)
    ca_init(folder)
    port = free_port()
    config = ini({
        "ca": {"certificate": folder / "ca.pem", "key": folder / "ca.key"},
        "upstream": {"trust": trust, "crl": crl},
        "audit": {"file": "audit.jsonl"},
        "listen forward": {"type": "forward", "address": f"127.0.0.1:{port}"}})
    gate = Gate(folder, config, wrapper=hosts_wrapper(plans, folder))
    gate.port = port
    return gate


def ask_gate(gate, server, plan):
    """One connection through the gate; the code that its client sees, "" if it was accepted. Ten
    sources, since too many refusals of one are counted instead of recorded."""
    source = f"127.60.0.{1 + plan.number % 10}"
    sock, answer = wire.connect(gate.port, server.target(plan), source)
    if answer.status == 200:
        with wire.Tls(sock, wire.client_context(),
                      name=None if plan.is_address else plan.host) as tls:
            answer = wire.get(tls.handshake())
    if answer.status == 200:
        return ""
    return re.search(r"^\s*Code:\s+(\w+)$", answer.body, re.M)[1]


def gate_verdicts(gate, server, plans):
    """The verdict on each plan's one connection: its record and its client agree."""
    shown = all_of(lambda plan: ask_gate(gate, server, plan), plans)
    gate.stop()
    recorded = {}
    for record in gate.records():
        if record["event"]["action"] in ("connection-opened", "connection-refused"):
            key = record["suitegate"]["identity"].lower(), record["destination"]["port"]
            recorded.setdefault(key, []).append(record["event"].get("code", ""))
    for plan, code in zip(plans, shown):
        key = plan.host.lower(), server.ports.get(plan.number, server.port)
        assert recorded.get(key) == [code], (plan.tags, recorded.get(key), code)
    return shown
