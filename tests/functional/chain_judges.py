"""The judges of a generated chain: OpenSSL, GnuTLS, Go and the gate itself.

Each judge takes all plans and returns a list of verdicts: "" accepts, any other text is a reason.
Names are compared for servers only.
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
    """As on Debian: security level 2, anchors of any kind, policies processed. It builds its path
    itself from what was sent."""
    purposes = {True: libcrypto.SSL_CLIENT, False: libcrypto.SSL_SERVER}
    return [libcrypto.verify(leaf=plan.sent[0], others=plan.sent[1:], trusted=plan.trusted,
                             lists=plan.lists, purpose=purposes[plan.is_client],
                             host=plan.expected_host, is_address=plan.is_address, level=2,
                             policy=ANY_POLICY) for plan in plans]


def gnutls(plans, _folder):
    """It sorts the certificates; a profile of 112 bits."""
    return [libgnutls.verify(sent=pem(*plan.sent), trusted=pem(*plan.trusted),
                             lists=pem(*plan.lists, kind="X509 CRL"), host=plan.expected_host,
                             purpose=PURPOSES[plan.purpose]) for plan in plans]


def go(plans, folder):
    """crypto/x509, all in one run; it ignores CRLs."""
    program = folder / "verify"
    subprocess.run(["go", "build", "-o", program, HERE / "judges" / "verify.go"], check=True,
                   timeout=120, env={**os.environ, "GO111MODULE": "off", "GOFLAGS": "-mod=mod",
                                     "GOPROXY": "off", "GOCACHE": str(folder / "go-cache")})

    def encoded(ders):
        return [base64.b64encode(d).decode() for d in ders]

    cases = [{"Client": p.is_client, "Host": p.expected_host or "", "Trusted": encoded(p.trusted),
              "Sent": encoded(p.sent)} for p in plans]
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


def trust_files(plans, folder, name="trust"):
    """(trust, CRLs or None) of all plans in one file each."""
    trust = folder / f"{name}.pem"
    trust.write_bytes(pem(*(d for p in plans for d in p.trusted)))
    lists = [d for p in plans for d in p.lists]
    if not lists:
        return trust, None
    crl = folder / f"{name}.crl"
    crl.write_bytes(pem(*lists, kind="X509 CRL"))
    return trust, crl


def hosts_wrapper(plans, folder):
    named = [(p.ip, p.host) for p in plans if not p.is_address]
    return with_hosts(folder, [("127.0.0.1", "localhost"), *named])


def start_gate(plans, folder):
    """One gate with one trust file for all servers and one for all clients."""
    servers = [p for p in plans if not p.is_client]
    trust, crl = trust_files(servers, folder)
    client_ca, client_crl = trust_files([p for p in plans if p.is_client], folder, "clients")
    ca_init(folder, "ecdsa")
    ports = free_port(), free_port()
    config = ini({
        "ca": {"certificate": folder / "ca.pem", "key": folder / "ca.key"},
        "upstream": {"trust": trust, "crl": crl},
        "audit": {"file": "audit.jsonl"},
        "listen forward": {"type": "forward", "address": f"127.0.0.1:{ports[0]}"},
        "listen clients": {"type": "test", "address": f"127.0.0.1:{ports[1]}",
                           "client_certificate": "required", "client_ca": client_ca,
                           "client_crl": client_crl}})
    gate = Gate(folder, config, wrapper=hosts_wrapper(servers, folder))
    gate.port, gate.clients_port = ports
    return gate


def ask_for_server(gate, server, plan):
    """One connection through the gate; the code that its client sees, "" if it was accepted."""
    sock, answer = wire.connect(gate.port, server.target(plan), plan.ip)
    if answer.status == 200:
        with wire.Tls(sock, wire.client_context(),
                      name=None if plan.is_address else plan.host) as tls:
            answer = wire.get(tls.handshake())
    if answer.status == 200:
        return ""
    return re.search(r"^\s*Code:\s+(\w+)$", answer.body, re.M)[1]


def ask_for_client(gate, _server, plan):
    """One connection to the gate; the alert that its client sees, "" if it was accepted."""
    with wire.dial(gate.clients_port, source=plan.ip) as sock:
        ending = presenter.present(sock, plan.key_of_leaf, plan.sent)
    return "" if ending == "data" else ending


def recorded(gate):
    """{source: its only record}, without ends of connections."""
    found = {}
    for record in gate.records():
        if record["event"]["action"] in ("connection-opened", "connection-refused"):
            assert found.setdefault(record["source"]["ip"], record) is record, record
    return found


def verdict_of(plan, record, seen):
    """The code; of a client, whose certificates have only one, with the detail."""
    code, about = record["event"].get("code", ""), record["suitegate"]
    shown = about.get("alert", {}).get("sent", "") if plan.is_client else code
    assert seen == shown, (plan.tags, seen, record)
    return f"{code}: {about['detail']}" if plan.is_client and "detail" in about else code


def gate_verdicts(gate, server, plans):
    """The verdict on each plan's one connection: its record and its client agree."""
    ask = {True: ask_for_client, False: ask_for_server}
    seen = all_of(lambda plan: ask[plan.is_client](gate, server, plan), plans)
    gate.stop()
    records = recorded(gate)
    return [verdict_of(plan, records[plan.ip], one) for plan, one in zip(plans, seen)]
