#!/bin/bash
# deb.sh VERSION - builds the Debian packages of what git knows here, in build/deb, and looks at them with lintian.
# The tree itself stays as it is.
set -e
cd "$(dirname "$0")/.."
version=$1
tree=build/deb/wghub-$version

changelog=$(dpkg-parsechangelog -S Version)
[ "$changelog" = "$version" ] ||
	{ echo "debian/changelog says $changelog, the Makefile $version: make them agree" >&2; exit 1; }
rm -rf build/deb
mkdir -p "$tree"
git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$tree"
log=build/deb/build.log
(cd "$tree" && MAKEFLAGS='' dpkg-buildpackage -us -uc -b) >$log 2>&1 ||
	{ tail -30 $log >&2; echo "deb: the whole log is in $log" >&2; exit 1; }
rm -rf "$tree"
as=()
[ "$(id -u)" != 0 ] || as=(--allow-root)
lintian "${as[@]}" --fail-on error --suppress-tags bad-distribution-in-changes-file build/deb/*.changes
ls -l build/deb/*.deb
