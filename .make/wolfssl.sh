#!/bin/sh
# Builds wolfSSL with suitegate's own profile into PREFIX, once.
# usage: wolfssl.sh PREFIX
#
# The source is Debian's own source package (signature checked by apt), fetched with separate lists:
# the system's apt configuration is not changed. The newest suite whose package is recent enough,
# builds and lists the eight suites is used. Or you name one:
#   WOLFSSL_TARBALL=FILE  a wolfSSL source release (5.9.2 or later)
#   WOLFSSL_DIR=DIR       an installed static wolfSSL of this profile
# Whatever the origin, the build stops unless the library lists exactly the eight suites and takes a
# valid signature that 5.9.2 refuses by a fault of its own (wolfssl.sed mends it).
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
random=$here/../include/pki/random.h
prefix=$(mkdir -p "$1" && cd "$1" && pwd)
minimum=5.9.2
suites="unstable testing stable-backports"
defines="-DWOLFSSL_ALT_NAMES -DWOLFSSL_EXTRA_ALERTS -DNO_SESSION_CACHE_REF -DWOLFSSL_ALWAYS_VERIFY_CB"
# One hello of up to 128 KiB with up to 2,048 suites.
defines="$defines -DMAX_HANDSHAKE_SZ=131072 -DWOLFSSL_MAX_SUITE_SZ=4096"
# Certificates: as many as pki/trust.h takes, and as many names as fit into one.
defines="$defines -DMAX_CHAIN_DEPTH=32 -DWOLFSSL_MAX_ALT_NAMES=16384 -DWOLFSSL_PUBLIC_ASN"
# The limit for a client's signature schemes, two bytes each.
defines="$defines -DWOLFSSL_MAX_SIGALGO=512"
# Randomness comes from the kernel, through src/pki/random.c; no getpid() for each record.
defines="$defines -DCUSTOM_RAND_GENERATE_BLOCK=suitegate_random -DWOLFSSL_NO_GETPID"
case $(uname -m) in
x86_64) assembly=--enable-intelasm ;;
aarch64) assembly=--enable-armasm ;;
*) assembly= ;;
esac
options=$(grep -v '^#' "$here/wolfssl.profile" | tr '\n' ' ')
profile=$({ printf '%s|%s|%s' "$options" "$assembly" "$defines"; cat "$here/wolfssl.sed"; } |
    sha256sum | cut -c1-32)
origin="${WOLFSSL_DIR:-}|${WOLFSSL_TARBALL:-}"
# An existing build of this profile is kept, unless the caller names another origin.
{ read -r have && read -r from; } 2>/dev/null <"$prefix/profile.stamp" || have=
if [ "$have" = "$profile" ]; then
    if [ "$origin" = "|" ] || [ "$origin" = "$from" ]; then exit 0; fi
fi
rm -f "$prefix/profile.stamp"

say() { echo "wolfssl: $*" >&2; }
die() { say "$*"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/suitegate-wolfssl.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# Every Debian archive in the machine's own apt configuration.
archives() {
    codename=$(. /etc/os-release && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}") || return 0
    apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v c="$codename" '($1 == c || $1 ~ /^((old)?stable|testing|unstable|sid)$/) &&
            !seen[$2]++ { print $2 }'
}

# The source package in suite $2 of archive $1.
fetch() {
    rm -rf "$work/lists" "$work"/wolfssl_*
    mkdir -p "$work/sources" "$work/lists/partial"
    printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
        "$1" "$2" /usr/share/keyrings/debian-archive-keyring.gpg >"$work/sources/wolfssl.sources"
    apt="apt-get -q -oDir::Etc::SourceList=/dev/null -oDir::Etc::SourceParts=$work/sources"
    apt="$apt -oDir::State::Lists=$work/lists -oAPT::Sandbox::User=$(id -un)"
    (cd "$work" && $apt update && $apt source --download-only --tar-only wolfssl) \
        >"$work/fetch.log" 2>&1 && tarball=$(ls "$work"/wolfssl_*.orig.tar.*)
}

# Builds and installs $tarball, whose origin is $1.
build() {
    rm -rf "$work/src" "$prefix/include/wolfssl" "$prefix/lib/libwolfssl.a"
    mkdir "$work/src"
    tar -xf "$tarball" -C "$work/src" --strip-components=1 ||
        { say "$1: cannot unpack $tarball"; return 1; }
    version=$(sed -n 's/^AC_INIT(\[wolfssl\],\[\([0-9.]*\)\].*/\1/p' "$work/src/configure.ac")
    [ "$(printf '%s\n%s\n' "$minimum" "$version" | sort -V | head -n 1)" = "$minimum" ] ||
        { say "$1: its source is $version, need $minimum or later"; return 1; }
    case $tried in *" $version "*) say "$1: $version as well"; return 1 ;; esac
    sed -i -f "$here/wolfssl.sed" "$work/src/wolfcrypt/src/sp_x86_64_asm.S"
    tried="$tried$version "
    say "building $version of $1 with suitegate's profile (about a minute)"
    log=$work/build.log
    (cd "$work/src" &&
     { [ -x configure ] || ./autogen.sh; } &&
     ./configure --prefix="$prefix" $options $assembly \
         CFLAGS="-O2 -fstack-protector-strong -fPIE -include $random $defines" &&
     make -j"$(nproc)" && make install) >"$log" 2>&1 ||
        { tail -n 15 "$log" >&2; say "$1: $version does not build"; return 1; }
}

# Prints the library's own list of suites; status 3 if it refuses a valid signature of P-256 (see
# wolfssl.sed).
cat >"$work/read_back.c" <<'C'
#include <stdio.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/ecc.h>
static const unsigned char point[] = {
    0x04, 0xf8, 0x5f, 0xb0, 0x35, 0x28, 0xb1, 0xa3, 0x03, 0xf0, 0x2c, 0xa1, 0xf8, 0xb2, 0xfa, 0x38,
    0x36, 0x16, 0xc0, 0xf3, 0x6a, 0xd0, 0x3d, 0x0d, 0x45, 0xb9, 0x2e, 0x95, 0x79, 0x8f, 0xc8, 0x5d,
    0x7d, 0x62, 0xc1, 0x28, 0xa9, 0x1a, 0xe3, 0x7f, 0x01, 0x56, 0xe2, 0xdf, 0xcf, 0xac, 0x80, 0xf7,
    0xff, 0xc7, 0x0b, 0x0f, 0x23, 0x37, 0x96, 0x4d, 0x75, 0x17, 0xe6, 0x7e, 0x09, 0xa3, 0x1f, 0xa8,
    0x2e};
static const unsigned char digest[] = {
    0xd7, 0x3b, 0x8a, 0x84, 0x3b, 0x44, 0x02, 0x65, 0x4e, 0xcb, 0xd5, 0x8d, 0xb3, 0x51, 0x92, 0xa8,
    0x5b, 0xe5, 0x00, 0x53, 0x9a, 0x45, 0x78, 0x3e, 0xf1, 0xdd, 0x86, 0xd9, 0x06, 0x78, 0x31, 0xab};
static const unsigned char signature[] = {
    0x30, 0x46, 0x02, 0x21, 0x00, 0xdc, 0x22, 0x47, 0x58, 0xd9, 0x07, 0x72, 0x4c, 0x94, 0xb4, 0xf7,
    0x61, 0x8c, 0xdc, 0xf1, 0xc2, 0x44, 0x3a, 0xfe, 0xd2, 0x19, 0x71, 0x95, 0x1e, 0x53, 0x8c, 0xae,
    0xdd, 0x77, 0xd7, 0x4d, 0xa4, 0x02, 0x21, 0x00, 0x87, 0x02, 0x8a, 0x10, 0x79, 0x0c, 0xa3, 0xa2,
    0x59, 0x15, 0x72, 0xa5, 0x5e, 0xb2, 0xda, 0x47, 0xd8, 0xb3, 0x86, 0x05, 0xd1, 0x48, 0x35, 0x3c,
    0xc8, 0xcd, 0x0b, 0xfc, 0x19, 0x51, 0x84, 0xe6};
int main(void)
{
    char list[4096] = "";
    ecc_key key;
    int valid = 0;
    if (wolfSSL_get_ciphers(list, (int)sizeof list) != WOLFSSL_SUCCESS || wc_ecc_init(&key) != 0 ||
        wc_ecc_import_x963(point, sizeof point, &key) != 0 ||
        wc_ecc_verify_hash(signature, sizeof signature, digest, sizeof digest, &valid, &key) != 0)
        return 1;
    wc_ecc_free(&key);
    return printf("%s\n", list) < 0 ? 1 : valid ? 0 : 3;
}
C
read_back() {
    ${CC:-cc} -D_GNU_SOURCE -I"$here/../include" -I"$prefix/include" -o "$work/read_back" \
        "$work/read_back.c" "$here/../src/pki/random.c" "$prefix/lib/libwolfssl.a" -lm -lpthread ||
        { say "$1: its suites cannot be read back"; return 1; }
    status=0
    "$work/read_back" >"$work/list" || status=$?
    case $status in
    0) ;;
    3) say "$1: the library refuses a valid signature (P-256)"; return 1 ;;
    *) say "$1: its suites cannot be read back"; return 1 ;;
    esac
    tr ':' '\n' <"$work/list" | sort >"$work/has"
    cmp -s "$work/has" "$work/wants" ||
        { say "$1: the library's suites are not the eight: $(tr '\n' ' ' <"$work/has")"; return 1; }
}

from_debian() {
    command -v apt-get >/dev/null || { say "no apt-get here"; return 1; }
    say "fetching the source package"
    for suite in $suites; do
        for uri in $(archives); do
            if ! fetch "$uri" "$suite"; then
                say "Debian's $suite has none that can be fetched: $(tail -n 1 "$work/fetch.log")"
            elif build "Debian's $suite" && read_back "Debian's $suite"; then
                return
            fi
        done
    done
    return 1
}

what_to_do() {
    release=https://github.com/wolfSSL/wolfssl/archive/refs/tags/v$minimum-stable.tar.gz
    say "no suitable source package for $(. /etc/os-release && echo "${PRETTY_NAME:-this system}"). Do this:"
    printf '    %s\n' "curl -fLO $release" "WOLFSSL_TARBALL=\$PWD/${release##*/} make run" >&2
    exit 1
}

sed -n 's/^SUITE(.*"\(ECDHE-[A-Z0-9-]*\)".*/\1/p' "$here/../include/policy/suites.def" | sort >"$work/wants"
[ "$(wc -l <"$work/wants")" -eq 8 ] || die "suites.def does not list eight suites"
tried=" "
tarball=${WOLFSSL_TARBALL:-}
if [ -n "${WOLFSSL_DIR:-}" ]; then
    [ -e "$WOLFSSL_DIR/lib/libwolfssl.a" ] || die "no lib/libwolfssl.a in $WOLFSSL_DIR"
    cp -R "$WOLFSSL_DIR/include" "$WOLFSSL_DIR/lib" "$prefix/"
    read_back WOLFSSL_DIR || exit 1
elif [ -n "$tarball" ]; then
    build WOLFSSL_TARBALL && read_back WOLFSSL_TARBALL || exit 1
else
    from_debian || what_to_do
fi
printf '%s\n%s\n' "$profile" "$origin" >"$prefix/profile.stamp"
echo "wolfssl: ready, exactly the eight suites"
