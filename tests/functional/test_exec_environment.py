"""What suitegate exec passes to COMMAND: its environment, the files that it names, and their
folder, wherever that must be."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import pytest

from execution import BODY, NO_CONNECTION, Execution, classes, curl, execution, site
from gate import BINARY

__all__ = ["classes", "execution", "site"]  # fixtures
SYSTEM = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
PROXIES = [spelled for name in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy")
           for spelled in (name, name.upper())]
BUNDLES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
           "GIT_SSL_CAINFO", "PIP_CERT", "AWS_CA_BUNDLE")
CLEARED = ("no_proxy", "NO_PROXY", "SSL_CERT_DIR", "GIT_SSL_NO_VERIFY", "GIT_SSL_CAPATH",
           "NODE_TLS_REJECT_UNAUTHORIZED", "PYTHONHTTPSVERIFY", "PERL_LWP_SSL_VERIFY_HOSTNAME",
           "socks_proxy", "YARN_CAFILE")
TELL = "import json, os; print(json.dumps(dict(os.environ)))"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def environment(execution, **options):
    """The environment that COMMAND sees."""
    return json.loads(execution.python(TELL, **options).stdout)


def certificates(pem):
    return re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem, re.S)


def contents(execution, variable, **options):
    """The file that a variable names, as COMMAND sees it."""
    return execution("sh", "-c", f'cat "${variable}"', **options).stdout


# ---- variables ----------------------------------------------------------------------------

def test_every_proxy_variable_leads_to_the_one_proxy(execution):
    env = environment(execution, env={name: "socks5://127.0.0.1:9" for name in PROXIES})
    (url,) = {env[name] for name in PROXIES}
    port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)", url).group(1))
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
        pass


def test_every_bundle_variable_names_the_one_bundle(execution):
    env = environment(execution, env={name: "/nonexistent" for name in BUNDLES[1:]})
    (bundle,) = {env[name] for name in BUNDLES}
    assert pathlib.Path(bundle).is_absolute()
    assert pathlib.Path(bundle).parent.parent == execution.tmp


def test_what_would_lead_past_the_proxy_or_verify_less_is_cleared(execution, site):
    hostile = dict.fromkeys(CLEARED, "*")
    assert not set(environment(execution, env=hostile)) & set(CLEARED)
    done = execution(*curl(site.url), env={**hostile, "SSL_CERT_DIR": "/nonexistent",
                                           "all_proxy": "socks5://127.0.0.1:9"})
    assert (done.status, done.stdout) == (0, BODY), done.text


def test_all_other_variables_are_the_callers(execution):
    given = {"PLAIN": "a b", "EMPTY": "", "ODD": "a=b\nc", "GIT_SSL_VERSION": "tlsv1.3",
             "OPENSSL_CONF": "/nonexistent/but/kept", "NODE_OPTIONS": "--no-warnings",
             "JAVA_OPTS": "-Dx=y", "GODEBUG": "tlsrsakex=1"}
    env = environment(execution, env=given)
    assert {name: env.get(name) for name in given} == given
    assert env["HOME"] == str(execution.home)
    assert env["TMPDIR"] == str(execution.tmp)


def test_home_is_not_needed(execution, site):
    done = execution(*curl(site.url), env={"HOME": None})
    assert (done.status, done.stdout) == (0, BODY)
    assert "HOME" not in environment(execution, env={"HOME": None})


def test_the_command_is_run_as_it_would_be_without(execution, tmp_path):
    """Folder, mask, limits, open files, groups and the handling of signals."""
    tell = ("import os, signal, resource, json\n"
            "status = dict(l.split(':\\t', 1) for l in open('/proc/self/status') if ':\\t' in l)\n"
            "print(json.dumps([os.getcwd(), os.umask(0), os.getpgrp() == os.getppid(),\n"
            "  sorted(int(f) for f in os.listdir('/proc/self/fd') if int(f) < 200),\n"
            "  [resource.getrlimit(i) for i in range(16)], os.nice(0),\n"
            "  [status[k] for k in ('SigBlk', 'SigIgn', 'SigCgt', 'Groups', 'NoNewPrivs')]]))\n")

    def before():
        os.umask(0o135)
        os.nice(3)

    argv = [sys.executable, "-B", "-c", tell]
    options = {"cwd": tmp_path, "preexec_fn": before, "start_new_session": True}
    plain = subprocess.run(argv, capture_output=True, check=True, env=execution.environment(),
                           **{**options, "stdin": subprocess.DEVNULL})
    expected = json.loads(plain.stdout)
    expected[2] = True  # in the group of suitegate exec, as the terminal needs
    assert json.loads(execution(*argv, **options).stdout) == expected


# ---- the callers' settings of git, wget and PHP -------------------------------------------

def test_git_settings_do_not_lead_past_the_proxy(execution, site):
    (execution.home / ".gitconfig").write_text(
        "[http]\n proxy = http://127.0.0.1:9\n sslCAInfo = /nonexistent\n")
    url = site.urls[0] + "repo.git"
    given = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "alias.ours",
             "GIT_CONFIG_VALUE_0": "ls-remote"}
    done = execution("git", "ours", url, env=given)
    assert done.status == 0, done.text
    assert done.stdout.endswith(b"\trefs/heads/main\n")


def test_wget_keeps_its_system_wide_settings(execution, site, tmp_path):
    settings = tmp_path / "settings"
    settings.write_text("user_agent = ours")  # without a final newline
    code = contents(execution, "SYSTEM_WGETRC", env={"SYSTEM_WGETRC": settings}).decode()
    assert code.startswith("user_agent = ours\n")
    assert re.search(r"^ca_certificate = /.*/bundle.pem$", code, re.M)
    for missing in (None, "/nonexistent"):
        done = execution("wget", "-q", "-O-", site.url, env={"SYSTEM_WGETRC": missing})
        assert (done.status, done.stdout) == (0, BODY), done.text


@pytest.mark.parametrize("given, start", [(None, ":"), ("/a:/b", "/a:/b:")])
def test_php_keeps_the_folders_of_its_settings(execution, given, start):
    env = environment(execution, env={"PHP_INI_SCAN_DIR": given})
    assert re.fullmatch(re.escape(start) + r"/[^:]*/php", env["PHP_INI_SCAN_DIR"])


# ---- trust --------------------------------------------------------------------------------

def test_the_systems_roots_stay_trusted_beside_the_ca(execution):
    bundle = contents(execution, "SSL_CERT_FILE", trust=False)
    roots = certificates(SYSTEM.read_bytes())
    assert len(roots) > 50
    assert set(roots) < set(certificates(bundle))
    assert len(certificates(bundle)) == len(roots) + 1


def test_the_callers_bundle_and_every_ca_stay_trusted(execution, pki):
    given = certificates(pki.ca("stranger").cert.read_bytes()) + \
        certificates(pki.trust.read_bytes())
    bundle = contents(execution, "SSL_CERT_FILE",
                      env={"SSL_CERT_FILE": pki.ca("stranger").cert})
    assert set(given) < set(certificates(bundle))
    assert b"KEY-----" not in bundle


def test_each_run_has_a_ca_of_its_own(execution):
    assert len({contents(execution, "SSL_CERT_FILE", trust=False) for _ in range(2)}) == 2


@pytest.mark.once
def test_openssl_and_keytool_read_the_java_trust_store_as_the_bundle_has_it(execution):
    done = execution("sh", "-c",
                     'd=${SSL_CERT_FILE%/*}; '
                     'openssl pkcs12 -info -nokeys -passin pass: -in "$d/trust.p12" || exit 1; '
                     'echo @@@; keytool -list -rfc -J-XX:TieredStopAtLevel=1 '
                     '-keystore "$d/trust.p12" -storepass changeit || exit 1; '
                     'echo @@@; cat "$SSL_CERT_FILE"')
    assert done.status == 3, done.text
    (by_openssl, by_keytool, bundle) = (
        [b"".join(c.split()) for c in certificates(part)]
        for part in done.stdout.replace(b"\r", b"").split(b"@@@\n"))
    assert len(bundle) > 50
    assert sorted(by_openssl) == sorted(bundle)
    assert sorted(by_keytool) == sorted(bundle)


@pytest.mark.once
def test_java_trusts_every_root_of_the_bundle(execution, classes, tmp_path):
    (tmp_path / "Count.java").write_text(
        "import javax.net.ssl.*;public class Count{public static void main(String[] a)throws "
        "Exception{TrustManagerFactory f=TrustManagerFactory.getInstance(\"PKIX\");"
        "f.init((java.security.KeyStore)null);System.out.println(((X509TrustManager)"
        "f.getTrustManagers()[0]).getAcceptedIssuers().length);}}")
    done = execution("sh", "-c", 'java -XX:TieredStopAtLevel=1 "$0"; '
                     'grep -c BEGIN "$SSL_CERT_FILE"', tmp_path / "Count.java")
    counts = done.stdout.split()
    assert len(counts) == 2 and counts[0] == counts[1], done.text


EMPTY = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("how, content", [
    ("--ca", None), ("--ca", "folder"), ("SSL_CERT_FILE", None), ("--ca", b"\0\xff" * 100),
    ("--ca", EMPTY[:40]), ("--ca", EMPTY), ("SSL_CERT_FILE", b"")],
    ids=["missing", "folder", "missing_own", "binary", "cut", "no_certificate", "empty_own"])
def test_a_ca_file_that_is_none_is_named_before_the_command_runs(execution, tmp_path, how,
                                                                 content):
    path = tmp_path / "ca-file"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    options = {"options": ["--ca", path]} if how == "--ca" else {"env": {"SSL_CERT_FILE": path}}
    done = execution("touch", tmp_path / "ran", **options)
    assert done.status == 2
    assert str(path) in done.text
    assert not (tmp_path / "ran").exists()


# ---- secrets ------------------------------------------------------------------------------

@pytest.mark.parametrize("mask", [0, 0o277])
def test_the_folder_and_the_private_keys_are_for_their_owner_alone(execution, mask):
    code = ("import os, stat, sys\n"
            "folder = os.path.dirname(os.environ['SSL_CERT_FILE'])\n"
            "for name in ('', 'ca.key', 'audit.key', 'trust.p12', 'bundle.pem'):\n"
            "    print(oct(stat.S_IMODE(os.lstat(os.path.join(folder, name)).st_mode) & 0o77))\n")
    assert execution.python(code, umask=mask).stdout == 5 * b"0o0\n"


def test_the_private_key_is_in_no_variable_and_no_file_that_is_named(execution):
    code = ("import os\n"
            "folder = os.path.dirname(os.environ['SSL_CERT_FILE'])\n"
            "key = open(folder + '/ca.key').read().split('\\n')[1]\n"
            "assert len(key) > 40\n"
            "assert not any(key in v or 'PRIVATE' in v or 'ca.key' in v\n"
            "               for v in os.environ.values())\n"
            "for v in os.environ.values():\n"
            "    if v.startswith(folder) and os.path.isfile(v):\n"
            "        assert 'PRIVATE' not in open(v, errors='replace').read(), v\n"
            "print('held')\n")
    assert execution.python(code).stdout == b"held\n"


# ---- the folder ---------------------------------------------------------------------------

CLIENTS_OF_FILES = ('curl -sS $0 && wget -q -O- $0 && '
                    'java -XX:TieredStopAtLevel=1 -cp "$1" Fetch url $0')


@pytest.fixture
def odd(request, execution):
    """A folder of that name, which must be empty again after the test."""
    folder = execution.tmp / request.param
    folder.mkdir()
    yield folder
    folder.rmdir()


@pytest.mark.parametrize("odd", [
    "it's two words", "a \"word\" #;%c$d \u00fcml\u00e4ut",
    "it's \"both\"",
], indirect=True)
def test_the_temporary_folder_may_have_any_name(execution, site, classes, odd):
    done = execution("sh", "-c", CLIENTS_OF_FILES, site.url, classes, env={"TMPDIR": odd})
    assert done.stdout == 3 * BODY, done.text
    assert done.status == 0


@pytest.mark.parametrize("odd", ["it's #a;b%c$d", 'a "word"', "a:b"], indirect=True)
def test_php_finds_its_settings_in_any_temporary_folder(execution, odd):
    code = "exit(ini_get('curl.cainfo') === getenv('SSL_CERT_FILE') ? 7 : 8);"
    done = execution("php", "-r", code, env={"TMPDIR": odd})
    assert done.status == 7, done.text


def test_a_relative_temporary_folder_is_found_by_a_command_that_goes_elsewhere(execution, site):
    done = execution("sh", "-c", 'cd / && curl -sS "$0"', site.url, cwd=execution.folder,
                     env={"TMPDIR": "tmp"})
    assert (done.status, done.stdout) == (0, BODY), done.text


@pytest.mark.parametrize("folder", ["/nonexistent/folder", "/dev/null", "/proc", 5000 * "x"])
def test_without_a_temporary_folder_nothing_is_run(execution, tmp_path, folder):
    done = execution("touch", tmp_path / "ran", env={"TMPDIR": folder})
    assert done.status == 2
    assert "cannot make a folder in " + folder[:100] in done.text
    assert not (tmp_path / "ran").exists()


@contextlib.contextmanager
def small(folder, kib):
    """A file system of that size at folder."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "suitegate-test",
                           folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@as_root
@pytest.mark.parametrize("kib", [64, 256, 448])
def test_a_full_temporary_folder_is_told_and_nothing_is_run(execution, tmp_path, kib):
    """Full at one or another of the files."""
    with small(execution.tmp, kib):
        done = execution("touch", tmp_path / "ran")
        assert done.status == 2
        assert "No space left on device" in done.text, done.text
        assert execution.folders() == []
    assert not (tmp_path / "ran").exists()


@as_root
def test_a_temporary_folder_that_is_full_at_the_last_files_is_told_as_well(execution):
    used = int(execution("sh", "-c", 'du -sk "${SSL_CERT_FILE%/*}"').stdout.split()[0])
    for kib in range(used - 20, used + 1, 4):
        with small(execution.tmp, kib):
            done = execution("true")
            assert execution.folders() == []
        assert done.status == 3 or (
            done.status == 2 and "No space left on device" in done.text), (kib, done.text)


@as_root
def test_a_temporary_folder_that_fills_up_is_not_taken_for_no_connection(execution, site):
    shell = ('dd if=/dev/zero of="$TMPDIR/filler" bs=4k 2>/dev/null; '
             f"for i in 1 2 3 4; do curl -s -o {os.devnull} {site.url} || :; done; "
             'rm "$TMPDIR/filler"')
    with small(execution.tmp, 4096):
        done = execution("sh", "-c", shell)
        assert execution.folders() == []
    assert NO_CONNECTION not in done.text
    assert done.status in (1, 2), done.text


@pytest.fixture
def nobody(pki):
    """An Execution of an unprivileged user, and a way to run programs as that user."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="suitegate-nobody-"))
    folder.chmod(0o755)
    trust = folder / "trust.pem"
    shutil.copyfile(pki.trust, trust)
    execution = Execution(folder, trust)
    os.chown(execution.tmp, 65534, 65534)
    execution.binary = shutil.copy2(BINARY, folder / "suitegate")
    execution.wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    yield execution
    execution.finish()
    shutil.rmtree(folder)


@as_root
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o777])
def test_an_unprivileged_user_can_run_it(nobody, site, mask):
    argv = nobody.argv("sh", "-c", 'umask; curl -sS "$0"', site.url)
    argv[0] = nobody.binary
    process = subprocess.Popen([*nobody.wrapper, *argv], env=nobody.environment(), umask=mask,
                               cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True)
    nobody.begun.append(process)
    done = nobody.end(process)
    assert done.stdout == b"%04o\n%s" % (mask, BODY), done.text
    assert done.status == 0


# ---- more than one ------------------------------------------------------------------------

def test_one_within_another(execution, site):
    """The inner run's proxy does not use the outer run's; each has its own folder."""
    inner = execution.argv(*curl(site.url), options=["--json"])
    done = execution(*inner)
    assert done.stdout == BODY, done.text
    assert done.status == 3
    assert NO_CONNECTION in done.text
    assert '"connections":1,"refused":0' in done.text
    env = json.loads(execution(*execution.argv(sys.executable, "-c", TELL)).stdout)
    assert env["GIT_CONFIG_COUNT"] == "2"
    assert env["JAVA_TOOL_OPTIONS"].count("-Dhttps.proxyPort=") == 2
    assert env["JAVA_TOOL_OPTIONS"].rindex("-Dhttps.proxyPort=" + env["https_proxy"][17:]) == \
        env["JAVA_TOOL_OPTIONS"].rindex("-Dhttps.proxyPort=")


def test_twenty_at_once_do_not_mix(execution, site):
    def one(number):
        done = execution("sh", "-c", f"curl -sS {site.url}; exit {number + 10}",
                         options=["--json"])
        return (done.status, done.stdout, done.json["connections"])

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert list(pool.map(one, range(20))) == [(n + 10, BODY, 1) for n in range(20)]
