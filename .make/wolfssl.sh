#!/bin/sh
# Builds wolfSSL with suitegate's own profile into PREFIX, once.
# usage: wolfssl.sh PREFIX
#
# The source is Debian's own source package (signature checked by apt), fetched with
# lists of its own: the system's apt configuration is not touched. Or, from you:
#   WOLFSSL_TARBALL=FILE  a wolfSSL source release (5.9.2 or later)
#   WOLFSSL_DIR=DIR       an installed static wolfSSL of this profile
# Whatever the origin, the build stops unless the library lists exactly the eight suites.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
random=$here/../include/pki/random.h
prefix=$(mkdir -p "$1" && cd "$1" && pwd)
minimum=5.9.2
defines="-DWOLFSSL_ALT_NAMES -DWOLFSSL_EXTRA_ALERTS -DNO_SESSION_CACHE_REF -DWOLFSSL_ALWAYS_VERIFY_CB"
# One hello of up to 128 KiB with up to 2,048 suites.
defines="$defines -DMAX_HANDSHAKE_SZ=131072 -DWOLFSSL_MAX_SUITE_SZ=4096"
# Certificates: as many as pki/trust.h takes, and as many names as fit into one.
defines="$defines -DMAX_CHAIN_DEPTH=32 -DWOLFSSL_MAX_ALT_NAMES=16384"
# Randomness comes from the kernel, through src/pki/random.c; no process id a record.
defines="$defines -DCUSTOM_RAND_GENERATE_BLOCK=suitegate_random -DWOLFSSL_NO_GETPID"
case $(uname -m) in
x86_64) assembly=--enable-intelasm ;;
aarch64) assembly=--enable-armasm ;;
*) assembly= ;;
esac
options=$(grep -v '^#' "$here/wolfssl.profile" | tr '\n' ' ')
profile=$(printf '%s|%s|%s' "$options" "$assembly" "$defines" | sha256sum | cut -c1-32)
origin="${WOLFSSL_DIR:-}|${WOLFSSL_TARBALL:-}"
# What is there is good enough unless another origin is asked for by name.
{ read -r have && read -r from; } 2>/dev/null <"$prefix/profile.stamp" || have=
if [ "$have" = "$profile" ]; then
    if [ "$origin" = "|" ] || [ "$origin" = "$from" ]; then exit 0; fi
fi
rm -f "$prefix/profile.stamp"

die() { echo "wolfssl: $*" >&2; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/suitegate-wolfssl.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# Every archive of the machine's own apt configuration that carries this release.
archives() {
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v c="$codename" '($1 == c || $1 ~ /^(old)?stable$/) && !seen[$2]++ { print $2 }'
}

fetch() {
    command -v apt-get >/dev/null || die "no apt-get here: set WOLFSSL_TARBALL or WOLFSSL_DIR"
    mkdir -p "$work/sources" "$work/lists/partial"
    apt="apt-get -q -oDir::Etc::SourceList=/dev/null -oDir::Etc::SourceParts=$work/sources"
    apt="$apt -oDir::State::Lists=$work/lists -oAPT::Sandbox::User=$(id -un)"
    for uri in $(archives); do
        printf 'Types: deb-src\nURIs: %s\nSuites: unstable\nComponents: main\nSigned-By: %s\n' \
            "$uri" /usr/share/keyrings/debian-archive-keyring.gpg >"$work/sources/wolfssl.sources"
        (cd "$work" && $apt update && $apt source --download-only --tar-only wolfssl) \
            >"$work/fetch.log" 2>&1 || continue
        tarball=$(ls "$work"/wolfssl_*.orig.tar.* | head -n 1) && return
    done
    tail -n 5 "$work/fetch.log" 2>/dev/null >&2 || :
    die "could not get the source package; set WOLFSSL_TARBALL to a wolfSSL >= $minimum release"
}

build() {
    mkdir "$work/src"
    tar -xf "$tarball" -C "$work/src" --strip-components=1
    cd "$work/src"
    version=$(sed -n 's/^AC_INIT(\[wolfssl\],\[\([0-9.]*\)\].*/\1/p' configure.ac)
    [ "$(printf '%s\n%s\n' "$minimum" "$version" | sort -V | head -n 1)" = "$minimum" ] ||
        die "source is $version, need $minimum or later"
    echo "wolfssl: building $version with suitegate's profile (about a minute)"
    log=$work/build.log
    { { [ -x configure ] || ./autogen.sh; } &&
      ./configure --prefix="$prefix" $options $assembly \
          CFLAGS="-O2 -fstack-protector-strong -fPIE -include $random $defines" &&
      make -j"$(nproc)" && make install; } >"$log" 2>&1 || { tail -n 15 "$log" >&2; die "build failed"; }
    cd "$here"
}

tarball=${WOLFSSL_TARBALL:-}
if [ -n "${WOLFSSL_DIR:-}" ]; then
    [ -e "$WOLFSSL_DIR/lib/libwolfssl.a" ] || die "no lib/libwolfssl.a in $WOLFSSL_DIR"
    cp -R "$WOLFSSL_DIR/include" "$WOLFSSL_DIR/lib" "$prefix/"
else
    if [ -z "$tarball" ]; then echo "wolfssl: fetching the source package"; fetch; fi
    build
fi

# The read-back: what the library itself lists, against the one table.
cat >"$work/suites.c" <<'C'
#include <stdio.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
int main(void)
{
    char list[4096] = "";
    if (wolfSSL_get_ciphers(list, (int)sizeof list) != WOLFSSL_SUCCESS) return 1;
    return printf("%s\n", list) < 0;
}
C
${CC:-cc} -D_GNU_SOURCE -I"$here/../include" -I"$prefix/include" -o "$work/suites" "$work/suites.c" \
    "$here/../src/pki/random.c" "$prefix/lib/libwolfssl.a" -lm -lpthread
"$work/suites" | tr ':' '\n' | sort >"$work/has"
sed -n 's/^SUITE(.*"\(ECDHE-[A-Z0-9-]*\)".*/\1/p' "$here/../include/policy/suites.def" | sort >"$work/wants"
[ "$(wc -l <"$work/wants")" -eq 8 ] || die "suites.def does not list eight suites"
cmp -s "$work/has" "$work/wants" ||
    die "the library's suites are not the eight: $(tr '\n' ' ' <"$work/has")"
printf '%s\n%s\n' "$profile" "$origin" >"$prefix/profile.stamp"
echo "wolfssl: ready, exactly the eight suites"
