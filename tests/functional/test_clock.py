"""A clock that is set back while the gate runs."""

import subprocess

from clock_shim import clock  # noqa: F401 (fixture)
from pki import openssl

DAY = 86400


def served(gate, origin):
    """(serial, notBefore) of the certificate that a client of the gate gets."""
    done = subprocess.run(["openssl", "s_client", "-proxy", f"127.0.0.1:{gate.port}", "-connect",
                           f"localhost:{origin.port}", "-servername", "localhost"],
                          input=b"", capture_output=True, timeout=30, check=False)
    out = subprocess.run(["openssl", "x509", "-noout", "-serial", "-startdate"], input=done.stdout,
                         capture_output=True, check=True).stdout.decode()
    serial, start = (line.partition("=")[2] for line in out.splitlines())
    return serial, int(subprocess.run(["date", "-d", start, "+%s"], capture_output=True,
                                      check=True).stdout)


def test_a_leaf_that_is_not_yet_valid_is_minted_anew(make_forward, origin, clock, pki, tmp_path):
    env, set_clock = clock
    # A CA that began long ago, like one in use.
    old = tmp_path / "old.pem", tmp_path / "old.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", old[1], "-out", tmp_path / "new.pem", "-subj", "/CN=old", "-days", "900",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-new", "-key", old[1], "-subj", "/CN=old", "-out", tmp_path / "old.csr")
    (tmp_path / "ext").write_text("basicConstraints=critical,CA:TRUE\n"
                                  "keyUsage=critical,keyCertSign,cRLSign\n"
                                  "subjectKeyIdentifier=hash\n")
    (tmp_path / "index").write_text("")
    (tmp_path / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\n" f"database={tmp_path}/index\nnew_certs_dir={tmp_path}\n"
        "rand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
    openssl("ca", "-batch", "-selfsign", "-config", tmp_path / "ca.cnf", "-keyfile", old[1],
            "-in", tmp_path / "old.csr", "-extfile", tmp_path / "ext", "-startdate",
            "20200101000000Z", "-enddate", "20450101000000Z", "-notext", "-out", old[0])
    old[1].chmod(0o600)
    gate = make_forward(ca={"certificate": old[0], "key": old[1]}, proxy={"workers": 1},
                        options={"env": env})
    first, begins = served(gate, origin)
    assert served(gate, origin) == (first, begins)
    set_clock(-DAY)
    second, earlier = served(gate, origin)
    assert second != first and DAY - 600 < begins - earlier < DAY + 600
    assert served(gate, origin) == (second, earlier)
    set_clock(-7 * 365 * DAY)  # before the CA began: no valid leaf is possible, no new one is made
    third = served(gate, origin)
    assert served(gate, origin) == third
