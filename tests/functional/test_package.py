"""What is installed: by make install and by the Debian package, which is put into a small Debian,
started, upgraded, removed and purged there. In it a script answers for systemctl.

SUITEGATE_BUILDAH=1 also builds an image of it, which takes packages from Debian's archive."""

import gzip
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from gate import BINARY, PATIENCE, POLL_SECONDS, children_of, run
from names import unshare

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(BINARY).parent
CLERK_AND_PROXY = 2  # the processes that suitegate run starts
PORT = 9443
SYSTEMCTL = """\
#!/bin/sh
# Runs the unit's command as its user, and writes down what it was asked for.
unit=/usr/lib/systemd/system/suitegate.service
value() { sed -n "s/^$1=//p" $unit; }
echo "$*" >>/run/asked
enabled=/etc/systemd/system/multi-user.target.wants/suitegate.service
case " $* " in
*" preset "*) mkdir -p ${enabled%/*} && ln -s $unit $enabled ;;
*" is-enabled "*) [ -e $enabled ] && echo enabled ;;
*" is-active "*) [ -e /run/active ] ;;
*" start "*)
    setpriv --reuid "$(value User)" --regid "$(value Group)" --clear-groups \\
        $(value ExecStart) >/run/output 2>&1 </dev/null &
    until grep -q ready /run/output; do kill -0 $! || exit 1; sleep 0.1; done
    touch /run/active ;;
*" stop "*) suitegate stop && rm /run/active ;;
esac
"""


def make(*arguments):
    """make, with the variables of the one that runs the tests, but not its processes."""
    flags = [word for word in os.environ.get("MAKEFLAGS", "").split()
             if not word.startswith(("-j", "--jobserver"))]
    done = subprocess.run(["make", "-s", *arguments, f"BUILD={BUILD.relative_to(ROOT)}"], cwd=ROOT,
                          env={**os.environ, "MAKEFLAGS": " ".join(flags)}, capture_output=True,
                          text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of(folder):
    """Those that are no folders, as paths from it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture(scope="module")
def package():
    """The package of this build."""
    name = re.search(r"^deb: (\S+)", make("deb"), re.M)[1]
    return ROOT / name


# ---- make install -----------------------------------------------------------------------

@pytest.fixture
def installed(tmp_path):
    """The folder of an installation with PREFIX=/opt/x."""
    make("install", f"DESTDIR={tmp_path}", "PREFIX=/opt/x")
    return tmp_path


def test_install_follows_the_prefix(installed):
    assert os.access(installed / "opt/x/bin/suitegate", os.X_OK)
    unit = (installed / "opt/x/lib/systemd/system/suitegate.service").read_text()
    assert re.findall(r"^Exec\w+=(\S+)", unit, re.M) == ["/opt/x/bin/suitegate"] * 2
    assert "/usr/local" not in unit
    assert (installed / "var/log/suitegate").stat().st_mode & 0o777 == 0o750


def test_the_issuing_cas_are_renewed_by_a_timer(installed):
    folder = installed / "opt/x/lib/systemd/system"
    renew = (folder / "suitegate-renew.service").read_text()
    command = re.search(r"^ExecStart=(.+)$", renew, re.M)[1]
    assert command == "/opt/x/bin/suitegate ca renew -c /etc/suitegate/suitegate.ini"
    assert re.search(r"^Wants=.*\bsuitegate-renew\.timer$",
                     (folder / "suitegate.service").read_text(), re.M)
    # Nothing is due with a new CA.
    (installed / "etc/suitegate").mkdir(exist_ok=True)
    subprocess.run([BINARY, "ca", "init", "--out", installed / "etc/suitegate"], check=True,
                   capture_output=True)
    config = installed / "etc/suitegate/suitegate.ini"
    config.write_text(config.read_text().replace("/etc/suitegate", f"{installed}/etc/suitegate"))
    done = subprocess.run([BINARY, "ca", "renew", "-c", config], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout) == (0, "Nothing is due.\n"), done.stderr


def test_systemd_finds_no_fault_in_the_units(tmp_path):
    make("install", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    units = list((tmp_path / "usr/lib/systemd/system").iterdir())
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True,
                          text=True, check=False, timeout=PATIENCE)
    said = [line for line in done.stderr.splitlines()
            if "suitegate" in line and "/usr/bin/suitegate is not executable" not in line]
    assert len(units) == 3 and not said, said


def test_the_installed_configuration_names_the_installed_places(installed):
    text = (installed / "etc/suitegate/suitegate.ini").read_text()
    for line in ("certificate = /etc/suitegate/ca.pem", "key = /etc/suitegate/ca.key",
                 "file = /var/log/suitegate/audit.jsonl", "user = suitegate"):
        assert line in text.splitlines()
    assert "../" not in text


def test_uninstall_takes_away_all_that_install_put_down(installed):
    make("uninstall", f"DESTDIR={installed}", "PREFIX=/opt/x")
    assert files_of(installed) == set()
    assert not [path for path in installed.rglob("suitegate")]


def test_a_changed_configuration_and_a_ca_outlive_install_and_uninstall(installed):
    config, ca = (installed / "etc/suitegate" / name for name in ("suitegate.ini", "ca.pem"))
    config.write_text("[audit]\n")
    ca.write_text("precious\n")
    make("install", f"DESTDIR={installed}", "PREFIX=/opt/x")
    assert config.read_text() == "[audit]\n"
    make("uninstall", f"DESTDIR={installed}", "PREFIX=/opt/x")
    assert files_of(installed) == {"etc/suitegate/suitegate.ini", "etc/suitegate/ca.pem"}


def test_the_package_has_what_install_puts_down(package, tmp_path):
    make("install", f"DESTDIR={tmp_path / 'make'}", "PREFIX=/usr")
    subprocess.run(["dpkg-deb", "-x", package, tmp_path / "deb"], check=True, timeout=PATIENCE)
    assert files_of(tmp_path / "deb") == \
        files_of(tmp_path / "make") | {"usr/share/doc/suitegate/changelog.gz"}


# ---- manual and completions -------------------------------------------------------------

@pytest.fixture(scope="module")
def share(tmp_path_factory):
    """usr/share of an installation."""
    folder = tmp_path_factory.mktemp("share")
    make("install", f"DESTDIR={folder}", "PREFIX=/usr")
    return folder / "usr/share"


def dispatched():
    """Every command with options that the program's sources know, as words, but those that it
    starts itself. A group's table is in its own file."""
    found = set()
    for path in (ROOT / "src/cli").glob("*.c"):
        table = re.search(r"cli_command commands\[\] = \{(.*?)\};", path.read_text(), re.S)
        group = () if path.stem == "main" else (path.stem,)
        if table:
            found |= {(*group, word) for word in re.findall(r'\{"(\w+)",', table[1])}
    return sorted(found - {words[:1] for words in found if words[1:]} - {("clerk",), ("proxy",)})


def options_of(*words):
    """Those that the command's parser takes; it takes a beginning of one, too."""
    table = (ROOT / "include/cli/options.def").read_text()
    known = re.findall(r'"([\w-]+)",\s+(?:0|\'.\'),', table)
    taken = [name for name in known
             if "unrecognized option" not in run(*words, f"--{name}=x", "--help").stderr]
    return {name for name in taken
            if not any(other != name and other.startswith(name) for other in taken)}


def page_of(share, name):
    return gzip.decompress((share / f"man/man{name[-1]}/{name}.gz").read_bytes()).decode()


@pytest.mark.parametrize("name", ["suitegate.1", "suitegate.ini.5"])
def test_man_pages_are_clean(share, name):
    done = subprocess.run(["groff", "-ww", "-z", "-man", "-Tutf8"], input=page_of(share, name),
                          capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_manual_has_every_command_and_every_option(share):
    program, configuration = page_of(share, "suitegate.1"), page_of(share, "suitegate.ini.5")
    for words in dispatched():
        assert f".B suitegate {' '.join(words)}" in program
    for line in (ROOT / "conf/options.md").read_text().splitlines():
        if found := re.match(r"\| `\[(\w+)\]` \| `(\w+)`", line):
            part = configuration.split(f".SH [{found[1]}")[1].split(".SH ")[0]
            assert re.search(rf"^\.BR {found[2]}\b", part, re.M), line


def bash(share, *words):
    """What bash offers for the last of these words."""
    script = """source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _suitegate
                printf '%s\\n' "${COMPREPLY[@]}" """
    done = subprocess.run(["bash", "-c", script, share / "bash-completion/completions/suitegate",
                           "suitegate", *words], cwd=ROOT, capture_output=True, text=True,
                          check=True, timeout=PATIENCE)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_offers_every_command_with_its_options(share):
    for words in dispatched():
        assert words[0] in bash(share, "")
        assert words[-1] in bash(share, *words[:-1], "")
        offered = {word[2:] for word in bash(share, *words, "--")}
        assert offered == options_of(*words) | {"help"}, words


@pytest.mark.parametrize("words, offered", [
    (("ca", "init", "--key-type", ""), {"rsa", "ecdsa"}),
    (("run", "-c", "READ"), {"README.md"}),
    (("ca", "init", "--out", "ce"), {"certs"}),
    (("log", "verify", "READ"), {"README.md"}),
    (("check", "READ"), set()),
    (("ca", "init", "--permit", "READ"), set()),
])
def test_bash_offers_values(share, words, offered):
    assert bash(share, *words) == offered


@pytest.mark.parametrize("shell, path", [
    ("bash", "bash-completion/completions/suitegate"),
    ("zsh", "zsh/vendor-completions/_suitegate"),
    ("fish", "fish/vendor_completions.d/suitegate.fish")])
def test_shells_take_their_completions(share, shell, path):
    done = subprocess.run([shell, "-n", share / path], capture_output=True, text=True, check=False,
                          timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")


# ---- the package ------------------------------------------------------------------------

def test_lintian_finds_no_error(package):
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", package],
                          capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_version_is_the_programs(package):
    fields = subprocess.run(["dpkg-deb", "-f", package, "Version", "Depends", "Recommends"],
                            capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
    assert f"Version: {run('--version').stdout.split()[1]}\n" in fields
    assert "libev4" in re.search("^Depends: (.*)", fields, re.M)[1]
    assert "libmicrohttpd12" in re.search("^Recommends: (.*)", fields, re.M)[1]


@pytest.fixture(scope="module")
def newer(package, tmp_path_factory):
    """The same with a higher version."""
    folder = tmp_path_factory.mktemp("newer")
    subprocess.run(["dpkg-deb", "-R", package, folder / "tree"], check=True, timeout=PATIENCE)
    control = folder / "tree/DEBIAN/control"
    control.write_text(re.sub("^(Version: .*)", r"\1.1", control.read_text(), flags=re.M))
    subprocess.run(["dpkg-deb", "-b", folder / "tree", folder / "newer.deb"], check=True,
                   capture_output=True, timeout=PATIENCE)
    return folder / "newer.deb"


class Debian:
    """A small Debian in namespaces of its own, which trusts the test's CA. What is written there is
    in memory. .root: where it is for a program that has entered; .path: for this one."""

    def __init__(self, folder, base, trust):
        self.root = folder / "root"
        script = (f"ip link set lo up && mount -t tmpfs tmpfs {folder} && cd {folder} && "
                  "mkdir root upper work && mount -t overlay overlay root "
                  f"-o lowerdir={base},upperdir=upper,workdir=work && "
                  "mount -t proc proc root/proc && mount --bind /dev root/dev && "
                  "echo ready && exec sleep infinity")
        self._holder = subprocess.Popen(
            [*unshare("--net", "--mount", "--pid", "--fork", "--kill-child"), "sh", "-c", script],
            stdout=subprocess.PIPE)
        assert self._holder.stdout.readline() == b"ready\n"
        first = str(*children_of(self._holder.pid))
        self.enter = ["nsenter", "-t", first, "--net", "--mount", "--pid", "--"]
        self.path = pathlib.Path(f"/proc/{first}/root{self.root}")
        with open(self.path / "etc/ssl/certs/ca-certificates.crt", "a", encoding="utf-8") as bundle:
            bundle.write(trust.read_text())
        (self.path / "etc/hosts").write_text("127.0.0.1 localhost\n")

    def close(self):
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()

    def with_systemctl(self):
        (self.path / "run/systemd/system").mkdir(parents=True)
        (self.path / "usr/bin/systemctl").write_text(SYSTEMCTL)
        (self.path / "usr/bin/systemctl").chmod(0o755)

    def asked(self):
        """What systemctl was told to do with the service."""
        return re.findall(r"(?<=[ \n])(start|stop|reload|(?:try-)?restart)(?= )",
                          (self.path / "run/asked").read_text())

    def inside(self, *command):
        """argv that runs a command there."""
        return [*self.enter, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive", "chroot", self.root, *command]

    def run(self, *command, status=0):
        done = subprocess.run(self.inside(*command), capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=PATIENCE)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def install(self, package):
        shutil.copy(package, self.path / "tmp/package.deb")
        return self.run("dpkg", "-i", "/tmp/package.deb")

    def processes(self):
        """(user, program file) of each one of suitegate."""
        found = self.run("sh", "-c", "for p in /proc/[0-9]*; do "
                         'echo "$(stat -c %U $p) $(readlink $p/exe)"; done')
        return sorted(tuple(line.split(" ", 1)) for line in found.splitlines()
                      if "/usr/bin/suitegate" in line)

    def contents(self):
        """The files that have to do with suitegate."""
        found = self.run("find", "/", "-xdev", "!", "-type", "d", "-path", "*suitegate*")
        return {path for path in found.splitlines() if not path.startswith("/var/lib/dpkg/")}

    def ca(self):
        return {path.name: path.read_bytes() for path in (self.path / "etc/suitegate").iterdir()
                if path.name != "suitegate.ini"}

    def fetch(self):
        """A page through the proxy, whose CA is trusted."""
        done = subprocess.run(
            [*self.enter, "curl", "-sS", "--proxy", "http://127.0.0.1:8080", "--cacert",
             self.root / "etc/suitegate/ca.pem", f"https://localhost:{PORT}/"],
            capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def base(package):
    """The folder of a Debian that has what the package depends on."""
    if os.geteuid() != 0:
        pytest.skip("only root can make and enter another Debian")
    assert package.exists()
    make("base")
    return BUILD / "base"


@pytest.fixture
def debian(base, pki, tmp_path):
    """Such a Debian, and an upstream beside it."""
    system = Debian(tmp_path, base, pki.trust)
    server = subprocess.Popen([*system.enter, "openssl", "s_server", "-accept", str(PORT), "-www",
                               "-quiet", "-cert", pki.ec.chain, "-cert_chain", pki.ec.chain,
                               "-key", pki.ec.key],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield system
    server.kill()
    server.wait()
    system.close()


def test_an_installation_starts_the_service_with_a_ca_of_its_own(debian, package):
    debian.with_systemctl()
    debian.install(package)
    assert debian.asked() == ["start"]
    assert debian.processes() == [("suitegate", "/usr/bin/suitegate")] * (1 + CLERK_AND_PROXY)
    assert "s_server" in debian.fetch()
    owners = debian.run("sh", "-c", "stat -c '%n %U %a' /etc/suitegate/* /var/log/suitegate")
    assert owners.splitlines() == [
        "/etc/suitegate/ca.crl root 644", "/etc/suitegate/ca.key root 600",
        "/etc/suitegate/ca.pem root 644", "/etc/suitegate/issuing-ecdsa.pem suitegate 600",
        "/etc/suitegate/issuing-rsa.pem suitegate 600", "/etc/suitegate/suitegate.ini root 644",
        "/var/log/suitegate suitegate 750"]


def test_without_systemd_nothing_starts_until_root_says_so(debian, package):
    debian.install(package)
    assert debian.processes() == []
    proxy = subprocess.Popen(debian.inside("suitegate", "run"), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    assert any(line == "suitegate: ready\n" for line in proxy.stdout)
    assert debian.processes() == [("suitegate", "/usr/bin/suitegate")] * (1 + CLERK_AND_PROXY)
    assert "s_server" in debian.fetch()
    debian.run("suitegate", "stop")
    assert proxy.wait(timeout=PATIENCE) == 0
    proxy.stdout.close()


def test_an_upgrade_changes_the_program_and_cuts_nothing(debian, package, newer):
    debian.with_systemctl()
    debian.install(package)
    config = debian.path / "etc/suitegate/suitegate.ini"
    config.write_text(config.read_text() + "; changed\n")
    before = debian.ca(), config.read_text()
    tunnel = subprocess.Popen(
        [*debian.enter, "openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile",
         debian.root / "etc/suitegate/ca.pem", "-proxy", "127.0.0.1:8080", "-connect",
         f"localhost:{PORT}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL)
    log = debian.path / "var/log/suitegate/audit.jsonl"
    wait_for(lambda: "connection-opened" in log.read_text())
    assert "suitegate: upgraded" in debian.install(newer)
    assert debian.asked() == ["start"]
    assert (debian.ca(), config.read_text()) == before
    assert b"s_server" in tunnel.communicate(b"GET / HTTP/1.0\r\n\r\n", timeout=PATIENCE)[0]
    assert "s_server" in debian.fetch()
    wait_for(lambda: debian.processes() ==
             [("suitegate", "/usr/bin/suitegate")] * (1 + CLERK_AND_PROXY))
    assert "proxy-upgraded" in log.read_text()
    assert "INTACT" in debian.run("suitegate", "log", "verify", "/var/log/suitegate/audit.jsonl")


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(POLL_SECONDS)


def test_removal_stops_the_service_and_keeps_what_it_has_and_purge_does_not(debian, package):
    debian.with_systemctl()
    debian.install(package)
    made = debian.ca()
    debian.run("dpkg", "--remove", "suitegate")
    assert debian.asked() == ["start", "stop"]
    assert debian.processes() == []
    assert debian.contents() == {f"/etc/suitegate/{name}" for name in (*made, "suitegate.ini")} | \
        {f"/var/log/suitegate/audit.{end}" for end in ("jsonl", "key", "state")} | \
        {"/etc/logrotate.d/suitegate", "/var/lib/suitegate/ca.sha256"} | {
            f"{folder}/{name}" for folder, name in (
                ("/etc/systemd/system/multi-user.target.wants", "suitegate.service"),
                ("/var/lib/systemd/deb-systemd-helper-enabled", "suitegate.service.dsh-also"),
                ("/var/lib/systemd/deb-systemd-helper-enabled/multi-user.target.wants",
                 "suitegate.service"))}

    debian.install(package)
    assert debian.ca() == made
    debian.run("dpkg", "--purge", "suitegate")
    assert debian.contents() == set()
    debian.run("find", "/etc/suitegate", "/var/log/suitegate", "/var/lib/suitegate", status=1)


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "issuing-rsa.pem"])
def test_a_ca_that_was_there_is_neither_replaced_nor_purged(debian, package, name):
    (debian.path / "etc/suitegate").mkdir()
    (debian.path / "etc/suitegate" / name).write_text("precious\n")
    debian.install(package)
    debian.run("dpkg", "--purge", "suitegate")
    assert debian.ca() == {name: b"precious\n"}


def test_a_ca_that_replaced_the_packages_own_is_not_purged(debian, package):
    debian.install(package)
    (debian.path / "etc/suitegate/ca.pem").write_text("precious\n")
    before = debian.ca()
    debian.run("dpkg", "--purge", "suitegate")
    assert debian.ca() == before


# ---- the image --------------------------------------------------------------------------

SERVES = """\
ip link set lo up
$BUILDAH run image suitegate ca init --out /etc/suitegate
$BUILDAH run image suitegate run >"$FOLDER/output" 2>&1 &
until grep -q ready "$FOLDER/output"; do kill -0 $!; sleep 0.1; done
curl -sS --proxy http://127.0.0.1:8080 https://localhost:9/ 2>&1 || true
$BUILDAH run image suitegate stop
wait $!
$BUILDAH run image suitegate log verify /var/log/suitegate/audit.jsonl
"""


@pytest.mark.skipif(not os.environ.get("SUITEGATE_BUILDAH"),
                    reason="takes packages from the network: SUITEGATE_BUILDAH=1")
def test_the_image_has_no_key_and_serves_with_a_ca_made_in_it(base, tmp_path):
    store = [f"--root={tmp_path / 'store'}", f"--runroot={tmp_path / 'run'}"]
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", "FOLDER": str(tmp_path),
                   "BUILDAH": " ".join(("buildah", *store))}

    def buildah(*arguments):
        done = subprocess.run(["buildah", *store, *arguments], cwd=ROOT, env=environment,
                              capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        buildah("from", "--name", "base", "scratch")
        buildah("add", "base", str(base), "/")
        buildah("commit", "base", "localhost/base")
        buildah("bud", "--pull-never", "--build-arg", "BASE=localhost/base", "-t", "localhost/made",
                "-f", "conf/Containerfile", ".")
        buildah("from", "--pull-never", "--name", "image", "localhost/made")
        assert not list((tmp_path / "store").rglob("ca.key"))
        done = subprocess.run([*unshare("--net"), "sh", "-ec", SERVES], env=environment,
                              capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "CONNECT tunnel failed, response 502" in done.stdout
        assert "INTACT" in done.stdout
    finally:
        buildah("rm", "--all")
        buildah("rmi", "--all", "--force")
