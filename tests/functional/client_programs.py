"""Client programs as tests run them, and the refusals that openssl s_client gets."""

import os
import pathlib
import subprocess

CLIENTS = pathlib.Path(__file__).parent / "clients"
GET = b"GET /hello.txt HTTP/1.0\r\nHost: localhost\r\n\r\n"
WEAK = "ALL:@SECLEVEL=0"


def command(*argv, stdin=b"", env=None, timeout=200):
    return subprocess.run(list(map(str, argv)), input=stdin, capture_output=True, check=False,
                          timeout=timeout, env={**os.environ, **(env or {})})


def s_client(port, ca, *arguments, stdin=GET):
    """Verifies like a careful client; a failed verification ends the handshake."""
    return command("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername",
                   "localhost", "-verify_hostname", "localhost", "-CAfile", ca, "-x509_strict",
                   "-verify_return_error", "-ign_eof", *arguments, stdin=stdin)


# Options of s_client, the code, the alert.
REFUSED_OPTIONS = {
    "tls10": (("-tls1", "-cipher", WEAK), "client_protocol_too_old", 70),
    "tls11": (("-tls1_1", "-cipher", WEAK), "client_protocol_too_old", 70),
    "tls13_only": (("-tls1_3",), "client_tls13_only", 70),
    "static_rsa": (("-tls1_2", "-cipher", "kRSA"), "client_no_approved_suite", 40),
    "dhe": (("-tls1_2", "-cipher", "kDHE"), "client_no_approved_suite", 40),
    "ecdhe_sha1": (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"),
                   "client_no_approved_suite", 40),
    "chacha": (("-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"),
               "client_no_approved_suite", 40),
    "fallback_scsv": (("-tls1_1", "-fallback_scsv", "-cipher", WEAK), "client_fallback", 86),
    "x448": (("-tls1_2", "-groups", "X448"), "client_no_common_group", 40),
    "sha1": (("-tls1_2", "-cipher", WEAK, "-sigalgs", "RSA+SHA1:ECDSA+SHA1"),
             "client_no_common_signature", 40),
}
