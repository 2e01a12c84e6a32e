#!/bin/bash
# arm_root.sh FOLDER - Debian 12's libraries for arm64, unpacked into FOLDER, to build and test for
# Arm on another machine: `make check-aarch64`.
#
# By an apt configuration of its own under FOLDER/apt: the system learns no second architecture, and
# nothing is installed in it; apt checks Debian's signatures as ever. Costs 40 MB of download once;
# does nothing where it is done. Exit: 1 if Debian's mirror cannot be reached, with apt's last words.
set -eu
root=$(realpath -m "${1:?usage: tests/arm_root.sh FOLDER}")
here=$(dirname "$(realpath "$0")")
wanted="libc6-dev libgcc-12-dev libcmocka-dev $("$here/deps.sh" libraries)"

[ "$(cat "$root/.holds" 2>/dev/null)" != "$wanted" ] || exit 0
apt=$root/apt
if [ -e "$root" ] && [ ! -d "$apt" ]; then
	echo "arm_root: $root is there and not by this script; name another folder" >&2
	exit 1
fi
rm -rf "$root"
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
: >"$apt/status" # nothing is installed: all that is needed comes along
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 debian || true)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
	"${mirror:-http://deb.debian.org/debian} bookworm main" >"$apt/sources.list"
cat >"$apt/apt.conf" <<-END
	APT::Architecture "arm64";
	APT::Architectures { "arm64"; };
	Dir::Etc::SourceList "$apt/sources.list";
	Dir::Etc::SourceParts "/dev/null";
	Dir::State::Lists "$apt/lists";
	Dir::State::status "$apt/status";
	Dir::State::extended_states "$apt/extended_states";
	Dir::Cache "$apt";
	APT::Update::Post-Invoke-Success "";
	APT::Sandbox::User "root";
END
echo "arm_root: fetching Debian's libraries for arm64 into $root"
if ! (
	export APT_CONFIG=$apt/apt.conf
	apt-get -q update &&
		apt-get -q -y --no-install-recommends --download-only install $wanted
) >"$apt/log" 2>&1; then
	tail -20 "$apt/log" >&2
	echo "arm_root: apt-get failed; its last words are above" >&2
	exit 1
fi
for package in "$apt"/archives/*.deb; do dpkg -x "$package" "$root"; done
rm -rf "$apt/archives" "$apt/lists"
echo "$wanted" >"$root/.holds"
