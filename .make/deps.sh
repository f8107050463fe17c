#!/bin/sh
# Installs what a make target needs from the distribution's packages.
# usage: deps.sh GROUP...   groups: build install test lint soak bench instructions
# A package counts as present if its file (or pattern of files), command or function of this script
# is found: a tool from elsewhere on PATH (nodejs, java) is good enough, in any version. Without
# root and without a password-less sudo it prints the missing packages in one line and stops.
set -eu

group() {
    case $1 in
    build) echo "gcc:gcc make:make libc6-dev:/usr/include/stdlib.h libev-dev:/usr/include/ev.h
        libinih-dev:/usr/include/ini.h libc-ares-dev:/usr/include/ares.h
        libjansson-dev:/usr/include/jansson.h libseccomp-dev:/usr/include/seccomp.h
        libmicrohttpd-dev:/usr/include/microhttpd.h
        libp11-kit-dev:/usr/include/p11-kit-1/p11-kit/uri.h zlib1g-dev:/usr/include/zlib.h autoconf:autoconf
        automake:automake libtool:libtoolize dpkg-dev:dpkg-source openssl:openssl
        ca-certificates:/etc/ssl/certs/ca-certificates.crt" ;;
    install) echo "python3:/usr/bin/python3" ;;
    test) echo "libcmocka-dev:/usr/include/cmocka.h python3:/usr/bin/python3
        python3-pytest:/usr/lib/python3/dist-packages/pytest/__init__.py
        curl:curl
        gnutls-bin:gnutls-cli nginx-light:/usr/sbin/nginx nodejs:node
        default-jdk-headless:javac nmap:nmap sslscan:sslscan clang:clang
        libclang-rt-CLANG-dev:links_fuzzers()
        util-linux:prlimit strace:strace iproute2:ip nftables:/usr/sbin/nft procps:pgrep
        python3-cryptography:/usr/lib/python3/dist-packages/cryptography/__init__.py
        python3-fastjsonschema:/usr/lib/python3/dist-packages/fastjsonschema/__init__.py
        links:links rsyslog:/usr/sbin/rsyslogd logrotate:/usr/sbin/logrotate
        systemd:/lib/systemd/systemd-journald
        python3-aiosmtpd:/usr/lib/python3/dist-packages/aiosmtpd/__init__.py
        apache2-bin:/usr/sbin/apache2 haproxy:/usr/sbin/haproxy wget:wget git:git
        golang-go:go python3-cryptography:/usr/lib/python3/dist-packages/cryptography/__init__.py
        python3-requests:/usr/lib/python3/dist-packages/requests/__init__.py
        chromium:chromium libnss3-tools:certutil php-cli:php
        php-curl:/usr/share/php*-curl/curl/curl.ini
        liblwp-protocol-https-perl:/usr/share/perl5/LWP/Protocol/https.pm
        squid-openssl:/usr/sbin/squid tinyproxy-bin:tinyproxy
        dante-server:/usr/sbin/danted netcat-openbsd:nc.openbsd
        python3-socks:/usr/lib/python3/dist-packages/socks.py
        gss-ntlmssp:/usr/lib/*/gssntlmssp/gssntlmssp.so
        python3-gssapi:/usr/lib/python3/dist-packages/gssapi/__init__.py mono-mcs:mcs
        mono-runtime:mono softhsm2:softhsm2-util prometheus:promtool
        libmono-system4.0-cil:/usr/lib/mono/4.5/System.dll
        groff-base:groff keepalived:/usr/sbin/keepalived lintian:lintian mmdebstrap:mmdebstrap zsh:zsh fish:fish" ;;
    lint) echo "clang-format:clang-format clang-tidy:clang-tidy cppcheck:cppcheck
        python3:/usr/bin/python3" ;;
    soak) echo "testssl.sh:testssl procps:pgrep
        bsdextrautils:hexdump dnsutils:dig buildah:buildah" ;;
    bench) echo "hey:hey libnginx-mod-stream:/usr/lib/nginx/modules/ngx_stream_module.so
        sslsplit:sslsplit squid-openssl:/usr/lib/squid/security_file_certgen
        mitmproxy:mitmdump" ;;
    instructions) echo "valgrind:callgrind_control" ;;
    *) echo "deps.sh: unknown group $1" >&2; exit 64 ;;
    esac
}

# clang's runtime libraries; the package's name contains clang's version.
links_fuzzers() { ls "$(clang -print-runtime-dir)"/libclang_rt.fuzzer*.a; }
clang_version() {
    if command -v clang >/dev/null; then clang -dumpversion | cut -d. -f1; return; fi
    apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p'
}
named() { printf '%s' "$missing" | sed "s/CLANG/$(clang_version 2>/dev/null)/"; }

is_there() {
    case $1 in
    *"()") "${1%??}" ;;
    /*) ls $1 ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

missing=
for g in "$@"; do
    for entry in $(group "$g"); do
        is_there "${entry#*:}" || missing="$missing ${entry%%:*}"
    done
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        echo "make: missing packages; as root: apt-get install --no-install-recommends$(named)" >&2
        exit 1
    fi
fi

# A test tool's package must not start its service on the developer's machine.
guard=/usr/sbin/policy-rc.d
made_guard=no
cleanup() { [ "$made_guard" = no ] || $as_root rm -f "$guard"; }
trap cleanup EXIT
trap 'exit 1' INT TERM
if [ ! -e "$guard" ]; then
    made_guard=yes
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$guard" >/dev/null
    $as_root chmod 755 "$guard"
fi
log=$(mktemp)
if ! { $as_root apt-get update -q >"$log" 2>&1 && missing=$(named) &&
       echo "deps: installing$missing" &&
       $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
           --no-install-recommends $missing >>"$log" 2>&1; }; then
    tail -n 5 "$log" >&2
    echo "make: could not install$(named) (whole log: $log)" >&2
    exit 1
fi
rm -f "$log"
