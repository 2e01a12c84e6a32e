#!/bin/bash
# faults.sh - is tests/factory-faults.md true: each of the 46 rows is there once, in order, and every
# test that it names exists.
#
#   tests/faults.sh [TABLE]       prints what is wrong; exit 0 if nothing is
#
# In the third column, "; " separates the reasons. One that begins with a name in backquotes is a file
# of tests, then come the names of its tests: `test_creds`: a, b (a remark); `factory/e2e`: c. One in
# backquotes without a colon is a file or folder of its own: `fuzz_creds`, `tests/sim`.
set -u
cd "$(dirname "$0")/.." || exit 1
table=${1:-tests/factory-faults.md}
rows=46
n_wrong=0
n_named=0

wrong() {
	n_wrong=$((n_wrong + 1))
	echo "$table: row $row: $*"
}

# The file that a name means; nothing: there is none.
file_of() {
	local path
	case $1 in
	test_*) set -- tests/*/"$1.c" ;;
	fuzz_*) set -- "tests/fuzz/$1.c" ;;
	factory/* | interop/*) set -- "tests/$1.sh" ;;
	esac
	for path; do [ ! -e "$path" ] || echo "$path"; done
}

check_tests() { # FILE NAME...
	local file=$1 name
	shift
	for name; do
		n_named=$((n_named + 1))
		grep -qE "^(static void )?test_$name\(" "$file" || wrong "$file has no test_$name"
	done
}

check_reason() {
	local name rest file
	[[ ${1%% (*} =~ ^\`([^\`]+)\`(:\ (.*))?$ ]] || return 0 # words
	name=${BASH_REMATCH[1]} rest=${BASH_REMATCH[3]}
	file=$(file_of "$name")
	if [ -z "$file" ]; then
		wrong "there is no $name"
	elif [ -n "$rest" ]; then
		[[ $rest =~ ^[a-z0-9_]+(,\ [a-z0-9_]+)*$ ]] || wrong "'$rest' are no names of tests"
		check_tests "$file" ${rest//,/}
	fi
}

next=1
while IFS='|' read -r _ row _ reasons _; do
	row=${row// /}
	[[ $row =~ ^[0-9]+$ ]] || continue
	[ "$row" = $next ] || wrong "comes where $next should be"
	next=$((row + 1))
	reasons=${reasons# } reasons=${reasons% }
	[ -n "$reasons" ] || wrong "has no reason"
	while [ -n "$reasons" ]; do
		check_reason "${reasons%%; *}"
		[ "${reasons#*; }" != "$reasons" ] || break
		reasons=${reasons#*; }
	done
done <"$table"
[ $next = $((rows + 1)) ] || { row=$next && wrong "is not there"; }
row=all
[ $n_named -ge $rows ] || wrong "only $n_named tests are named"
[ $n_wrong = 0 ]
