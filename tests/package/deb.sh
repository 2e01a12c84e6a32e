#!/bin/bash
# deb.sh - the Debian packages of build/deb in a Debian 12 of their own, with its systemd running: installed,
# used, upgraded, purged. What happens inside is inside.sh. Prints "ok NAME" or "not ok NAME: why".
#
# The machine is made by debootstrap once (build/debian, half a minute) and never changed: each run writes to
# memory. systemd-nspawn needs root; it works in a container that may make namespaces.
set -e
cd "$(dirname "$0")/../.."
root=build/debian
[ "$(id -u)" = 0 ] || { echo "not ok package: needs root, for debootstrap and systemd-nspawn"; exit 1; }
ls build/deb/*.deb >/dev/null || { echo "not ok package: first: make deb"; exit 1; }

# What they depend on is there before, because the machine has no network.
needed=$(for deb in build/deb/{wghub,libwghub1,libwghub-dev}_*.deb; do dpkg-deb -f "$deb" Depends; done |
	tr , '\n' | sed 's/(.*//; s/|.*//; s/ //g; /^libwghub/d; /^$/d' | sort -u | tr '\n' ,)
packages=${needed}systemd,systemd-sysv,iproute2,iputils-ping,procps,wireguard-tools,wireguard-go

if [ "$(cat $root/made 2>/dev/null)" != "$packages" ]; then
	rm -rf $root
	mkdir -p $root
	debootstrap --variant=minbase --include=$packages bookworm $root/tree >$root/log 2>&1 ||
		{ tail $root/log; echo "not ok package: debootstrap failed"; exit 1; }
	rm -rf $root/tree/var/cache/apt/archives/*.deb $root/tree/etc/resolv.conf
	echo "$packages" >$root/made
fi

# A next version of the same, for the upgrade.
rm -rf build/deb/next
mkdir -p build/deb/next
for deb in build/deb/*.deb; do
	case $deb in *dbgsym*) continue ;; esac
	rm -rf build/deb/next/tree
	dpkg-deb -R "$deb" build/deb/next/tree
	sed -i 's/^Version: \(.*\)/Version: \1+next/; s/(= \([0-9.]*\))/(= \1+next)/' build/deb/next/tree/DEBIAN/control
	dpkg-deb -b --root-owner-group build/deb/next/tree build/deb/next >/dev/null
done
rm -rf build/deb/next/tree

# inside.sh is a service of the booted machine, and the machine's name says what it tests.
cat >$root/tree/etc/systemd/system/package-test.service <<-EOF
	[Unit]
	After=basic.target
	SuccessAction=exit-force
	FailureAction=exit-force
	[Service]
	Type=oneshot
	ExecStart=/tests/inside.sh %H
	StandardOutput=truncate:/debs/inside.%H
	StandardError=inherit
EOF
ln -sf ../package-test.service $root/tree/etc/systemd/system/multi-user.target.wants/
rm -f $root/tree/etc/hostname # the name is --hostname

# container OPTION...
container() {
	timeout -k 5 150 systemd-nspawn -q --register=no --keep-unit --volatile=overlay --private-network \
		--system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
		--bind="$PWD/build/deb:/debs" --bind-ro="$PWD/tests/package:/tests" "$@" </dev/null
}

# verdicts TITLE: what inside.TITLE says.
verdicts() {
	local title=$1 out=build/deb/inside.$1
	sed "s/^ok /ok $title /; s/^not ok /not ok $title /" "$out" 2>/dev/null || true
	grep -q '^done' "$out" 2>/dev/null || {
		tail -n 5 "build/deb/console.$title"
		echo "not ok $title: it did not run to its end"
	}
}

build/release/tests/package/unit >build/deb/factory-vpn-acme.service

# As udev makes it; here it may be root's alone.
rm -f build/deb/tun
mknod -m 666 build/deb/tun c 10 200

# boot TITLE OPTION...
boot() {
	local title=$1
	shift
	rm -f "build/deb/inside.$title"
	container --hostname="$title" "$@" -b -D $root/tree >"build/deb/console.$title" 2>&1 || true
	verdicts "$title"
}

# In a user namespace of its own there is no systemd here, for cgroups are not delegated to it.
unprivileged() {
	container --private-users=pick --private-users-ownership=auto --bind="$PWD/build/deb/tun:/dev/net/tun" \
		--as-pid2 -D $root/tree /tests/container.sh >build/deb/inside.unprivileged 2>build/deb/console.unprivileged || true
	verdicts unprivileged
}

# The demonstration, with the program as it was packaged.
demo() {
	rm -rf build/deb/extracted
	dpkg-deb -x build/deb/wghub_*.deb build/deb/extracted
	if WGHUB=$PWD/build/deb/extracted/usr/bin/wghub tests/demo/demo.sh >build/deb/demo.out 2>&1; then
		echo "ok demo"
	else
		tail -n 5 build/deb/demo.out
		echo "not ok demo: it fails with the packaged program"
	fi
}

{
	demo
	boot tun --bind="$PWD/build/deb/tun:/dev/net/tun"
	boot notun
	unprivileged
} | grep -v '^done' | tee build/deb/verdicts
! grep -q '^not ok' build/deb/verdicts
