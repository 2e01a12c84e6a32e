#!/bin/bash
# manual.sh - the manual pages and bash's completion know the commands, options, keys and functions that there are, and
# no others. Needs the program; prints "ok NAME" or "not ok NAME: what is missing".
#
#   tests/manual.sh [PROGRAM]           default: ./wghub
set -u
cd "$(dirname "$0")/.." || exit 1
wghub=$(realpath "${1:-./wghub}")
man=packaging/man
export LC_ALL=C
n_failed=0

# same NAME: the lines of file descriptor 3 are in 4 and the other way round.
same() {
	local there here
	there=$(sort -u <&3)
	here=$(sort -u <&4)
	local missing unknown
	missing=$(comm -23 <(echo "$there") <(echo "$here") | tr '\n' ' ')
	unknown=$(comm -13 <(echo "$there") <(echo "$here") | tr '\n' ' ')
	if [ -z "$there" ]; then
		echo "not ok $1: there is nothing to compare"
	elif [ -n "$missing$unknown" ]; then
		echo "not ok $1:${missing:+ missing: $missing}${unknown:+ unknown: $unknown}"
	else
		echo "ok $1"
		return
	fi
	n_failed=$((n_failed + 1))
}

commands() { "$wghub" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z_]*\) .*/\1/p'; }
# Long options in a text.
options() { grep -oE -- '(^|[^-a-zA-Z0-9])--[a-z][a-z-]+' | grep -oE -- '--[a-z-]+'; }
all_help() {
	local command
	"$wghub" --help
	for command in $(commands) run; do "$wghub" help "$command"; done
}

test_manual_has_every_option() {
	same "$FUNCNAME" 3< <({ all_help; echo --help; echo --version; } | options) \
		4< <(options <$man/wghub.1.scd)
}

test_manual_has_every_command() {
	same "$FUNCNAME" 3< <({ commands; echo run; }) \
		4< <(sed -n '/^# COMMANDS/,/^# OPT/s/^## //p' $man/wghub.1.scd | tr -d ' ' | tr , '\n')
}

test_manual_of_the_file_has_every_key() {
	same "$FUNCNAME" 3< <("$wghub" help up | grep -oE '\b([A-Z][a-z]+[A-Z][A-Za-z]+|MTU|DNS|Address|Table|Endpoint)\b' |
		grep -vx 'SIGHUP\|NetworkManager') \
		4< <(grep -oE '^\*[A-Z][A-Za-z]+\*|^\*DNS.*' $man/wghub.conf.5.scd | grep -oE '\*[A-Z][A-Za-z]+\*' | tr -d '*')
}

test_manual_of_the_library_has_every_function() {
	same "$FUNCNAME" 3< <(cat dataplane/include/wghub{,_device,_policy}.h | grep -oE '\bwgh_[a-z_]+\(' |
		grep -v 'filter_fn' | tr -d '(') \
		4< <(grep -oE '\bwgh_[a-z_]+\*?\(' $man/libwghub.3.scd | tr -d '*(')
}

# The words that completion offers after the given ones; the last one is being typed.
complete_words() {
	(
		PATH=$(dirname "$wghub"):$PATH
		. packaging/wghub.bash
		COMP_WORDS=(wghub "$@")
		COMP_CWORD=$#
		_wghub
		printf '%s\n' "${COMPREPLY[@]}"
	)
}

test_completion_offers_every_command() {
	same "$FUNCNAME" 3< <({ commands; echo help; }) 4< <(complete_words '')
}

test_completion_offers_every_option() {
	local command
	for command in $(commands) run; do
		same "${FUNCNAME}_of_$command" 3< <({ "$wghub" help "$command" | options; echo --help; }) \
			4< <(complete_words "${command/#run/-f}" --)
	done
	same "${FUNCNAME}_before_a_factorys_command" 3< <("$wghub" help daemon | options; echo --help) \
		4< <(complete_words --factory F daemon --)
}

test_completion_offers_values() {
	same "${FUNCNAME}_of_deliver" 3< <(printf 'own\nall\n') 4< <(complete_words up --deliver '')
	same "${FUNCNAME}_of_aead" 3< <("$wghub" --version | tr ',(): ' '\n' | grep -xE 'sodium|avx2|avx512|ipsec-mb|neon') \
		4< <(complete_words up --aead '')
}

test_manual_can_be_printed() {
	local page text
	for page in "$man"/*.scd; do
		if ! text=$(scdoc <"$page" 2>&1); then
			echo "not ok $FUNCNAME: $page: $text"
			n_failed=$((n_failed + 1))
		fi
	done
	[ $n_failed -gt 0 ] || echo "ok $FUNCNAME"
}

for name in $(sed -n 's/^\(test_[a-z0-9_]*\)().*/\1/p' "$0"); do $name; done
[ $n_failed = 0 ]
