#!/bin/bash
# test_library.sh - the library as others have it: installed into a temporary folder, used by programs
# that see nothing else. Prints "ok NAME" or "not ok NAME: why" for each; needs no privilege.
#
#   tests/library/test_library.sh            all
#   tests/library/test_library.sh --update   writes symbols.txt, layout.txt and constants.txt anew
#
# The three lists are the promise of dataplane/libwghub.map. A line may be added; one that changes or
# goes needs the next SOVERSION. Layouts are those of 64-bit machines.
cd "$(dirname "$0")/../.." || exit 1
. tests/library/lib.sh

here=tests/library
headers="wghub.h wghub_device.h wghub_policy.h wghub_bench.h"
mkdir -p "$src/tests/lib"
cp $here/*.c "$src"
cp tests/lib/net.[ch] "$src/tests/lib"

SOURCES="two_hubs.c tests/lib/net.c"

test_headers_stand_alone_in_c_and_cxx() {
	local header
	for header in $headers; do
		printf '#include <%s>\nint main(void) { return 0; }\n' "$header" >"$src/alone.c"
		cp "$src/alone.c" "$src/alone.cc"
		compile gcc -std=gnu11 -Wall -Wextra -Werror -pedantic $(pkg --cflags wghub) -c alone.c -o alone.o || return
		compile clang -std=gnu11 -Wall -Wextra -Werror -c $(pkg --cflags wghub) alone.c -o alone.o || return
		compile g++ -std=c++11 -Wall -Wextra -Werror -pedantic $(pkg --cflags wghub) -c alone.cc -o alone.o || return
		compile g++ -std=c++20 -Wall -Wextra -Werror $(pkg --cflags wghub) -c alone.cc -o alone.o || return
	done
}

test_cxx_program_links_and_runs() {
	printf '%s\n' '#include <wghub_device.h>' '#include <cstdio>' 'int main() {' \
		'	wgh_hub_options options = {};' '	wgh_hub *hub = nullptr;' \
		'	options.size = sizeof options;' '	int err = wgh_hub_new(&hub, &options, nullptr);' \
		'	std::puts(wgh_strerror(err));' '	wgh_hub_free(hub);' '	return err != 0;' '}' >"$src/plus.cc"
	compile g++ -Wall -Wextra -Werror plus.cc $(pkg --cflags --libs wghub) -o plus || return
	try env LD_LIBRARY_PATH="$root/usr/lib" "$src/plus"
}

test_program_runs_with_the_shared_library() {
	compile gcc -Wall -Wextra -Werror -g -I. $SOURCES $(pkg --cflags --libs wghub) -pthread -o shared || return
	readelf -d "$src/shared" | grep -q 'NEEDED.*\[libwghub\.so\.1\]' || { reason="it does not need libwghub.so.1"; return 1; }
	try env LD_LIBRARY_PATH="$root/usr/lib" "$src/shared"
}

test_program_of_the_archive_needs_no_shared_library() {
	mkdir -p "$work/archive"
	cp "$root/usr/lib/libwghub.a" "$work/archive"
	compile gcc -Wall -Wextra -Werror -g -I. $(pkg --cflags wghub) $SOURCES -L"$work/archive" \
		$(pkg --static --libs-only-l --libs-only-other wghub) -pthread -o static || return
	! readelf -d "$src/static" | grep -q libwghub || { reason="it needs libwghub.so"; return 1; }
	try "$src/static"
}

test_two_hubs_in_one_process_talk_without_a_race() {
	local archive=build/tsan/libwghub.a
	try make -s -j2 VARIANT=tsan $archive || return
	compile gcc -Wall -Wextra -Werror -g -fsanitize=thread -I. $(pkg --cflags wghub) $SOURCES "$tree/$archive" \
		$(pkg --static --libs-only-l --libs-only-other wghub | sed 's/-lwghub//') -pthread -o racy || return
	try env TSAN_OPTIONS=halt_on_error=1 "$src/racy"
}

symbols_of_so() { nm -D --defined-only "$root/usr/lib/libwghub.so.1" | awk '$2 != "A" { print $3 }' | sed 's/@@/ /' | LC_ALL=C sort; }
symbols_of_archive() { nm -g --defined-only "$root/usr/lib/libwghub.a" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort; }

# Functions that a header declares: each has to be in the library.
declared() { gcc -fpreprocessed -dD -E -P $(printf "$root/usr/include/%s " $headers) 2>/dev/null | tr '\n' ' ' |
	grep -oE '\bwgh_[a-z0-9_]+\(' | tr -d '(' | grep -v '_fn$' | LC_ALL=C sort -u; }

layouts() {
	printf '#include <%s>\n' wghub_device.h wghub_policy.h wghub.h >"$src/layout.c"
	(cd "$src" && clang -fsyntax-only $(pkg --cflags wghub) -Xclang -fdump-record-layouts-complete layout.c) |
		awk '/^ +0 \| struct wgh_[a-z_]+$/ { on = 1 } /^$/ { on = 0 } on { gsub(/ +/, " "); sub(/^ /, ""); print }' |
		awk '/^0 \| struct wgh_[a-z_]+$/ && $4 in seen { skip = 1 } /^0 \| struct wgh_[a-z_]+$/ && !($4 in seen) { seen[$4]; skip = 0 } !skip'
}

constants() {
	local names
	names=$(cd "$root/usr/include" && gcc -fpreprocessed -dD -E -P wghub.h wghub_device.h wghub_policy.h 2>/dev/null |
		grep -oE '\bWGH_[A-Z0-9_]+\b' | LC_ALL=C sort -u)
	{
		printf '#include <%s>\n' wghub_device.h wghub_policy.h stdio.h
		echo 'int main(void) {'
		for name in $names; do echo "printf(\"$name %lld\\n\", (long long)($name));"; done
		echo 'return 0; }'
	} >"$src/constants.c"
	compile gcc $(pkg --cflags wghub) constants.c -o constants && "$src/constants"
}

# differs LIST: what stdin has and the list has not, and the other way round.
same_as() {
	LC_ALL=C diff "$here/$1" - >"$work/diff" && return
	reason="$here/$1: $(grep -c '^[<>]' "$work/diff") lines differ ($(grep -m1 '^[<>]' "$work/diff")); if it was meant: $0 --update"
	return 1
}

test_exported_symbols_are_the_listed_ones() {
	symbols_of_so | same_as symbols.txt || return
	symbols_of_archive | LC_ALL=C diff <(cut -d' ' -f1 $here/symbols.txt) - >"$work/diff" ||
		{ reason="libwghub.a: $(grep -m1 '^[<>]' "$work/diff")"; return 1; }
}

test_every_declared_function_is_exported() {
	declared | LC_ALL=C diff <(cut -d' ' -f1 $here/symbols.txt) - >"$work/diff" ||
		{ reason="$(grep -m1 '^[<>]' "$work/diff")"; return 1; }
}

test_struct_sizes_and_offsets_are_the_listed_ones() {
	[ "$(getconf LONG_BIT)" = 64 ] || return 0
	layouts | same_as layout.txt
}

test_constants_are_the_listed_ones() { constants | same_as constants.txt; }

if [ "${1-}" = --update ]; then
	symbols_of_so >$here/symbols.txt
	layouts >$here/layout.txt
	constants >$here/constants.txt
	git diff --stat -- $here/*.txt
	exit
fi
run_tests
