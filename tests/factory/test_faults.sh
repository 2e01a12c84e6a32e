#!/bin/bash
# test_faults.sh - does the test Factory misbehave as server.py says: every fault, seen by curl.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh

F=/ota/factories/acme-presses
ips=$F/wireguard-ips/
json=(-H 'Content-Type: application/json')

factory() { factory_start --dir $T/f; }
ctl() { factory_ctl "$@" >/dev/null; }
fault() { ctl fault "$1"; }
get() { factory_call GET "${1-$ips}" "${@:2}"; }
# must_get STATUS [CURL_CODE]
must_get() {
	get
	equal "$status" "$1" "curl says $(cat $FACTORY_DIR/curl.error)"
	equal "$curl_code" "${2-0}" "$(cat $FACTORY_DIR/curl.error)"
}
is() { equal "$(factory_body "$1")" "$2" "$1"; }
last_request() { factory_ctl requests | factory_get "j[-1][\"$1\"]"; }
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

test_each_status_comes_once_and_then_the_truth() {
	factory
	local code
	for code in 401 403 404 500 503; do
		fault '{"do": "status", "status": '$code', "message": "because"}'
		must_get $code
		is j "{'message': 'because'}"
		equal "$(last_request fault)" status
		must_get 200
	done
	fault '{"do": "status", "status": 429, "retry_after": 7}'
	must_get 429
	must "no Retry-After" grep -qx 'Retry-After: 7' <<<"$head"
	fault '{"do": "status", "status": 204}'
	must_get 204
	equal "$body" ''
	fault '{"do": "status", "status": 400, "json": {"error": "invalid_grant"}}'
	must_get 400
	is 'j["error"]' invalid_grant
}

test_a_rule_hits_what_it_names_after_skip_and_as_often_as_times() {
	factory
	fault '{"do": "status", "match": "GET */wireguard-ips/", "skip": 1, "times": 2}'
	get $F/config/
	equal $status 200
	must_get 200
	must_get 500
	must_get 500
	must_get 200
	fault '{"do": "status", "times": -1}'
	must_get 500
	must_get 500
	equal "$(factory_ctl faults | factory_get '[(r["hits"], r["left"]) for r in j]')" '[(2, 0), (2, -1)]'
	ctl clear
	must_get 200
}

test_a_rule_can_be_for_one_kind_of_grant() {
	factory
	local next
	next=$(factory_ctl login | factory_get 'j["refresh_token"]')
	fault '{"do": "status", "status": 503, "grant": "refresh_token"}'
	factory_auth=()
	factory_call POST /oauth/token -d grant_type=authorization_code
	equal $status 401
	factory_call POST /oauth/token -d grant_type=refresh_token -d "refresh_token=$next"
	equal $status 503
	factory_call POST /oauth/token -d grant_type=refresh_token -d "refresh_token=$next"
	equal $status 200
}

test_a_spoilt_answer_can_still_have_taken_effect() {
	factory
	local next
	next=$(factory_ctl login | factory_get 'j["refresh_token"]')
	fault '{"do": "drop", "grant": "refresh_token", "apply": true}'
	factory_auth=()
	factory_call POST /oauth/token -d grant_type=refresh_token -d "refresh_token=$next"
	equal $status 000
	factory_call POST /oauth/token -d grant_type=refresh_token -d "refresh_token=$next"
	equal $status 400
}

test_html_and_any_other_body() {
	factory
	fault '{"do": "html", "message": "Maintenance"}'
	must_get 200
	must "no HTML" grep -q '<h1>Maintenance</h1>' <<<"$body"
	must "no HTML type" grep -qi '^content-type: text/html' <<<"$head"
	fault '{"do": "body", "body": "[[[", "status": 202, "headers": {"X-A": "b"}}'
	must_get 202
	equal "$body" '[[['
	must "no header" grep -qx 'X-A: b' <<<"$head"
}

test_truncated_json_is_a_whole_http_answer() {
	factory
	ctl devices '{"generate": 4}'
	must_get 200
	local whole=$body
	fault '{"do": "truncate"}'
	must_get 200
	equal "$body" "${whole:0:$((${#whole} / 2))}"
	must_not "it is JSON" factory_body j 2>/dev/null
}

test_a_short_body_ends_before_its_length() {
	factory
	ctl devices '{"generate": 4}'
	fault '{"do": "short"}'
	must_get 200 18
	must_get 200
}

test_a_huge_body_with_and_without_length() {
	factory
	fault '{"do": "huge"}'
	must_get 200
	equal "$(wc -c <$FACTORY_DIR/curl.body)" $((20 << 20))
	must "no length" grep -qx "Content-Length: $((20 << 20))" <<<"$head"
	fault '{"do": "huge", "bytes": 17000000, "chunked": true}'
	must_get 200
	equal "$(wc -c <$FACTORY_DIR/curl.body)" 17000000
	must "not chunked" grep -qx 'Transfer-Encoding: chunked' <<<"$head"
	must_not "a length" grep -qi '^content-length' <<<"$head"
	equal "$(tr -d ' ' <$FACTORY_DIR/curl.body)" '[]'
}

test_no_answer_until_the_client_goes() {
	factory
	fault '{"do": "silent"}'
	FACTORY_CALL_SECONDS=1 must_get 000 28
	must_get 200
	fault '{"do": "silent", "seconds": 1}'
	must_get 000 52
}

test_a_closed_and_a_reset_connection() {
	factory
	fault '{"do": "drop"}'
	must_get 000 52
	fault '{"do": "reset"}'
	must_get 000 56
	must_get 200
}

test_slow_bytes_and_a_late_answer_are_right_in_the_end() {
	factory
	local begin
	fault '{"do": "slow", "chunk": 15, "ms": 50}'
	begin=$(now_ms)
	must_get 200
	is j '[]'
	must "it was fast" [ $(($(now_ms) - begin)) -gt 200 ]
	fault '{"do": "delay", "ms": 400}'
	begin=$(now_ms)
	must_get 200
	must "it was not late" [ $(($(now_ms) - begin)) -ge 400 ]
}

test_a_redirect_leads_a_follower_to_another_host() {
	factory
	fault '{"do": "redirect"}'
	must_get 302
	must "no Location" grep -qx "Location: $FACTORY_OTHER_URL$ips" <<<"$head"
	fault '{"do": "redirect", "status": 307, "to": "http"}'
	get $ips -L
	equal $status 200
	equal "$(last_request listener), $(last_request known)" "http, True" # what a client must not do
	fault '{"do": "redirect", "to": "https://evil.example/"}'
	must_get 302
	must "no Location" grep -qx "Location: https://evil.example/" <<<"$head"
}

test_next_on_another_host_and_in_a_loop() {
	factory
	local list=/ota/devices/?factory=acme-presses
	fault '{"do": "next", "match": "GET /ota/devices/"}'
	get $list
	is 'j["next"]' "$FACTORY_OTHER_URL$list"
	fault '{"do": "next", "match": "GET /ota/devices/", "to": "loop"}'
	get $list
	is 'j["next"]' "$FACTORY_URL$list"
	get "$(factory_body 'j["next"]')"
	is 'j["next"]' None
}

test_certificates_that_must_not_be_believed() {
	factory
	ctl tls '{"cert": "untrusted", "times": 1}'
	must_get 000 60
	must_get 200
	ctl tls '{"cert": "wrongname"}'
	must_get 000 60
	must_get 000 60
	ctl tls '{"cert": "good"}'
	must_get 200
	equal "$(factory_ctl counts | factory_get 'list(j.values())')" '[2]'
}

test_a_changed_certificate_is_for_open_connections_too() {
	factory
	# One connection for two requests, the second one when $T/go is there.
	/usr/bin/python3 - "$FACTORY_URL" "$ips" $T/go <<-'EOT' >$T/results &
		import http.client, os, ssl, sys, time, urllib.parse
		url, path, go = sys.argv[1:]
		server = http.client.HTTPSConnection(urllib.parse.urlsplit(url).netloc, timeout=60,
		    context=ssl.create_default_context(cafile=os.environ["FACTORY_CA"]))
		server.auto_open = 0
		server.connect()
		for _ in range(2):
		    try:
		        server.request("GET", path, headers={"OSF-TOKEN": os.environ["FACTORY_TOKEN"]})
		        answer = server.getresponse()
		        answer.read()
		        print(answer.status, flush=True)
		    except OSError:
		        print("closed", flush=True)
		    while not os.path.exists(go):
		        time.sleep(0.01)
	EOT
	local client=$!
	wait_for 60 test -s $T/results || fail "no answer"
	ctl tls '{"cert": "untrusted"}'
	: >$T/go
	wait $client || true
	equal "$(cat $T/results)" $'200\nclosed'
}

test_a_handshake_that_never_comes_and_one_that_is_none() {
	factory
	ctl tls '{"cert": "silent"}'
	FACTORY_CALL_SECONDS=1 must_get 000 28
	ctl tls '{"cert": "garbage"}'
	must_get 000 35
	ctl clear
	must_get 200
}

test_nobody_listens_and_then_the_same_port_does() {
	factory
	must_get 200
	ctl listen '{"on": false}'
	must_get 000 7
	ctl listen '{"on": true}'
	must_get 200
	ctl listen '{"on": true}'
	must_get 200
}

test_requests_on_hold_take_effect_when_released() {
	factory
	fault '{"do": "hold", "match": "PATCH *"}'
	factory_call PATCH $F/config/ "${json[@]}" -d '{"files": [{"name": "x", "value": "1"}]}' &
	local client=$!
	held() { [ "$(factory_ctl holding)" = '{"holding": 1}' ]; }
	wait_for 60 held || fail "nothing is on hold"
	equal "$(factory_ctl state | factory_get 'j["config"]')" '[]'
	ctl release
	wait $client
	equal "$(factory_ctl state | factory_get 'len(j["config"])')" 1
}

test_chaos_hits_by_chance_and_the_same_way_for_the_same_seed() {
	factory
	local round i verdicts=('' '')
	for round in 0 1; do
		ctl chaos '{"percent": 50, "seed": 7, "faults": [{"do": "status"}, {"do": "status", "status": 404}]}'
		for ((i = 0; i < 20; i++)); do
			get
			verdicts[round]+="$status "
		done
	done
	equal "${verdicts[0]}" "${verdicts[1]}"
	for i in 200 404 500; do
		must "no $i in ${verdicts[0]}" grep -q $i <<<"${verdicts[0]}"
	done
	ctl clear
	must_get 200
}

run_tests "$@"
