#!/bin/sh
# Makes a small Debian of this machine's release in the folder OUT, with what the package DEB
# depends on but without DEB itself, for the tests of it. Keeps an OUT that has that already.
# usage: base.sh DEB OUT   (as root)
set -eu
deb=$1 out=$2
# The first of alternatives, without versions.
wanted=$(dpkg-deb -f "$deb" Depends | sed -e 's/ *|[^,]*//g' -e 's/ *([^)]*)//g' -e 's/, */,/g')
[ "$(cat "$out.has" 2>/dev/null)" != "$wanted" ] || exit 0
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
archive=$(apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' \
    'Created-By: Packages' | awk -v c="$codename" '$1 == c { print $2; exit }')
echo "base: making a Debian to install $(basename "$deb") in"
# The machine's proxy, if it has one.
apt-config dump | grep '^Acquire::https\?::Proxy' >"$out.apt" || true
rm -rf "$out" "$out.new" "$out.has"
mmdebstrap --quiet --variant=minbase --include="$wanted" --format=directory --aptopt="$out.apt" \
    "$codename" "$out.new" ${archive:+"$archive"}
mv "$out.new" "$out"
echo "$wanted" >"$out.has"
