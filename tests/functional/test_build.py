"""Where the build takes wolfSSL from: .make/wolfssl.sh against archives made by this test."""

import os
import pathlib
import shutil
import subprocess
import tarfile

import pytest

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[2]
NAME = "wolfssl-source"
APT = """\
#!/bin/sh
case "$*" in
*indextargets*) cat "$ARCHIVE/carries"; exit ;;
esac
for word in "$@"; do
    case $word in -oDir::Etc::SourceParts=*) sources=${word#*=} ;; esac
done
suite=$(sed -n 's/^Suites: //p' "$sources"/*)
echo "$suite" >>"$ARCHIVE/asked"
case "$*" in
*update) [ -d "$ARCHIVE/$suite" ] || { echo "E: no Release file"; exit 100; } ;;
*source*) cp "$ARCHIVE/$suite"/* . ;;
esac
"""
CONFIGURE = """\
#!/bin/sh
[ BUILDS = yes ] || { echo "configure: error: no such option"; exit 1; }
for word in "$@"; do
    case $word in --prefix=*) prefix=${word#*=} ;; esac
done
printf 'all:\\n\\tcc -c stub.c && ar rcs libwolfssl.a stub.o\\n' >Makefile
printf 'install:\\n\\tmkdir -p %s/lib %s/include && cp libwolfssl.a %s/lib && cp -R wolfssl %s/include\\n' \\
    "$prefix" "$prefix" "$prefix" "$prefix" >>Makefile
"""
HEADER = "#define WOLFSSL_SUCCESS 1\nint wolfSSL_get_ciphers(char *list, int size);\n"
CURVES = """\
typedef int ecc_key;
int wc_ecc_init(ecc_key *key);
void wc_ecc_free(ecc_key *key);
int wc_ecc_import_x963(const unsigned char *point, unsigned n, ecc_key *key);
int wc_ecc_verify_hash(const unsigned char *signature, unsigned n, const unsigned char *digest,
                       unsigned size, int *valid, ecc_key *key);
"""
STUB = """\
#include "wolfssl/wolfcrypt/ecc.h"
#include <string.h>
int wc_ecc_init(ecc_key *key) { return 0; }
void wc_ecc_free(ecc_key *key) {}
int wc_ecc_import_x963(const unsigned char *point, unsigned n, ecc_key *key) { return 0; }
int wc_ecc_verify_hash(const unsigned char *signature, unsigned n, const unsigned char *digest,
                       unsigned size, int *valid, ecc_key *key)
{
    *valid = %d;
    return 0;
}
int wolfSSL_get_ciphers(char *list, int size)
{
    strncpy(list, "%s", (size_t)size);
    return 1;
}
"""
EIGHT = ":".join(f"ECDHE-{key}-AES{rest}" for key in ("RSA", "ECDSA") for rest in (
    "128-GCM-SHA256", "256-GCM-SHA384", "128-SHA256", "256-SHA384"))


def source(path, version="5.9.2", suites=EIGHT, builds=True, verifies=True):
    """A source release that builds in no time."""
    folder = path.parent / f"{path.name}.d" / NAME
    for inner in ("wolfssl/wolfcrypt", "wolfcrypt/src"):
        (folder / inner).mkdir(parents=True)
    for name, text in (("configure.ac", f"AC_INIT([wolfssl],[{version}],[x],[wolfssl])\n"),
                       ("configure", CONFIGURE.replace("BUILDS", "yes" if builds else "no")),
                       ("wolfssl/ssl.h", HEADER), ("wolfssl/options.h", ""),
                       ("wolfssl/wolfcrypt/ecc.h", CURVES),
                       ("wolfcrypt/src/sp_x86_64_asm.S", ""),
                       ("stub.c", STUB % (verifies, suites))):
        (folder / name).write_text(text)
    (folder / "configure").chmod(0o755)
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, NAME)
    shutil.rmtree(folder.parent)
    return path


class Archive:
    """.make/wolfssl.sh in a copy of the project, with a given system and archive."""

    def __init__(self, folder):
        self.folder, self.archive = folder, folder / "archive"
        (folder / "bin").mkdir()
        self.archive.mkdir()
        (folder / "bin/apt-get").write_text(APT)
        (folder / "bin/apt-get").chmod(0o755)
        for name in ("include", "src"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".make").mkdir()
        for name in ("wolfssl.profile", "wolfssl.sed"):
            shutil.copy(ROOT / ".make" / name, folder / ".make")
        script = (ROOT / ".make/wolfssl.sh").read_text()
        (folder / ".make/wolfssl.sh").write_text(
            script.replace("/etc/os-release", str(folder / "os-release")))
        self.system("debian", "bookworm", "Debian GNU/Linux 12 (bookworm)")

    def system(self, ident, codename, pretty, carries=None):
        (self.folder / "os-release").write_text(
            f'ID={ident}\nVERSION_CODENAME={codename}\nPRETTY_NAME="{pretty}"\n')
        (self.archive / "carries").write_text(f"{carries or codename} http://archive.test/\n")

    def has(self, suite, **kind):
        (self.archive / suite).mkdir()
        source(self.archive / suite / "wolfssl_1.orig.tar.gz", **kind)

    def build(self, **env):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WOLFSSL_")}
        return subprocess.run(
            ["sh", self.folder / ".make/wolfssl.sh", self.folder / "prefix"], text=True,
            env={**environment, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                 "ARCHIVE": str(self.archive), **env}, capture_output=True, check=False)

    def asked(self):
        path = self.archive / "asked"
        return list(dict.fromkeys(path.read_text().split())) if path.exists() else []

    def is_ready(self):
        return (self.folder / "prefix/profile.stamp").exists()


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path)


def test_the_newest_suite_is_taken_and_named(archive):
    archive.has("unstable", version="5.10.0")
    archive.has("testing")
    done = archive.build()
    assert done.returncode == 0, done.stderr
    assert "building 5.10.0 of Debian's unstable" in done.stderr
    assert archive.asked() == ["unstable"]
    assert archive.is_ready()


@pytest.mark.parametrize("kind, why", [
    ({"builds": False, "version": "5.10.0"}, "5.10.0 does not build"),
    ({"version": "5.9.1"}, "its source is 5.9.1, need 5.9.2 or later"),
    ({"suites": EIGHT + ":ECDHE-RSA-DES-CBC3-SHA", "version": "5.10.0"}, "are not the eight"),
    ({"suites": EIGHT.rsplit(":", 1)[0], "version": "5.10.0"}, "are not the eight"),
    ({"verifies": False, "version": "5.10.0"}, "refuses a valid signature (P-256)"),
], ids=["broken", "old", "more", "fewer", "wrong"])
def test_the_next_suite_is_taken_where_the_newest_is_unfit(archive, kind, why):
    archive.has("unstable", **kind)
    archive.has("testing")
    done = archive.build()
    assert done.returncode == 0, done.stderr
    assert why in done.stderr
    assert "building 5.9.2 of Debian's testing" in done.stderr
    assert archive.is_ready()


def test_backports_are_tried_last_and_one_version_only_once(archive):
    archive.has("unstable", builds=False, version="5.10.0")
    archive.has("testing", builds=False, version="5.10.0")
    archive.has("stable-backports")
    done = archive.build()
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("building 5.10.0") == 1
    assert "building 5.9.2 of Debian's stable-backports" in done.stderr
    assert archive.asked() == ["unstable", "testing", "stable-backports"]


def test_where_no_suite_is_fit_the_message_says_what_to_type(archive):
    archive.has("unstable", builds=False)
    done = archive.build()
    assert done.returncode == 1
    assert "Debian's testing has none that can be fetched: E: no Release file" in done.stderr
    assert "no suitable source package for Debian GNU/Linux 12 (bookworm). Do this:\n" \
           "    curl -fLO https://github.com/wolfSSL/wolfssl/archive/refs/tags/v5.9.2-stable" \
           ".tar.gz\n    WOLFSSL_TARBALL=$PWD/v5.9.2-stable.tar.gz make run\n" in done.stderr
    assert not archive.is_ready()


@pytest.mark.parametrize("carries", ["unstable", "sid", "testing", "forky"])
def test_testing_and_unstable_themselves_need_nothing_more(archive, carries):
    archive.system("debian", "forky", "Debian GNU/Linux forky/sid", carries=carries)
    archive.has("unstable")
    done = archive.build()
    assert done.returncode == 0, done.stderr


def test_another_distribution_is_told_what_to_do_and_not_asked_for_debians_suites(archive):
    archive.system("ubuntu", "noble", "Ubuntu 24.04.3 LTS")
    archive.has("unstable")
    done = archive.build()
    assert done.returncode == 1
    assert "no suitable source package for Ubuntu 24.04.3 LTS. Do this:\n    curl -fLO " \
        in done.stderr
    assert archive.asked() == []


def test_what_the_user_gives_is_taken_or_refused_and_nothing_else_tried(archive):
    archive.system("ubuntu", "noble", "Ubuntu 24.04.3 LTS")
    done = archive.build(WOLFSSL_TARBALL=str(source(archive.folder / "mine.tar.gz")))
    assert done.returncode == 0, done.stderr
    old = source(archive.folder / "old.tar.gz", version="5.8.4")
    done = archive.build(WOLFSSL_TARBALL=str(old))
    assert done.returncode == 1
    assert "WOLFSSL_TARBALL: its source is 5.8.4, need 5.9.2 or later" in done.stderr
    assert not archive.is_ready()


def test_an_installed_library_with_other_suites_is_refused(archive):
    more = source(archive.folder / "more.tar.gz", suites=EIGHT + ":NULL-SHA256")
    assert "are not the eight" in archive.build(WOLFSSL_TARBALL=str(more)).stderr
    (archive.folder / "prefix").rename(archive.folder / "installed")
    done = archive.build(WOLFSSL_DIR=str(archive.folder / "installed"))
    assert done.returncode == 1
    assert "WOLFSSL_DIR: the library's suites are not the eight" in done.stderr
    assert not archive.is_ready()
