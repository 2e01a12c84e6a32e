#!/bin/sh
# layers.sh BUILD_FOLDER - crypto <- core <- io <- control <- cli, in two ways: what each layer
# includes, and what the core's objects call. First the checks are shown to be able to fail.
# Prints each offence; exit 1 if there is one, 2 if the check itself does not work.
set -eu
build=${1:?usage: tests/layers.sh BUILD_FOLDER}
. "$(dirname "$0")/layers.conf"

# includes FOLDER PATTERN...: quoted includes of a folder's files start with one of these.
includes() {
	folder=$1
	shift
	allowed=$(printf '|%s' "$@")
	grep -Hn '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$folder"/*.[ch] 2>/dev/null |
		grep -Ev "include[[:space:]]*\"(${allowed#|})" |
		sed 's/^/layers: not for this layer: /' | grep . && return 1
	return 0
}

# no_system_includes FOLDER PATTERN...: these headers of the system are not for this folder.
no_system_includes() {
	folder=$1
	shift
	denied=$(printf '|%s' "$@")
	grep -Hn '^[[:space:]]*#[[:space:]]*include[[:space:]]*<' "$folder"/*.[ch] 2>/dev/null |
		grep -E "<(${denied#|})>" |
		sed 's/^/layers: not for this layer: /' | grep . && return 1
	return 0
}

# calls OBJECT_FOLDER OWN_FOLDER...: undefined symbols of the objects in the first folder are
# defined in one of the others, or in the list.
calls() {
	objects=$1
	own=$(for d; do nm --defined-only "$d"/*.o; done | awk 'NF == 3 { print $3 }' | tr '\n' ' ')
	nm -A -u "$objects"/*.o | awk -v own="$own" -v listed="$CORE_CALLS" '
		BEGIN {
			split(own " " listed, names, /[ \n\t]+/)
			for (i in names)
				ok[names[i]] = 1
		}
		!($NF in ok) { print "layers: not for this layer: " $1 " calls " $NF; bad = 1 }
		END { exit bad }'
}

check_tree() {
	bad=0
	includes "$1/crypto" $CRYPTO_MAY || bad=1
	includes "$1/dataplane/include" $INCLUDE_MAY || bad=1
	includes "$1/dataplane/core" $CORE_MAY || bad=1
	includes "$1/dataplane/io" $IO_MAY || bad=1
	includes "$1/control" $CONTROL_MAY || bad=1
	includes "$1/control/cli" $CLI_MAY || bad=1
	no_system_includes "$1/crypto" $CRYPTO_MAY_NOT || bad=1
	no_system_includes "$1/dataplane/core" $CORE_MAY_NOT || bad=1
	return $bad
}

# ---- the check of the check: one wrong line in each place ----

must_refuse() {
	what=$1
	shift
	if "$@" >/dev/null 2>&1; then
		echo "layers: the check itself does not see $what" >&2
		exit 2
	fi
}

wrong=$(mktemp -d)
trap 'rm -rf "$wrong"' EXIT
try() { # FOLDER LINE
	rm -rf "$wrong/tree"
	mkdir -p "$wrong/tree/crypto" "$wrong/tree/dataplane/include" "$wrong/tree/dataplane/core" \
		"$wrong/tree/dataplane/io" "$wrong/tree/control/cli"
	printf '%s\n' "$2" >"$wrong/tree/$1/wrong.c"
	must_refuse "$2 in $1" check_tree "$wrong/tree"
}
try crypto '#include "core/peer.h"'
try dataplane/include '#include "core/hub.h"'
try dataplane/core '#include "io/udp.h"'
try dataplane/core '#include "wghub_device.h"'
try dataplane/core '# include	"control/log.h"'
try crypto '#include <sys/socket.h>'
try dataplane/core '#include <sys/socket.h>'
try dataplane/core '#include <pthread.h>'
try dataplane/io '#include "control/log.h"'
try control '#include "core/hub.h"'
try control '#include "io/device.h"'
try control '#include "control/cli/cli.h"'
try control '#include "crypto/aead.h"'
try control/cli '#include "core/hub.h"'

mkdir "$wrong/objects"
for call in 'clock_gettime(0, 0)' 'socket(1, 2, 3)' 'pthread_create(0, 0, 0, 0)' 'getenv("A")' \
	'printf("a%d", 1)' 'open("a", 0)' 'usleep(1)'; do
	printf 'int %s();\nint wrong(void);\nint wrong(void) { return %s; }\n' "${call%%(*}" "$call" |
		${CC:-cc} -w -x c -c - -o "$wrong/objects/wrong.o"
	must_refuse "$call" calls "$wrong/objects" "$wrong/objects"
done

# ---- the check ----

bad=0
if ! ls "$build"/dataplane/core/*.o "$build"/crypto/*.o >/dev/null; then
	echo "layers: nothing is built in $build" >&2
	exit 2
fi
check_tree . || bad=1
calls "$build/dataplane/core" "$build/dataplane/core" "$build/crypto" || bad=1
[ $bad = 0 ] && echo "layers: includes and the core's calls are as they should be"
exit $bad
