#!/bin/sh
# Makes BUILD/suitegate_VERSION_ARCHITECTURE.deb of what make install puts down.
# usage: BUILD= SOURCE_DATE_EPOCH= [MAINTAINER=] deb.sh VERSION
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
version=$1
architecture=$(dpkg --print-architecture)
maintainer=${MAINTAINER:-suitegate <suitegate@example.com>}
work=$BUILD/deb
root=$work/suitegate
export SOURCE_DATE_EPOCH PREFIX=/usr SYSCONFDIR=/etc DESTDIR="$root"
rm -rf "$work"
mkdir -p "$root/DEBIAN" "$work/debian"

"$here/install.sh" put >"$work/log"
strip --strip-unneeded --remove-section=.comment "$root/usr/bin/suitegate"
{
    printf 'suitegate (%s) unstable; urgency=medium\n\n  * %s\n\n' "$version" \
        'See the log of the source repository.'
    printf ' -- %s  %s\n' "$maintainer" "$(date -uRd "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$root/usr/share/doc/suitegate/changelog.gz"
chmod 644 "$root/usr/share/doc/suitegate/changelog.gz"

# Libraries that it is linked with, and the packages of those that it loads only if it has to.
printf 'Source: suitegate\n\nPackage: suitegate\nArchitecture: any\n' >"$work/debian/control"
linked=$(cd "$work" && dpkg-shlibdeps -O suitegate/usr/bin/suitegate |
    sed -n 's/^shlibs:Depends=//p')
loaded=$(sed -n 's/^#define LIBRARY "\(.*\)"$/\1/p' "$here"/../src/*/*.c |
    while read -r name; do
        dpkg-query --search "*/$name" | sed 's/:.*//' | sort -u
    done | paste -sd, | sed 's/,/, /g')

cat >"$root/DEBIAN/control" <<CONTROL
Package: suitegate
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $linked, ca-certificates, systemd-standalone-sysusers | systemd-sysusers
Recommends: $loaded
Suggests: logrotate
Section: net
Priority: optional
Description: TLS-terminating compliance proxy
 suitegate terminates TLS on both legs and accepts only TLS 1.2 with eight ECDHE
 suites. It refuses all else, says which side has to change, and records each
 attempt in a signed audit log.
CONTROL
"$here/install.sh" list config >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 755 "$here/deb/$script" "$root/DEBIAN"; done
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
dpkg-deb --root-owner-group --build "$root" "$BUILD/suitegate_${version}_$architecture.deb" \
    >>"$work/log"
echo "deb: $BUILD/suitegate_${version}_$architecture.deb"
