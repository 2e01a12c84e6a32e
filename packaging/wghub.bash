# wghub.bash - completion of wghub's command line for bash. Commands and options are asked of the program
# itself, so they are those of the installed version.

_wghub_commands() { wghub --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z_]*\) .*/\1/p'; }

# Options in the help of a command, long and short.
_wghub_options() {
	wghub help "$1" 2>/dev/null | grep -o -- '\(^\|[ (\[]\)--*[a-zA-Z][a-zA-Z-]*' | sed 's/^[ (\[]*//' | sort -u
}

# The command: the first word that is one, as a Factory's options come before it.
_wghub_command() {
	local word commands
	commands=" $(_wghub_commands | tr '\n' ' ') help "
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		[[ $commands != *" $word "* ]] || { echo "$word"; return; }
	done
}

_wghub_hubs() {
	local socket
	for socket in /run/wireguard/*.sock "${XDG_RUNTIME_DIR:-/nonexistent}"/wireguard/*.sock; do
		[ ! -S "$socket" ] || basename "$socket" .sock
	done
}

_wghub() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command
	command=$(_wghub_command)
	COMPREPLY=()
	case $before in
	--deliver) mapfile -t COMPREPLY < <(compgen -W 'own all' -- "$word"); return ;;
	--no-offload) mapfile -t COMPREPLY < <(compgen -W 'udp-gro udp-gso tun-tso tun-uso' -- "$word") ;;
	--aead)
		mapfile -t COMPREPLY < <(compgen -W "$(wghub --version | sed 's/.*AEAD//; s/--aead also:/ /; s/[(),]/ /g')" -- "$word")
		return
		;;
	--user) mapfile -t COMPREPLY < <(compgen -u -- "$word"); return ;;
	--socket-dir | --state-dir | --unit-dir) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
	--*-file | --oauthcreds | --privatekey | -a | -k) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
	help) mapfile -t COMPREPLY < <(compgen -W "$(_wghub_commands) run" -- "$word"); return ;;
	esac
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_wghub_options "${command:-run}") --help" -- "$word")
	elif [ -z "$command" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_wghub_commands) help" -- "$word")
	else
		mapfile -t COMPREPLY < <(compgen -W "$(_wghub_hubs)" -- "$word"; compgen -f -- "$word")
	fi
}

complete -o filenames -F _wghub wghub
