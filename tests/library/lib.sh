# lib.sh - for the scripts of tests/library: the library installed into a temporary folder, and programs
# built away from the tree against nothing but that.
#
#   $root    the installed tree; $root/usr/lib/libwghub.so.1
#   $src     a folder for sources and programs
#   pkg      pkg-config that finds it
#   compile  a compiler's command line, in $src; try: any command. Both keep what it said in $reason.
set -u
variant=$(basename "$(dirname "${WGHUB:-build/release/wghub}")")
tree=$PWD
work=$(mktemp -d "${TMPDIR:-/tmp}/wghub-library.XXXXXX") || exit 1
root=$work/root
src=$work/src
reason=

end() {
	# Only what still runs: on a busy machine the number of one that has ended is soon another's.
	local running
	running=$(jobs -rp)
	[ -z "$running" ] || kill $running 2>/dev/null
	rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

pkg() { PKG_CONFIG_PATH=$root/usr/lib/pkgconfig pkg-config --define-prefix "$@"; }
try() { "$@" >"$work/log" 2>&1 || { reason="$(head -3 "$work/log" | tr '\n' ' ')"; return 1; }; }
compile() { (cd "$src" && "$@") >"$work/log" 2>&1 || { reason="$(head -3 "$work/log" | tr '\n' ' ')"; return 1; }; }

# The tests are the functions of this script whose names begin with test_, in order.
run_tests() {
	local t
	for t in $(grep -o '^test_[a-z0-9_]*' "$0"); do
		reason="no reason was given"
		if $t; then echo "ok ${t#test_}"; else echo "not ok ${t#test_}: $reason"; fi
	done
}

mkdir -p "$src"
make -s VARIANT="$variant" DESTDIR="$root" PREFIX=/usr install >"$work/log" 2>&1 ||
	{ echo "make install: $(tail -3 "$work/log")" >&2; exit 1; }
