"""The command line: the output, the exit status and the errors of each command."""

import json
import os
import re
import shutil
import socket
import stat
import subprocess

import pytest

from gate import BINARY, StartError, as_whoever, ca_init, free_port, ini, run
from verdicts import AS_SENT, SUITES, VERDICTS

COMMANDS = [(), ("run",), ("config",), ("ca",), ("ca", "init"), ("ca", "show"), ("policy",)]
USAGE = 64


def names(command):
    return " ".join(command) or "suitegate"


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True,
                          check=True).stdout


def write(folder, text, name="suitegate.ini"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def folder(tmp_path, ca_folder):
    """A folder with a local CA in it."""
    for name in ("ca.pem", "ca.key"):
        shutil.copy2(ca_folder / name, tmp_path)
    return tmp_path


def forward_ini(**extra):
    return ini({"audit": {"file": "audit.jsonl"},
                "listen forward": {"type": "forward", "address": f"127.0.0.1:{free_port()}",
                                   **extra}})


# ---- help, version, usage ---------------------------------------------------------------

@pytest.mark.parametrize("command", COMMANDS, ids=names)
def test_help_everywhere(command):
    done = run(*command, "--help")
    assert done.returncode == 0
    assert "suitegate" in done.stdout
    for word in command:
        assert word in done.stdout
    assert done.stderr == ""


def test_help_names_every_command():
    text = run("--help").stdout
    for word in ("run", "config", "ca", "policy", "--version", "--help"):
        assert word in text


@pytest.mark.parametrize("arguments", [
    (), ("dance",), ("--nonsense",), ("run", "--nonsense"), ("config", "-x"), ("ca",),
    ("ca", "burn"), ("ca", "init", "--key-type", "dsa"), ("ca", "init", "--key-type"),
    ("policy", "--yaml"), ("run", "-c"), ("policy", "extra"), ("config", "extra"),
], ids=lambda a: names(a))
def test_usage_error_is_64(arguments, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == USAGE
    assert done.stderr.strip()
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments, words", [
    (["bogus"], 'suitegate: unknown command "bogus"; try: suitegate --help'),
    (["log", "bogus"], 'suitegate log: unknown command "bogus"; try: suitegate log --help'),
    (["ca", "init", "x"],
     'suitegate ca init: unexpected argument "x"; try: suitegate ca init --help'),
    (["log", "tail", "x", "y"],
     'suitegate log tail: unexpected argument "y"; try: suitegate log tail --help'),
    (["log", "verify"], "suitegate log verify: which file? Try: suitegate log verify --help"),
    (["check", *["--ca", "x"] * 17, "host"], "suitegate check: --ca at most 16 times"),
    (["run", "--bogus"], "suitegate run: unrecognized option '--bogus'"),
])
def test_usage_errors_name_the_command(arguments, words):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert words in done.stderr.splitlines()


def test_version_names_the_library_and_the_eight_suites():
    done = run("--version")
    assert done.returncode == 0
    assert re.search(r"suitegate \d+\.\d+", done.stdout)
    assert re.search(r"wolfSSL v?\d+\.\d+\.\d+", done.stdout, re.I)
    found = set(re.findall(r"\b(?:TLS_[A-Z0-9_]+|[A-Z]+-[A-Z0-9-]+-(?:SHA\d*|POLY1305))\b",
                           done.stdout))
    by_name = {name for pair in SUITES.values() for name in pair}
    assert found <= by_name
    assert len(found & {iana for iana, _ in SUITES.values()}) == 8 or \
        len(found & {own for _, own in SUITES.values()}) == 8


# ---- ca ---------------------------------------------------------------------------------

@pytest.mark.parametrize("key_type, algorithm", [(None, None), ("ecdsa", "id-ecPublicKey"),
                                                 ("rsa", "rsaEncryption")])
def test_ca_init_writes_a_sound_ca(tmp_path, key_type, algorithm):
    ca_init(tmp_path, key_type)
    certificate, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert openssl("verify", "-x509_strict", "-CAfile", certificate, certificate).endswith("OK\n")
    text = openssl("x509", "-in", certificate, "-noout", "-text")
    if algorithm:
        assert f"Public Key Algorithm: {algorithm}" in text
    assert "CA:TRUE" in text
    assert re.search(r"Key Usage: critical\s+.*Certificate Sign", text)
    assert openssl("pkey", "-in", key, "-pubout") == \
        openssl("x509", "-in", certificate, "-noout", "-pubkey")


def test_ca_init_key_is_never_readable_by_others(tmp_path):
    done = run("ca", "init", "--out", tmp_path, umask=0)
    assert done.returncode == 0
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("present", ["ca.pem", "ca.key"])
def test_ca_init_refuses_to_overwrite(tmp_path, present):
    (tmp_path / present).write_text("precious\n")
    done = run("ca", "init", "--out", tmp_path)
    assert done.returncode == 2
    assert present in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [present]
    assert (tmp_path / present).read_text() == "precious\n"


def test_ca_init_into_a_missing_place_is_2(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("ca", "init", "--out", tmp_path / "file" / "below")
    assert done.returncode == 2
    assert "below" in done.stderr


def test_ca_init_on_a_machine_with_a_long_name(tmp_path):
    """A common name has at most 64 characters (RFC 5280 appendix A.1)."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    done = subprocess.run(
        ["unshare", *user, "--uts", "sh", "-c", f"hostname {'a' * 63} && exec \"$@\"", "sh",
         BINARY, "ca", "init", "--out", tmp_path],
        capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    name = openssl("x509", "-in", tmp_path / "ca.pem", "-noout", "-subject", "-nameopt",
                   "sep_multiline,utf8").split("CN=")[1].strip()
    assert "aaaa" in name and len(name) <= 64


def test_ca_init_twice_gives_two_cas(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        ca_init(tmp_path / name)
    serials = [openssl("x509", "-in", tmp_path / n / "ca.pem", "-noout", "-serial") for n in "ab"]
    assert serials[0] != serials[1]


def test_ca_show(folder):
    done = run("ca", "show", "-c", write(folder, forward_ini()))
    assert done.returncode == 0, done.stderr
    digest = openssl("x509", "-in", folder / "ca.pem", "-noout", "-fingerprint",
                     "-sha256").partition("=")[2].strip()
    plain = re.sub(r"[^0-9a-f]", "", done.stdout.lower())
    assert digest.replace(":", "").lower() in plain
    subject = openssl("x509", "-in", folder / "ca.pem", "-noout", "-subject", "-nameopt",
                      "sep_multiline,utf8").split("CN=")[1].strip()
    assert subject in done.stdout
    year = openssl("x509", "-in", folder / "ca.pem", "-noout", "-enddate").split()[-2]
    assert year in done.stdout
    assert str(folder / "ca.pem") in done.stdout or "ca.pem" in done.stdout
    for place in ("Debian", "Windows", "Java", "Firefox", "Node"):
        assert place.lower() in done.stdout.lower()


def test_ca_show_without_a_ca_is_2(tmp_path):
    done = run("ca", "show", "-c", write(tmp_path, forward_ini()))
    assert done.returncode == 2
    assert "ca.pem" in done.stderr


# ---- policy -----------------------------------------------------------------------------

def test_policy_json_is_the_table(tmp_path):
    done = run("policy", "--json", cwd=tmp_path)
    assert done.returncode == 0
    policy = json.loads(done.stdout)
    assert [(row["iana"], row["openssl"]) for row in policy["suites"]] == list(SUITES.values())
    rows = {row["code"]: row for row in policy["reasons"]}
    assert set(rows) == set(VERDICTS)
    for code, verdict in VERDICTS.items():
        row = rows[code]
        assert (row["leg"], row["blame"], row["downgrade"]) == \
            (verdict.leg, verdict.blame, verdict.downgrade), code
        if verdict.alert == AS_SENT:
            assert not isinstance(row.get("alert"), int), code
        else:
            assert row.get("alert") == verdict.alert, code
        assert len(row["sentence"]) > 10, code


def test_policy_text_names_everything(tmp_path):
    done = run("policy", cwd=tmp_path)
    assert done.returncode == 0
    for iana, _ in SUITES.values():
        assert iana in done.stdout
    for group in ("x25519", "secp256r1", "secp384r1", "secp521r1"):
        assert group in done.stdout
    for code in VERDICTS:
        assert re.search(rf"\b{code}\b", done.stdout), code


# ---- config -----------------------------------------------------------------------------

def test_config_prints_the_effective_configuration(folder):
    done = run("config", "-c", write(folder, forward_ini() + "[proxy]\nhello_timeout = 250ms\n"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^hello_timeout\s*=\s*250ms$", done.stdout, re.M)
    for key in ("workers", "max_connections", "hello_max_size", "handshake_timeout",
                "connect_timeout", "idle_timeout", "drain_timeout", "profile",
                "server_name_mismatch", "trust", "resume", "type", "address"):
        assert re.search(rf"^{key}\s*=", done.stdout, re.M), key
    assert "[listen forward]" in done.stdout


def test_config_output_is_a_configuration(folder):
    first = run("config", "-c", write(folder, forward_ini()))
    second = run("config", "-c", write(folder, first.stdout, "again.ini"))
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout


BAD_LINES = {
    "unknown_key": ("[proxy]", "wrokers = 2", "wrokers"),
    "unknown_section": ("[prxoy]", "workers = 2", "prxoy"),
    "bad_duration": ("[proxy]", "hello_timeout = 10", "hello_timeout"),
    "bad_duration_unit": ("[proxy]", "hello_timeout = 10 parsecs", "hello_timeout"),
    "negative": ("[proxy]", "max_connections = -1", "max_connections"),
    "bad_size": ("[proxy]", "hello_max_size = big", "hello_max_size"),
    "size_overflow": ("[proxy]", "hello_max_size = 99999999999999999999KiB", "hello_max_size"),
    "bad_workers": ("[proxy]", "workers = many", "workers"),
    "bad_profile": ("[policy]", "profile = 1999", "profile"),
    "unapproved_suite": ("[policy]", "suite = TLS_RSA_WITH_AES_128_CBC_SHA", "suite"),
    "openssl_unapproved_suite": ("[policy]", "suite = AES128-SHA", "suite"),
    "tls13_suite": ("[policy]", "suite = TLS_AES_128_GCM_SHA256", "suite"),
    "short_rsa": ("[policy]", "minimum_rsa_bits = 1024", "minimum_rsa_bits"),
    "bad_mismatch": ("[policy]", "server_name_mismatch = maybe", "server_name_mismatch"),
    "bad_yes_no": ("[upstream]", "resume = perhaps", "resume"),
    "bad_type": ("[listen x]", "type = backward", "type"),
    "bad_address": ("[listen x]", "address = localhost", "address"),
    "bad_cidr": ("[listen x]", "allow_clients = 10.0.0.0/33", "allow_clients"),
    "bad_pattern": ("[listen x]", "allow_upstreams = *.*.test:443", "allow_upstreams"),
    "listen_without_a_name": ("[listen]", "type = forward", "listen"),
}


@pytest.mark.parametrize("name", BAD_LINES)
@pytest.mark.parametrize("command, status", [("config", 1), ("run", 2)])
def test_bad_configuration_names_file_and_line(folder, name, command, status):
    section, line, word = BAD_LINES[name]
    text = f"# a comment\n{section}\n{line}\n" + forward_ini()
    path = write(folder, text, "broken.ini")
    done = run(command, "-c", path)
    assert done.returncode == status
    assert re.search(r"broken\.ini:[23]\b", done.stderr), \
        done.stderr
    assert word in done.stderr
    assert "ready" not in done.stdout


def test_every_error_is_told_at_once(folder):
    text = "[proxy]\nwrokers = 2\nhello_timeout = x\n" + forward_ini()
    done = run("config", "-c", write(folder, text))
    assert done.returncode == 1
    assert "suitegate.ini:2" in done.stderr and "suitegate.ini:3" in done.stderr


@pytest.mark.parametrize("command, status", [("config", 1), ("run", 2)])
def test_open_proxy_by_accident_is_refused(folder, command, status):
    text = ini({"listen forward": {"type": "forward", "address": f"0.0.0.0:{free_port()}"}})
    done = run(command, "-c", write(folder, text))
    assert done.returncode == status
    assert "allow_clients" in done.stderr


def test_wildcard_address_with_allow_clients_is_taken(folder):
    text = ini({"listen forward": {"type": "forward", "address": f"0.0.0.0:{free_port()}",
                                   "allow_clients": "127.0.0.0/8"}})
    assert run("config", "-c", write(folder, text)).returncode == 0


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_ca_key_that_others_can_read_is_refused(folder, mode):
    (folder / "ca.key").chmod(mode)
    done = run("run", "-c", write(folder, as_whoever(forward_ini())))
    assert done.returncode == 2
    assert "ca.key" in done.stderr
    assert "ready" not in done.stdout


@pytest.mark.parametrize("command, status", [("config", 1), ("run", 2)])
def test_missing_configuration_file(tmp_path, command, status):
    done = run(command, "-c", tmp_path / "nowhere.ini")
    assert done.returncode in (status, 2)
    assert "nowhere.ini" in done.stderr


@pytest.mark.parametrize("text, word", [
    ({"listen a": {"type": "fixed"}}, "address"),
    ({"listen a": {"address": "127.0.0.1:1"}}, "type"),
    ({"listen a": {"type": "fixed", "address": "127.0.0.1:1"}}, "upstream"),
    ({"listen a": {"type": "fixed", "address": "127.0.0.1:1", "upstream": "localhost"}},
     "upstream"),
    ({"listen a": {"type": "fixed", "address": "127.0.0.1:1", "upstream": "localhost:443",
                   "certificate": "ca.pem"}}, "key"),
    ({"listen a": {"type": "forward", "address": "127.0.0.1:1", "upstream": "localhost:443"}},
     "upstream"),
    ({"proxy": {"workers": "1"}}, "listen"),
], ids=["no_address", "no_type", "no_upstream", "no_port", "no_key", "forward_upstream",
        "no_listener"])
def test_incomplete_configuration_is_refused(folder, text, word):
    done = run("config", "-c", write(folder, ini(text)))
    assert done.returncode == 1
    assert word in done.stderr


def test_policy_can_be_narrowed_not_emptied(folder):
    """Profile 2020 has no ECDSA suite: this narrowing would leave no suite."""
    text = "[policy]\nprofile = 2020\nsuite = ECDHE-ECDSA-AES128-GCM-SHA256\n" + forward_ini()
    done = run("config", "-c", write(folder, text))
    assert done.returncode == 1
    assert "suite" in done.stderr


# ---- run --------------------------------------------------------------------------------

def test_run_says_where_it_listens(make_gate, folder):
    ports = [free_port(), free_port()]
    text = ini({"audit": {"file": "audit.jsonl"},
                "listen a": {"type": "forward", "address": f"127.0.0.1:{ports[0]}"},
                "listen b": {"type": "forward", "address": f"127.0.0.1:{ports[1]}"}})
    gate = make_gate(text)
    lines = gate.stdout.splitlines()
    for port in ports:
        assert any(line.startswith("suitegate: listening on ") and f"127.0.0.1:{port}" in line
                   for line in lines), lines
    assert lines[-1] == "suitegate: ready"


def test_address_in_use_is_one_clear_line(folder, make_gate):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = ini({"audit": {"file": "audit.jsonl"},
                    "listen forward": {"type": "forward", "address": address}})
        with pytest.raises(StartError) as failure:
            make_gate(text)
    assert "exit 2" in str(failure.value)
    lines = [line for line in (folder / "suitegate.stderr").read_text().splitlines()
             if "warning" not in line]  # of the machine's limits
    assert len(lines) == 1, lines
    assert address in lines[0]
    assert "use" in lines[0]


def test_two_gates_cannot_share_a_port(folder, make_gate, ca_folder):
    """SO_REUSEPORT between one process's workers must not let a second process in."""
    text = forward_ini()
    make_gate(text)
    second = folder / "second"
    shutil.copytree(ca_folder, second)
    with pytest.raises(StartError) as failure:
        make_gate(text, folder=second)
    assert "exit 2" in str(failure.value)


def test_run_without_a_ca_is_2(tmp_path):
    done = run("run", "-c", write(tmp_path, as_whoever(forward_ini())))
    assert done.returncode == 2
    assert "ca.pem" in done.stderr


def test_records_go_to_standard_output_and_nothing_else(make_gate, folder):
    gate = make_gate(forward_ini().replace("audit.jsonl", "-"))
    assert "suitegate: ready" in gate.stderr
    assert gate.wait_record(action="proxy-started")["event"]["dataset"] == "suitegate.audit"
    assert gate.stop() == 0
    assert gate.matching(action="proxy-stopped")
    assert all(json.loads(line) for line in gate.stdout.splitlines())
