#!/usr/bin/env python3
"""The long tests: soak.py [testssl|chromium|bulk|storm|faults|all]... prints figures, exits 1 on
failure.

    testssl   testssl.sh against a fixed listener with both key types
    chromium  headless Chromium through the forward proxy: a page and an error page
    bulk      1 GiB each way, equal digests, bounded memory
    storm     100,000 connections, good and hostile mixed; memory and descriptors before and after
    faults    what fails, comes back or changes under load (faults.py)

SOAK_CONNECTIONS and SOAK_MIB make them shorter while they are worked on.
"""

import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

import faults as faulty  # noqa: E402
import hellos  # noqa: E402
import wire  # noqa: E402
from faults import demand  # noqa: E402
from gate import ca_init, Gate  # noqa: E402
from pki import Pki  # noqa: E402
from scene import Scene  # noqa: E402
from upstreams import Scripted, Sink, nginx  # noqa: E402

MIB = 1 << 20
CONNECTIONS = int(os.environ.get("SOAK_CONNECTIONS", "100000"))
BULK_MIB = int(os.environ.get("SOAK_MIB", "1024"))

# Findings of testssl.sh that nobody here can or should fix, and why.
ACCEPTED = {
    "TLS1_3": "TLS 1.3 is outside this policy",
    "cipherlist_OBSOLETED": "the policy allows four CBC suites",
    "cipherlist_AVERAGE": "the policy allows four CBC suites",
    "engine_problem": "the testing OpenSSL has no GOST",
    "LUCKY13": "the policy allows four CBC suites; wolfSSL's CBC is constant-time and uses "
               "encrypt-then-mac where it is offered",
    "cert_chain_of_trust": "the test's own CA",
    "cert_caIssuers": "the test's own certificate",
    "cert_crlDistributionPoints": "the test's own certificate",
    "cert_ocspURL": "the test's own certificate",
    "cert_revocation": "the test's own certificate",
    "cert_expirationStatus": "the test's own certificate",
    "cert_extlifeSpan": "the test's own certificate",
    "cert_trust": "the test's own certificate",
    "cert_mustStapleExtension": "the test's own certificate",
    "certificate_transparency": "the test's own certificate",
    "DNS_CAArecord": "localhost has no DNS",
    "OCSP_stapling": "the test's own certificate has no OCSP responder",
    "HSTS": "the upstream's header",
    "BREACH": "the upstream's compression",
    "security_headers": "the upstream's headers",
    "banner_server": "the upstream's header",
    "overall_grade": "follows from the test's own CA",
    "grade_cap_reason": "follows from the test's own CA",
    "final_score": "follows from the rest",
}
FINDINGS = ("LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL")


class Stage:
    """A folder, certificates, and gates that end with it."""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="suitegate-soak-")
        self.folder = pathlib.Path(self._folder.name)
        self.folder.chmod(0o755)
        self.pki = Pki(self.folder / "pki")
        (self.folder / "ca").mkdir()
        ca_init(self.folder / "ca")
        self._gates = []
        return self

    def scene(self, upstream, **sections):
        return Scene(self._gate, self.pki, self.folder / "ca", upstream, **sections)

    def _gate(self, config, **options):
        home = self.folder / f"gate-{len(self._gates)}"
        home.mkdir()
        gate = Gate(home, config, **options)
        self._gates.append(gate)
        return gate

    def __exit__(self, *_):
        try:
            for gate in self._gates:
                gate.finish()
        finally:
            self._folder.cleanup()


# ---- testssl.sh -------------------------------------------------------------------------------

def testssl():
    with Stage() as stage, nginx(stage.folder, stage.pki.ec, stage.pki.rsa) as upstream:
        # Long-lived, or testssl.sh would report the test's own certificates as about to expire.
        stage.pki.long_ec = stage.pki.leaf("long-ec", days=200)
        stage.pki.long_rsa = stage.pki.leaf("long-rsa", days=200, key="rsa2048")
        scene = stage.scene(upstream.port, keys=("long_ec", "long_rsa"), proxy={"workers": 2})
        out = stage.folder / "testssl.json"
        argv = ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none",
                "--ip", "127.0.0.1", "--connect-timeout", "10", "--openssl-timeout", "10",
                "--add-ca", stage.pki.trust, "--jsonfile", out, f"localhost:{scene.fixed}"]
        done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, timeout=1800, check=False)
        demand(out.exists(), f"testssl wrote nothing: {done.stdout[-2000:]}")
        judge_findings(json.loads(out.read_text()))


def judge_findings(findings):
    """Prints every finding; those that are not accepted fail the run."""
    demand(len(findings) > 50, f"testssl tested only {len(findings)} things")
    open_ones = []
    for one in findings:
        if one["severity"] not in FINDINGS:
            continue
        # For a server with two certificates they are numbered: "cert_chain_of_trust <hostCert#1>".
        why = ACCEPTED.get(one["id"].split(" ")[0])
        print(f"  {one['severity']:8} {one['id']}: {one['finding']}"
              + (f"  [accepted: {why}]" if why else ""))
        if not why:
            open_ones.append(one["id"])
    by_id = {one["id"]: one["finding"] for one in findings}
    for old in ("SSLv2", "SSLv3", "TLS1", "TLS1_1"):
        demand("not offered" in by_id.get(old, ""), f"{old}: {by_id.get(old)}")
    print(f"  {len(findings)} results, {len(open_ones)} open findings")
    demand(not open_ones, f"findings that are not accepted: {open_ones}")


# ---- Chromium ---------------------------------------------------------------------------------

def chromium():
    with Stage() as stage:
        home = stage.folder / "home"
        database = home / ".pki" / "nssdb"
        database.mkdir(parents=True)
        certutil = ["certutil", "-d", f"sql:{database}"]
        subprocess.run([*certutil, "-N", "--empty-password"], check=True)
        subprocess.run([*certutil, "-A", "-t", "C,,", "-n", "suitegate", "-i",
                        stage.folder / "ca" / "ca.pem"], check=True)
        web = stage.folder / "web"
        web.mkdir()
        (web / "index.html").write_text("<title>soak</title><p id=x>waiting</p>"
                                        "<script>fetch('/data').then(r=>r.text()).then("
                                        "t=>document.getElementById('x').textContent=t)</script>")
        (web / "data").write_text("fetched by script")
        with nginx(stage.folder, stage.pki.ec, http2=True, files=web,
                   extra="location = /index.html { types {} default_type text/html; }") as good:
            scene = stage.scene(good.port, proxy={"workers": 2})
            text = browse(home, scene.forward, f"https://localhost:{good.port}/index.html")
            demand("fetched by script" in text, f"Chromium did not get the page: {text[-1500:]}")
            opened = scene.gate.matching(action="connection-opened")
            demand(opened, "no record of Chromium's connection")
            print(f"  page: {len(opened)} connections, "
                  f"{opened[0]['tls']['cipher']}, {opened[0]['tls'].get('next_protocol')}, "
                  f"ja4 {opened[0]['tls']['client']['ja4']}")
            with Scripted(wire.alert(40)) as bad:
                text = browse(home, scene.forward, f"https://localhost:{bad.port}/")
            demand("upstream_no_approved_suite" in text,
                   f"Chromium did not get the error page: {text[-1500:]}")
            refused = scene.gate.wait_record(code="upstream_no_approved_suite")
            print(f"  error page: shown; record: {refused['message']}")


def browse(home, proxy, url):
    """Chromium's document after loading."""
    argv = ["chromium", "--headless=new", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-breakpad",
            "--disable-domain-reliability", "--no-default-browser-check",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
            # Chromium bypasses the proxy for loopback by default.
            f"--proxy-server=http://127.0.0.1:{proxy}", "--proxy-bypass-list=<-loopback>",
            f"--user-data-dir={home}/profile", "--virtual-time-budget=5000", "--dump-dom", url]
    if os.geteuid() == 0:
        argv.insert(1, "--no-sandbox")
    done = subprocess.run(argv, env={**os.environ, "HOME": str(home)}, capture_output=True,
                          text=True, timeout=120, check=False)
    return done.stdout + (f"\n[stderr] {done.stderr}" if not done.stdout else "")


# ---- 1 GiB each way ---------------------------------------------------------------------------

class Watch:
    """The highest resident size of a process while it runs."""

    def __init__(self, gate):
        self.gate, self.peak = gate, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self):
        while not self._end.wait(0.2):
            self.peak = max(self.peak, self.gate.rss_kib())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self.peak = max(self.peak, self.gate.rss_kib())


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as data:
        while chunk := data.read(MIB):
            digest.update(chunk)
    return digest.hexdigest()


def bulk():
    with Stage() as stage:
        big, out = stage.folder / "big", stage.folder / "out"
        with open(big, "wb") as data:
            for _ in range(BULK_MIB):
                data.write(random.randbytes(MIB))
        digest = sha256_of(big)
        with nginx(stage.folder, stage.pki.ec, stage.pki.rsa, files=stage.folder) as upstream:
            scene = stage.scene(upstream.port)
            transfer("down", scene, ["-o", out], "/big")
            demand(sha256_of(out) == digest, "the download's digest differs")
            out.unlink()
        with Sink(wire.server_context(stage.pki.ec)) as upstream:
            scene = stage.scene(upstream.port)
            said = transfer("up", scene, ["-T", big, "-H", "Expect:"], "/up")
            demand(said == f"{digest} {big.stat().st_size}", f"the upload's digest differs: {said}")


def transfer(name, scene, options, path):
    argv = ["curl", "-sS", "--fail", "--noproxy", "", "--cacert", scene.ca, "--max-time", "900",
            "--proxy", f"http://127.0.0.1:{scene.forward}", *options,
            f"https://localhost:{scene.upstream}{path}"]
    start = time.monotonic()
    with Watch(scene.gate) as watch:
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False)
    demand(done.returncode == 0, f"curl {name}: {done.stderr}")
    seconds = time.monotonic() - start
    closed = scene.gate.wait_record(action="connection-closed")
    moved = max(closed["source"]["bytes"], closed["destination"]["bytes"])
    demand(moved >= BULK_MIB * MIB, f"the record says {moved} bytes")
    print(f"  {name}: {BULK_MIB} MiB in {seconds:.1f} s, {BULK_MIB / seconds:.0f} MiB/s, "
          f"peak RSS {watch.peak} KiB")
    demand(watch.peak < 64 * 1024, f"peak RSS {watch.peak} KiB")
    return done.stdout


# ---- 100,000 connections ------------------------------------------------------------------------

def good(scene, how):
    with scene.client(how, context=scene.contexts[how]) as tls:
        tls.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        demand(b"200 OK" in tls.recv(), "a good client got no answer")
        tls.close_notify()


def weak(scene, how):
    with scene.tunnel(how) as sock:
        sock.sendall(hellos.hello(suites=(0x002F, 0x0035)))
        demand(wire.plain_alerts(wire.read_to_end(sock)) == [(2, 40)], "a weak hello got no alert")


def old(scene, how):
    with scene.tunnel(how) as sock:
        sock.sendall(hellos.hello(version=hellos.TLS10))
        demand(wire.plain_alerts(wire.read_to_end(sock)) == [(2, 70)], "an old hello got no alert")


def garbage(scene, how):
    with scene.tunnel(how) as sock:
        sock.sendall(os.urandom(200))
        wire.read_to_end(sock)


def vanishing(scene, how):
    sock = scene.tunnel(how)
    sock.sendall(hellos.hello()[:random.randint(0, 150)])
    wire.reset(sock)


def vanishing_in_handshake(scene, how):
    sock = scene.tunnel(how)
    sock.sendall(hellos.hello())
    sock.recv(1)
    wire.reset(sock)


def tampering(scene, how):
    with scene.tunnel(how) as sock:
        sock.sendall(hellos.hello() + bytes([22, 3, 3, 0, 40]) + os.urandom(40))
        wire.read_to_end(sock)


def bad_connect(scene, _):
    with wire.dial(scene.forward) as sock:
        sock.sendall(b"CONNECT localhost HTTP/1.0\r\n\r\n")
        demand(wire.read_to_end(sock).startswith(b"HTTP/1.1 400"), "a bad CONNECT got no 400")


def closed_port(scene, _):
    with wire.dial(scene.forward) as sock:
        sock.sendall(b"CONNECT 127.0.0.1:1 HTTP/1.0\r\n\r\n")
        demand(wire.read_to_end(sock).startswith(b"HTTP/1.1 502"), "a closed port got no 502")


# The number of each in a hundred.
MIX = [(good, 40), (weak, 12), (old, 8), (garbage, 8), (vanishing, 10),
       (vanishing_in_handshake, 8), (tampering, 4), (bad_connect, 5), (closed_port, 5)]


def run_mix(scene, count, threads=4):
    """Runs count connections; returns the failures as text."""
    kinds = [kind for kind, share in MIX for _ in range(share)]
    failures, left, lock = [], [count], threading.Lock()

    def work(seed):
        rng = random.Random(seed)
        while len(failures) < 10:
            with lock:
                if not left[0]:
                    return
                left[0] -= 1
            kind, how = rng.choice(kinds), rng.choice(("forward", "fixed"))
            try:
                kind(scene, how)
            except Exception as failure:  # collected, judged by the caller
                failures.append(f"{kind.__name__} by {how}: {failure!r}")

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return failures


def storm():
    with Stage() as stage, nginx(stage.folder, stage.pki.ec, stage.pki.rsa,
                                 extra='location = / { return 200 "ok"; }') as upstream:
        scene = stage.scene(upstream.port, proxy={"workers": 2, "max_handshakes_per_source": 0})
        scene.contexts = {how: scene.context(how) for how in ("forward", "fixed")}
        # Caches, arenas and counters reach their size before the first reading.
        warm = max(CONNECTIONS // 10, 100)
        failures = run_mix(scene, warm)
        demand(not failures, "\n".join(failures))
        fds, before = scene.settled_fds(), scene.gate.rss_kib()
        start = time.monotonic()
        with Watch(scene.gate) as watch:
            failures = run_mix(scene, CONNECTIONS - warm)
        demand(not failures, "\n".join(failures))
        seconds = time.monotonic() - start
        after_fds, after = scene.settled_fds(), scene.gate.rss_kib()
        size, codes = count_records(scene.gate.audit_path)
        print(f"  {CONNECTIONS} connections, {(CONNECTIONS - warm) / seconds:.0f} a second; "
              f"RSS {before} -> {after} KiB (peak {watch.peak}); descriptors {fds} -> {after_fds}")
        print(f"  {size} records: {codes}")
        demand(after_fds <= fds, "descriptors leak")
        demand(after <= before + 4096, f"resident memory grew by {after - before} KiB")
        demand(codes.get("connection-opened") == codes.get("connection-closed"),
               "opened and closed records differ in number")
        demand(scene.gate.stop() == 0, "it did not end well")


def count_records(path):
    """Parses every line; returns the number of each action and code."""
    codes, size = {}, 0
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)["event"]
            key = event.get("code") if event["action"] == "connection-refused" else event["action"]
            codes[key] = codes.get(key, 0) + 1
            size += 1
    return size, dict(sorted(codes.items()))


# ---- faults -------------------------------------------------------------------------------------

def faults():
    with Stage() as stage:
        faulty.faults(stage)


STAGES = {f.__name__: f for f in (testssl, chromium, bulk, storm, faults)}


def main(names):
    unknown = [n for n in names if n not in (*STAGES, "all")]
    if unknown:
        print(__doc__, file=sys.stderr)
        return 64
    failed = []
    for name in STAGES if not names or "all" in names else names:
        print(f"{name}:", flush=True)
        start = time.monotonic()
        try:
            STAGES[name]()
            print(f"  passed in {time.monotonic() - start:.0f} s", flush=True)
        except Exception as failure:  # the other stages still run
            failed.append(name)
            print(f"  FAILED: {type(failure).__name__}: {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
