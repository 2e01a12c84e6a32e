# steps.sh - how the demonstrations speak: a heading for each step, each command as it is typed, its
# output indented. A command that fails ends the demonstration with the reason.
# $dir: where the output of the last command is kept.

wghub=$PWD/wghub
[ -z "${WGHUB-}" ] || wghub=$WGHUB
n_step=0

say() {
	n_step=$((n_step + 1))
	step=$1
	printf '\n== %d. %s\n' $n_step "$1"
}

tell() { printf '   %s\n' "$*"; }

die() {
	printf '\nDEMO FAILED in step %d (%s): %s\n' $n_step "$step" "$*"
	exit 1
}

# The command's output, indented; nothing about the command.
show() {
	: >"$dir/out.log"
	"$@" >>"$dir/out.log" 2>&1
	local code=$?
	sed 's/^/      /' "$dir/out.log"
	return $code
}

# Prints the command, with programs and files by their names and without where it runs.
announce() {
	local where=
	if [ "$1 $2 $3" = "ip netns exec" ]; then
		where="$4: "
		shift 4
	fi
	local text="$*"
	text=${text//$wghub/wghub}
	text=${text//$dir\//}
	printf '   %s$ %s\n' "$where" "${text//${peer:-$wghub}/peer}"
}

# Prints the command, runs it, and shows what it says.
run() {
	announce "$@"
	show "$@" || die "'$*' failed"
}

# The same without what it says, unless it fails.
run_quiet() {
	announce "$@"
	quiet "$@"
}

# Only does it.
quiet() {
	: >"$dir/out.log"
	"$@" >>"$dir/out.log" 2>&1 || { sed 's/^/      /' "$dir/out.log"; die "'$*' failed"; }
}
