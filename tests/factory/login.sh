#!/bin/bash
# login.sh - credentials of a person: wghub login, and what publishing does where they are missing or
# may only read. Comments name the rows of tests/factory-faults.md.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh
. tests/factory/host.sh

code() { factory_ctl code "${1-{\}}" | factory_get 'j["code"]'; }
# piped TEXT WORD...: the text on standard input, which is still no terminal.
piped() {
	code=0
	timeout 60 ip netns exec hub "$wghub" "${@:2}" <<<"$1" >$T/out 2>$T/err || code=$?
}
login=()
as_person() { # [OPTION...]: what the commands below have in common
	login=(-f "$FACTORY_NAME" -a $T/creds "${api[@]}")
}
token_of() { factory_get 'j["access_token"]' <$T/creds; }
token_opens() { # METHOD PATH -> status
	factory_auth=(-H "Authorization: Bearer $(token_of)")
	in_ns hub curl -sS --cacert "$FACTORY_CA" -o /dev/null -w '%{http_code}' -X "$1" \
		"${factory_auth[@]}" "$FACTORY_URL$2" "${@:3}"
}

test_login_by_a_pasted_code_leaves_a_token_that_may_only_read() {
	begin
	as_person
	piped "$(code)" login "${login[@]}" --code-stdin
	equal $code 0 "$(cat $T/err)"
	equal "$(stat -c %a $T/creds)" 600
	equal "$(factory_get 'sorted(j)' <$T/creds)" \
		"['access_token', 'created', 'expires_in', 'refresh_token']"
	equal "$(token_opens GET "/ota/factories/$FACTORY_NAME/wireguard-ips/")" 200
	equal "$(token_opens PATCH "/ota/factories/$FACTORY_NAME/config/" -H 'Content-Type: application/json' -d '{"files": []}')" 403
	# The link is one that the page understands.
	local link
	link=$(grep -o 'https://.*/authorize?.*' $T/err)
	must "the link is bad: $link" in_ns hub curl -sSf --cacert "$FACTORY_CA" -o $T/page "$link"
	must "no code on the page" grep -q 'id="code">code\.' $T/page
	piped "$(sed -n 's/.*id="code">\([^<]*\).*/\1/p' $T/page)" login "${login[@]}" --code-stdin
	equal $code 0 "$(cat $T/err)"
	no_secret_in $T/out $T/err
}

test_login_on_another_device_waits_for_the_answer_there() {
	begin
	as_person
	ip netns exec hub "$wghub" login "${login[@]}" </dev/null >$T/out 2>$T/err &
	local pid=$!
	wait_for 60 grep -q 'Waiting for your answer' $T/err || fail "$(cat $T/err)"
	# Its code is for the person, its device code for nobody.
	ctl approve "{\"user_code\": \"$(sed -n 3p $T/err | tr -d ' ')\"}"
	wait $pid || fail "$(cat $T/err)"
	equal "$(stat -c %a $T/creds)" 600
	equal "$(token_opens GET "/ota/factories/$FACTORY_NAME/wireguard-ips/")" 200
	no_secret_in $T/out $T/err
	# Somebody says no.
	rm $T/creds $T/err
	ip netns exec hub "$wghub" login "${login[@]}" </dev/null >$T/out 2>$T/err &
	pid=$!
	wait_for 60 grep -q 'Waiting for your answer' $T/err
	ctl approve "{\"user_code\": \"$(sed -n 3p $T/err | tr -d ' ')\", \"deny\": true}"
	must_not "it went on without consent" wait $pid
	must "no word of it: $(cat $T/err)" grep -q 'access_denied' $T/err
	must "a file is there" [ ! -e $T/creds ]
}

test_a_server_without_the_device_grant_gets_a_pasted_code() {
	begin
	as_person
	ctl set '{"device_grant": false}'
	piped "$(code)" login "${login[@]}"
	equal $code 0 "$(cat $T/err)"
	equal "$(stat -c %a $T/creds)" 600
}

test_a_login_in_vain_leaves_everything_as_it_was() {
	begin
	as_person
	bad 1 'no code was given' login "${login[@]}" --browser
	local text
	for text in wrong 'two words' "$(head -c 3000 /dev/zero | tr '\0' x)"; do
		piped "$text" login "${login[@]}" --browser
		equal $code 1 "$text"
		must_not "the code is printed" grep -qF "$text" $T/err
	done
	ctl fault '{"do": "status", "status": 500, "match": "POST /oauth/token"}'
	piped "$(code)" login "${login[@]}" --browser
	equal $code 1
	# A code of another factory's.
	piped "$(code '{"scopes": ["other:devices:read"]}')" login "${login[@]}" --browser
	equal $code 1
	must "a file is there" [ ! -e $T/creds ]
	# Files that no login may replace.
	local before
	for before in "$FACTORY_TOKEN" $'clientcredentials:\n  access_token: x\n  client_id: y' '{"a": 1}'; do
		echo "$before" >$T/creds
		piped "$(code)" login "${login[@]}" --browser
		equal $code 1 "$before"
		equal "$(cat $T/creds)" "$before"
	done
}

test_enable_logs_in_once_and_keeps_what_it_has() { # rows 2, 39
	begin
	as_person
	local words=("${login[@]}" -k $T/key -n hub0 "${places[@]}" enable)
	bad 1 'wghub login --factory' "${words[@]}" -e hub.example.net # no terminal: nobody is asked
	equal "$(n_token_requests)" 0
	piped "$(code)" "${words[@]}" -e hub.example.net --code-stdin
	equal $code 0 "$(cat $T/err)"
	file_is "$(key_pub)" hub.example.net:5555
	equal "$(stat -c %a $T/creds)" 600
	equal "$(n_token_requests)" 2
	no_secret_in $T/out $T/err "$T/units/factory-vpn-$FACTORY_NAME.service"
	wait_for 60 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
	# The token that may publish is nowhere on the disk.
	equal "$(token_opens PATCH "/ota/factories/$FACTORY_NAME/config/" -H 'Content-Type: application/json' -d '{"files": []}')" 403
	good "${words[@]}" # nothing to publish: nobody has to log in
	equal "$(n_token_requests)" 2
	# Something to publish: the daemon's token does not do, and its file stays as it is.
	local before
	before=$(cat $T/creds)
	bad 1 'these credentials may read only' "${words[@]}" -e new.example.net
	file_is "$(key_pub)" hub.example.net:5555
	piped "$(code)" "${login[@]}" -k $T/key -n hub0 update_endpoint -e new.example.net --code-stdin
	equal $code 0 "$(cat $T/err)"
	file_is "$(key_pub)" new.example.net:5555
	equal "$(cat $T/creds)" "$before"
	equal "$(n_token_requests)" 3
	unit_ends
}

test_a_code_that_gives_only_the_token_to_publish_is_used_and_that_is_said() {
	begin
	as_person
	ctl fault '{"do": "status", "status": 400, "json": {"error": "invalid_grant"}, "match": "POST /oauth/token", "skip": 1}'
	piped "$(code)" "${login[@]}" -k $T/key -n hub0 "${places[@]}" enable -e hub.example.net --code-stdin
	equal $code 1
	must "not said: $(cat $T/err)" grep -q 'no credentials for the daemon' $T/err
	file_is "$(key_pub)" hub.example.net:5555
	unit_ends
}

test_one_url_tells_the_other_and_so_does_fioctls_file() {
	begin
	ctl client '{"id": "app", "secret": "secret.of.the.app", "scopes": ["devices:read", "devices:read-update"]}'
	cat >$T/fioctl.yaml <<END
clientcredentials:
  client_id: app
  client_secret: secret.of.the.app
  url: $FACTORY_OAUTH_URL
factory: $FACTORY_NAME
END
	chmod 600 $T/fioctl.yaml
	local before
	before=$(cat $T/fioctl.yaml)
	good server show -f "$FACTORY_NAME" -a $T/fioctl.yaml --ca-file "$FACTORY_CA"
	equal "$(n_token_requests)" 1
	# These may publish, so nobody has to log in; the file is fioctl's, and only read.
	good -f "$FACTORY_NAME" -a $T/fioctl.yaml -k $T/key -n hub0 --ca-file "$FACTORY_CA" \
		"${places[@]}" enable -e hub.example.net
	file_is "$(key_pub)" hub.example.net:5555
	equal "$(cat $T/fioctl.yaml)" "$before"
	unit_ends
	# The API's URL alone: the token is renewed beside it, not at Foundries.
	factory_ctl login | factory_get 'json.dumps(j | {"created": 1700000000})' >$T/creds
	ctl forget
	good server show -f "$FACTORY_NAME" -a $T/creds "${api[@]}"
	equal "$(n_token_requests)" 1
	as_person
	ctl set '{"device_grant": false}'
	piped "$(code)" login -f "$FACTORY_NAME" -a $T/creds2 --oauth-url "$FACTORY_OAUTH_URL" --ca-file "$FACTORY_CA"
	equal $code 0 "$(cat $T/err)"
}

run_tests "$@"
