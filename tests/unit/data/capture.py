#!/usr/bin/env python3
"""Captures the ClientHellos of real clients as hexadecimal text.

Usage: capture.py [NAME...]     all clients, or those named; writes NAME.hex beside this file

A loopback listener reads until it has one whole handshake message, keeps the largest such message
of the run and closes. No client gets an answer, so each one fails, which is intended. Clients that
are not installed are reported.
"""
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
NAME = "gate.example"

JAVA = """
import javax.net.ssl.*;
public class Hello {
    public static void main(String[] a) throws Exception {
        SSLSocket s = (SSLSocket) SSLSocketFactory.getDefault().createSocket();
        s.connect(new java.net.InetSocketAddress("127.0.0.1", Integer.parseInt(a[0])), 5000);
        SSLParameters p = s.getSSLParameters();
        p.setServerNames(java.util.List.of(new SNIHostName("%s")));
        p.setApplicationProtocols(new String[] {"h2", "http/1.1"});
        s.setSSLParameters(p);
        s.startHandshake();
    }
}
""" % NAME

NODE = ("require('tls').connect({host: '127.0.0.1', port: %d, servername: '" + NAME +
        "', ALPNProtocols: ['h2', 'http/1.1']}).on('error', () => {})")

S_CLIENT = ["openssl", "s_client", "-connect", "127.0.0.1:%d", "-servername", NAME]
CURL = ["curl", "-sk", "--connect-to", NAME + ":%d:127.0.0.1:%d"]
CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--host-resolver-rules=MAP * 127.0.0.1", "--user-data-dir=DIR",
            "--timeout=5000", "--dump-dom"]

# name: command; %d is the listener's port, DIR a fresh directory
CLIENTS = {
    "curl": CURL + ["https://" + NAME + ":%d/"],
    "curl-tls13-only": CURL + ["--tlsv1.3", "https://" + NAME + ":%d/"],
    "curl-tls12": CURL + ["--tls-max", "1.2", "https://" + NAME + ":%d/"],
    "gnutls-cli": ["gnutls-cli", "--insecure", "--sni-hostname", NAME, "-p", "%d", "127.0.0.1"],
    "java": ["java", "DIR/Hello.java", "%d"],
    "node": ["node", "-e", NODE],
    "openssl": S_CLIENT,
    "openssl-many": S_CLIENT + ["-alpn", "h2,http/1.1,spdy/3.1", "-status", "-maxfraglen", "4096",
                                "-cipher", "ALL:@SECLEVEL=0", "-curves",
                                "X25519:P-256:P-384:P-521:X448:ffdhe2048", "-use_srtp",
                                "SRTP_AES128_CM_SHA1_80", "-legacy_renegotiation"],
    "openssl-tls13-only": S_CLIENT + ["-tls1_3"],
    "openssl-tls10": S_CLIENT + ["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
    "openssl-tls11-fallback": S_CLIENT + ["-tls1_1", "-fallback_scsv", "-cipher",
                                          "ALL:@SECLEVEL=0"],
    "openssl-tls12-fallback": S_CLIENT + ["-tls1_2", "-fallback_scsv"],
    "openssl-static-rsa": S_CLIENT + ["-tls1_2", "-cipher", "AES128-GCM-SHA256:AES256-SHA"],
    "openssl-sha1-only": S_CLIENT + ["-tls1_2", "-sigalgs", "RSA+SHA1:ECDSA+SHA1", "-cipher",
                                     "DEFAULT:@SECLEVEL=0"],
    "openssl-x448-only": S_CLIENT + ["-tls1_2", "-curves", "X448"],
    "chromium": CHROMIUM + ["https://" + NAME + ":%d/"],
    "sslscan": ["sslscan", "--no-colour", "--sni-name=" + NAME, "127.0.0.1:%d"],
    "nmap": ["nmap", "-n", "-Pn", "--script", "+ssl-enum-ciphers", "-p", "%d", "127.0.0.1"],
}
RUN_SECONDS = 40


def message_size(data):
    """(handshake bytes so far, handshake bytes in all or None) of TLS records in data."""
    message, at = b"", 0
    while at + 5 <= len(data) and data[at] == 22:
        size = int.from_bytes(data[at + 3:at + 5], "big")
        message += data[at + 5:at + 5 + size]
        at += 5 + size
    return len(message), 4 + int.from_bytes(message[1:4], "big") if len(message) >= 4 else None


def take(sock):
    sock.settimeout(3)
    data = b""
    try:
        while len(data) < 100000:
            piece = sock.recv(65536)
            if not piece:
                break
            data += piece
            have, want = message_size(data)
            if want is not None and have >= want:
                break
    except OSError:
        pass
    return data


def listen(server, found):
    while True:
        try:
            sock = server.accept()[0]
        except OSError:
            return
        with sock:
            found.append(take(sock))


def version_of(program):
    flag = {"openssl": "version", "nmap": "--version", "java": "-version"}.get(program, "--version")
    out = subprocess.run([program, flag], capture_output=True, text=True, timeout=20)
    lines = [x.strip() for x in (out.stdout + out.stderr).splitlines() if x.strip()]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", lines[0] if lines else "").strip()
    return plain[:72] if program.split("-")[0] in plain.lower() else program + " " + plain


def write(name, comments, data):
    lines = ["# " + c for c in comments]
    lines += [data[i:i + 32].hex() for i in range(0, len(data), 32)]
    (HERE / (name + ".hex")).write_text("\n".join(lines) + "\n")


def capture(name, command):
    if not shutil.which(command[0]):
        return print(name, "not installed: " + command[0])
    server = socket.create_server(("127.0.0.1", 0))
    port = str(server.getsockname()[1])
    found = []
    threading.Thread(target=listen, args=(server, found), daemon=True).start()
    with tempfile.TemporaryDirectory() as directory:
        (pathlib.Path(directory) / "Hello.java").write_text(JAVA)
        args = [a.replace("%d", port).replace("DIR", directory) for a in command]
        try:
            subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            pass
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    whole = [d for d in found if d[:1] == b"\x16" and (message_size(d)[1] or 1 << 30) <= len(d)]
    if not whole:
        return print(name, "no hello")
    data = max(whole, key=len)
    write(name, ["captured: " + version_of(command[0]), " ".join(" ".join(command).split())], data)
    print(name, len(data), "bytes of", len(found), "connections")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or CLIENTS:
        capture(wanted, CLIENTS[wanted])
