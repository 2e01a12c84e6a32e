#!/bin/bash
# test_server.sh - does the test Factory do what server.py says: config, devices, peer list,
# credentials and OAuth. The faults are test_faults.sh's, devices and operators test_device.sh's.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh

F=/ota/factories/acme-presses
D=/ota/devices
Q='?factory=acme-presses'
json=(-H 'Content-Type: application/json')
key1=srHRaDGYLsx+b+YdpfPwmZG9eGIeuarApoBHomeiAyQ=

factory() { factory_start --dir $T/f "$@"; }
ctl() { factory_ctl "$@" >/dev/null; }
# call STATUS METHOD PATH [CURL-OPTION...]
call() {
	local wanted=$1
	shift
	factory_call "$@"
	equal "$status" "$wanted" "$* says $body"
}
is() { equal "$(factory_body "$1")" "$2" "$1"; }
patch() { call "${3-200}" PATCH "$1" "${json[@]}" -d "$2"; }
# For what depends on time: a token of a second may have ended on its way here.
answers() { factory_call GET $F/config/ && [ "$status" = "$1" ]; }
# No credentials of our own.
anonymous() { factory_auth=(); }
bearer() { factory_auth=(-H "Authorization: Bearer $1"); }

# ---- config ----

test_patch_merges_by_name_and_history_is_newest_first() {
	factory
	call 200 GET $F/config/
	is 'j' "{'config': [], 'total': 0, 'next': None}"
	local x='{"name": "x", "value": "1"}' y='{"name": "y", "value": "2"}'
	patch $F/config/ '{"reason": "a", "files": ['"$x, $y"']}'
	patch $F/config/ '{"reason": "b", "files": [{"name": "y", "value": "3", "unencrypted": true}]}'
	is 'j["reason"]' b
	is 'sorted((f["name"], f["value"]) for f in j["files"])' "[('x', '1'), ('y', '3')]"
	call 200 GET $F/config/
	is '[e["reason"] for e in j["config"]]' "['b', 'a']"
	is '[f["value"] for f in j["config"][1]["files"]]' "['1', '2']"
	is '"applied-at" in j["config"][0]' False
}

test_post_drops_what_it_does_not_name_and_delete_removes_one_file() {
	factory
	patch $F/config/ '{"files": [{"name": "x", "value": "1"}, {"name": "y", "value": "2"}]}'
	call 200 POST $F/config/ "${json[@]}" \
		-d '{"files": [{"name": "z", "value": "3"}, {"name": "w", "value": "4"}]}'
	is '[f["name"] for f in j["files"]]' "['z', 'w']"
	call 200 DELETE $F/config/z/
	call 404 DELETE $F/config/z/
	call 200 GET $F/config/
	is '[f["name"] for f in j["config"][0]["files"]]' "['w']"
}

test_an_on_changed_that_is_not_sent_is_gone_or_kept_if_told() {
	factory
	patch $F/config/ '{"files": [{"name": "x", "value": "1", "on-changed": ["/a"]}]}'
	is 'j["files"][0]["on-changed"]' "['/a']"
	patch $F/config/ '{"files": [{"name": "x", "value": "1"}]}'
	is '"on-changed" in j["files"][0]' False
	ctl set '{"on_changed_kept": true}'
	patch $F/config/ '{"files": [{"name": "x", "value": "1", "on-changed": ["/b"]}]}'
	patch $F/config/ '{"files": [{"name": "x", "value": "2"}]}'
	is 'j["files"][0]["on-changed"]' "['/b']"
}

test_patch_answers_201_or_204_if_told() {
	factory
	ctl set '{"patch_answer": 204}'
	patch $F/config/ '{"files": [{"name": "x", "value": "1"}]}' 204
	equal "$body" ""
	ctl set '{"patch_answer": 201}'
	patch $F/config/ '{"files": [{"name": "x", "value": "1"}]}' 201
}

test_a_wrong_patch_changes_nothing_and_says_why_in_each_shape() {
	factory
	local wrong='{"files": [{"name": "x", "value": "1"}, {"value": 2}]}'
	patch $F/config/ "$wrong" 400
	is 'j' "{'msg': 'Validation failed', 'errors': ['files.1.name: required']}"
	ctl set '{"error_shape": "map"}'
	patch $F/config/ "$wrong" 400
	is 'j["errors"]["files.1.name"]' required
	ctl set '{"error_shape": "oauth"}'
	patch $F/config/ "$wrong" 400
	is 'j["error_description"]' 'Validation failed'
	ctl set '{"error_shape": "text"}'
	patch $F/config/ 'no JSON' 400
	equal "${body%%:*}" JSON
	call 400 PATCH $F/config/ -H 'Content-Type: text/plain' -d '{"files": []}'
	head -c 1100000 /dev/zero | tr '\0' x >$T/much
	printf '{"files": [{"name": "x", "value": "%s"}]}' "$(cat $T/much)" >$T/body
	call 400 PATCH $F/config/ "${json[@]}" -d @$T/body
	call 200 GET $F/config/
	is 'j["total"]' 0
}

# ---- devices ----

test_a_device_has_a_config_of_its_own_by_name_and_by_uuid() {
	factory
	local uuid
	uuid=$(factory_ctl device '{"name": "press-1"}' | factory_get 'j["uuid"]')
	call 200 GET "$D/press-1/config/$Q"
	is 'j["config"]' '[]'
	patch "$D/$uuid/config/$Q&by-uuid=1" '{"files": [{"name": "x", "value": "1"}]}'
	is 'j["applied-at"]' None
	call 200 GET "$D/press-1/$Q"
	is 'j["name"], j["uuid"], j["active-config"]["files"][0]["value"]' "('press-1', '$uuid', '1')"
	is '"device-group" in j' False
	call 200 DELETE "$D/press-1/config/x/$Q"
	call 404 GET "$D/press-2/$Q"
	call 404 GET "$D/press-1/config/?factory=other"
	call 404 GET "$D/press-1/config/"
	ctl device '{"name": "press-1", "rename": "press-9"}'
	call 404 GET "$D/press-1/$Q"
	call 200 GET "$D/$uuid/$Q&by-uuid=1"
	is 'j["name"]' press-9
	ctl device '{"name": "press-9", "remove": true}'
	call 404 GET "$D/$uuid/$Q&by-uuid=1"
}

test_a_device_without_config_is_404_if_told() {
	factory
	ctl set '{"no_config": "404"}'
	ctl device '{"name": "press-1"}'
	call 404 GET "$D/press-1/config/$Q"
	patch "$D/press-1/config/$Q" '{"files": [{"name": "x", "value": "1"}]}'
	call 200 GET "$D/press-1/config/$Q"
}

test_the_list_has_pages_with_an_absolute_next() {
	factory
	ctl devices '{"generate": 25}'
	call 200 GET "$D/$Q&limit=10"
	is 'j["page"], j["pages"], j["limit"], j["total"], len(j["devices"])' '(1, 3, 10, 25, 10)'
	local next names=()
	next=$(factory_body 'j["next"]')
	equal "${next%%\?*}" "$FACTORY_URL$D/"
	while [ "$next" != None ]; do
		names+=($(factory_body '" ".join(d["name"] for d in j["devices"])'))
		call 200 GET "$next"
		next=$(factory_body 'j["next"]')
	done
	names+=($(factory_body '" ".join(d["name"] for d in j["devices"])'))
	equal "$(printf '%s\n' "${names[@]}" | sort -u | wc -l)" 25
	call 400 GET "$D/$Q&limit=7"
	ctl set '{"page_items": 3}'
	call 200 GET "$D/$Q"
	is 'len(j["devices"])' 3
	call 200 GET "$D/$Q&name=*0001*&sortby=-name&limit=100"
	is '[d["name"][-2:] for d in j["devices"]]' "['19', '18', '17']"
}

# ---- the peer list ----

test_the_peer_list_is_derived_from_the_device_files() {
	factory
	ctl device '{"name": "on", "address": "10.42.42.2", "pubkey": "'$key1'"}'
	ctl device '{"name": "off", "address": "10.42.42.3", "pubkey": "k", "enabled": false}'
	ctl device '{"name": "secret", "address": "10.42.42.4", "unencrypted": false}'
	ctl device '{"name": "raw", "raw": "  address = 1.2.3.4/0 \r\n\n# x=y\npubkey=a\npubkey=b"}'
	ctl device '{"name": "nothing"}'
	call 200 GET $F/wireguard-ips/
	is 'j[0]' "{'name': 'on', 'ip': '10.42.42.2', 'enabled': True, 'pubkey': '$key1'}"
	is 'j[1]["enabled"]' False
	is 'j[2]' "{'name': 'raw', 'ip': '1.2.3.4/0', 'enabled': True, 'pubkey': 'b'}"
	is 'len(j)' 3
	ctl device '{"name": "off", "enabled": true}'
	call 200 GET $F/wireguard-ips/
	is 'j[1]' "{'name': 'off', 'ip': '10.42.42.3', 'enabled': True, 'pubkey': 'k'}"
	ctl device '{"name": "on", "file_remove": true}'
	ctl ips '{"extra": [7, {"name": "odd"}]}'
	call 200 GET $F/wireguard-ips/
	is '[i["name"] for i in j[:2]], j[2:]' "(['off', 'raw'], [7, {'name': 'odd'}])"
}

test_a_key_without_address_appears_in_each_way() {
	factory
	ctl device '{"name": "new", "raw": "enabled=0\n\npubkey=k"}'
	local how
	for how in "empty '' 1" "null None 1" "missing gone 1" "omit - 0"; do
		set -- $how
		ctl set '{"ips_without_address": "'$1'"}'
		call 200 GET $F/wireguard-ips/
		is 'len(j)' $3
		[ $3 = 0 ] || is 'repr(j[0].get("ip", "gone"))' "$([ $2 = gone ] && echo "'gone'" || echo "$2")"
	done
	equal "$body" '[]'
	ctl set '{"ips_null": true}'
	call 200 GET $F/wireguard-ips/
	equal "$body" null
}

test_five_thousand_devices_come_and_go() {
	factory
	ctl devices '{"generate": 5000, "first_ip": "10.42.42.2"}'
	call 200 GET $F/wireguard-ips/
	equal "$(factory_get 'len(j), len({i["ip"] for i in j}), j[-1]["ip"]' <$FACTORY_DIR/curl.body)" \
		"(5000, 5000, '10.42.61.156')"
	ctl devices '{"remove_prefix": "press-"}'
	call 200 GET $F/wireguard-ips/
	is 'j' '[]'
}

# ---- credentials ----

test_each_form_of_credentials_is_required_if_told() {
	factory
	local forms=(osf bearer base64) form wanted
	local osf="OSF-TOKEN: $FACTORY_TOKEN" bearer="Authorization: Bearer $FACTORY_TOKEN"
	local base64="Authorization: Bearer $(printf %s "$FACTORY_TOKEN" | base64 -w0)"
	for wanted in any osf bearer base64; do
		ctl set '{"auth": "'$wanted'"}'
		for form in "${forms[@]}"; do
			factory_auth=(-H "${!form}")
			case $wanted in any | $form) call 200 GET $F/config/ ;; *) call 401 GET $F/config/ ;; esac
		done
	done
	ctl set '{"auth": "any"}'
	anonymous
	call 401 GET $F/config/
	factory_auth=(-H "$osf" -H "$bearer")
	call 401 GET $F/config/
	bearer "$FACTORY_TOKEN."
	call 401 GET $F/config/
	equal "$(factory_ctl requests | factory_get '" ".join(e["auth"] for e in j[-6:])')" \
		"osf bearer base64 none both bearer"
}

test_a_missing_scope_is_403_and_named() {
	factory
	bearer "$(factory_ctl token '{"scopes": ["devices:read"]}' | factory_get 'j["token"]')"
	call 200 GET $F/wireguard-ips/
	patch $F/config/ '{"files": []}' 403
	is '"acme-presses:devices:read-update" in j["msg"]' True
	bearer "$(factory_ctl token '{"scopes": ["devices:read-update"]}' | factory_get 'j["token"]')"
	call 200 GET $F/config/
	ctl set '{"update_implies_read": false}'
	call 403 GET $F/config/
	patch $F/config/ '{"files": []}'
	call 200 GET /ota/factories/
	is 'j[0]["name"]' acme-presses
	call 404 GET /ota/factories/other/config/
	factory_auth=(-H "OSF-TOKEN: $FACTORY_TOKEN")
	call 404 GET /ota/factories/acme-presses/nothing/
}

test_an_api_token_expires() {
	factory
	fresh() { bearer "$(factory_ctl token '{"expires_in": 1}' | factory_get 'j["token"]')" && answers 200; }
	wait_for 60 fresh || fail "it says $body"
	wait_for 60 answers 401 || fail "it says $body"
}

test_requests_are_counted_and_noted_without_credentials() {
	factory
	call 200 GET "$F/config/?a=b" -H 'X-Extra: yes'
	call 200 GET $F/config/
	call 200 GET "$FACTORY_OTHER_URL$F/config/"
	call 200 GET "$FACTORY_HTTP_URL$F/config/"
	equal "$(factory_ctl counts | factory_get 'sorted(j.items())')" \
		"[('GET $F/config/', 2), ('http GET $F/config/', 1), ('other GET $F/config/', 1)]"
	factory_ctl requests >$T/requests
	must_not "a token is in the journal" grep -q "$FACTORY_TOKEN" $T/requests
	equal "$(factory_get 'j[0]["query"], j[0]["headers"]["x-extra"], j[0]["status"]' <$T/requests)" \
		"({'a': 'b'}, 'yes', 200)"
	ctl forget
	equal "$(factory_ctl counts)" '{}'
}

# ---- OAuth ----

tool=fioid_B68H03zaynCXzycBX9M3WKL7xLqJYJyf
oob=urn:ietf:wg:oauth:2.0:oob
# token STATUS FIELD...: to the token endpoint in the form $slash says.
slash=
token() {
	local wanted=$1 fields=()
	shift
	for field in "$@"; do fields+=(--data-urlencode "$field"); done
	local factory_auth=()
	call "$wanted" POST /oauth/token$slash "${fields[@]}"
}
redeem() {
	local wanted=$1
	shift
	token "$wanted" grant_type=authorization_code "code=$code" client_id=$tool redirect_uri=$oob "$@"
}
new_code() { code=$(factory_ctl code | factory_get 'j["code"]'); }
refresh() { token "$1" grant_type=refresh_token "refresh_token=$2" "${@:3}"; }
# What the last answer granted.
granted() { factory_body 'j["'$1'"]'; }

test_a_code_is_good_for_two_redemptions() {
	factory
	new_code
	redeem 200 scope=acme-presses:devices:read-update expires=90
	is 'j["expires_in"], j["token_type"]' "(90, 'Bearer')"
	is 'j["scope"]' acme-presses:devices:read-update
	bearer "$(granted access_token)"
	patch $F/config/ '{"files": []}'
	redeem 200 scope=acme-presses:devices:read
	is 'j["expires_in"]' 86400
	bearer "$(granted access_token)"
	call 200 GET $F/wireguard-ips/
	patch $F/config/ '{"files": []}' 403
	redeem 400 scope=acme-presses:devices:read
	is 'j["error"]' invalid_grant
	ctl set '{"code_uses": 1}'
	new_code
	redeem 200
	redeem 400
}

test_a_code_is_refused_to_others_and_for_more() {
	factory
	new_code
	redeem 400 scope=acme-presses:devices:delete
	is 'j["error"]' invalid_scope
	redeem 400 expires=soon
	token 401 grant_type=authorization_code "code=$code" client_id=other redirect_uri=$oob
	token 400 grant_type=password
	is 'j["error"]' unsupported_grant_type
	redeem 200
	ctl set '{"code_ttl": 0}'
	new_code
	redeem 400
}

test_the_browser_page_shows_a_code_for_its_redirect_uri() {
	factory
	local scope=acme-presses%3Adevices%3Aread-update+acme-presses%3Adevices%3Aread
	call 200 GET \
		"/authorize?client_id=$tool&response_type=code&redirect_uri=$oob&scope=$scope"
	code=$(sed -n 's/.*<code id="code">\(.*\)<\/code>.*/\1/p' <<<"$body")
	token 400 grant_type=authorization_code "code=$code" client_id=$tool redirect_uri=https://elsewhere
	redeem 200 scope=acme-presses:devices:read-update
	call 400 GET "/authorize?client_id=other&response_type=code"
}

test_a_refresh_token_is_good_once_and_its_answer_has_the_next() {
	factory
	local first second
	first=$(factory_ctl login | factory_get 'j["refresh_token"]')
	refresh 200 "$first"
	second=$(granted refresh_token)
	bearer "$(granted access_token)"
	call 200 GET $F/config/
	refresh 400 "$first"
	is 'j["error"]' invalid_grant
	refresh 200 "$second"
	refresh 400 nonsense
}

test_a_reused_refresh_token_ends_the_family_if_told() {
	factory
	ctl set '{"reuse_revokes": true}'
	local first
	first=$(factory_ctl login | factory_get 'j["refresh_token"]')
	refresh 200 "$first"
	local second=$(granted refresh_token)
	bearer "$(granted access_token)"
	call 200 GET $F/config/
	refresh 400 "$first"
	call 401 GET $F/config/
	refresh 400 "$second"
}

test_refresh_tokens_live_on_if_told() {
	factory
	local first
	first=$(factory_ctl login | factory_get 'j["refresh_token"]')
	ctl set '{"rotate": false}'
	refresh 200 "$first"
	is '"refresh_token" in j' False
	refresh 200 "$first"
	ctl set '{"rotate": true, "single_use": false}'
	refresh 200 "$first"
	is 'j["refresh_token"] != "'"$first"'"' True
	refresh 200 "$first"
}

test_access_tokens_expire_and_expires_in_may_lie_or_be_missing() {
	factory
	ctl set '{"expires_in": 1}'
	fresh() { bearer "$(factory_ctl login | factory_get 'j["access_token"]')" && answers 200; }
	wait_for 60 fresh || fail "it says $body"
	wait_for 60 answers 401 || fail "it says $body"
	ctl set '{"report_expires_in": 3600.5}'
	equal "$(factory_ctl login | factory_get 'j["expires_in"]')" 3600.5
	ctl set '{"omit_expires_in": true}'
	equal "$(factory_ctl login | factory_get '"expires_in" in j')" False
}

test_tokens_can_be_revoked_but_not_api_tokens() {
	factory
	factory_ctl login >$T/login
	bearer "$(factory_get 'j["access_token"]' <$T/login)"
	call 200 GET $F/config/
	ctl revoke '{"access": "all"}'
	call 401 GET $F/config/
	refresh 200 "$(factory_get 'j["refresh_token"]' <$T/login)"
	local next=$(granted refresh_token)
	ctl revoke '{"refresh": "all"}'
	refresh 400 "$next"
	bearer "$FACTORY_TOKEN"
	call 200 GET $F/config/
}

test_the_token_endpoint_has_two_forms() {
	factory
	ctl client '{"id": "c", "secret": "s"}'
	local fields=(grant_type=client_credentials client_id=c client_secret=s) row
	for row in "both 200 200" "with 404 200" "without 200 404" "redirect 301 200"; do
		set -- $row
		ctl set '{"token_slash": "'$1'"}'
		slash=
		token $2 "${fields[@]}"
		[ $1 != redirect ] || must "no Location" grep -q "^Location: $FACTORY_URL/oauth/token/$" <<<"$head"
		slash=/
		token $3 "${fields[@]}"
	done
	local factory_auth=()
	call 405 GET /oauth/token
}

test_client_credentials_need_their_secret_also_to_refresh() {
	factory
	slash=/
	ctl client '{"id": "c", "secret": "s"}'
	token 401 grant_type=client_credentials client_id=c client_secret=t
	token 200 grant_type=client_credentials client_id=c client_secret=s
	is 'j["orgs"], j["scope"]' "([{'name': 'acme-presses'}], 'acme-presses:devices:read')"
	local next=$(granted refresh_token)
	refresh 401 "$next"
	refresh 401 "$next" client_id=c client_secret=t
	refresh 200 "$next" client_id=c client_secret=s
}

test_the_device_grant_waits_for_a_person() {
	factory
	slash=/
	ctl set '{"device_interval": 0}'
	local poll=(grant_type=urn:ietf:params:oauth:grant-type:device_code client_id=me) user
	local factory_auth=()
	start() {
		call "$1" POST /oauth/authorization/device/ -d client_id=me -d scope=acme-presses:devices:read
		[ "$1" = 200 ] || return 0
		poll[2]=device_code=$(granted device_code)
		user=$(granted user_code)
	}
	start 200
	token 400 "${poll[@]}"
	is 'j["error"]' authorization_pending
	ctl approve '{"user_code": "'$user'"}'
	token 200 "${poll[@]}"
	bearer "$(granted access_token)"
	call 200 GET $F/config/
	token 400 "${poll[@]}"
	start 200
	ctl approve '{"user_code": "'$user'", "deny": true}'
	token 400 "${poll[@]}"
	is 'j["error"]' access_denied
	ctl set '{"device_interval": 60, "approve_after_polls": 3}'
	start 200
	token 400 "${poll[@]}"
	is 'j["error"]' authorization_pending
	token 400 "${poll[@]}"
	is 'j["error"]' slow_down
	token 200 "${poll[@]}"
	ctl set '{"device_ttl": 0}'
	start 200
	token 400 "${poll[@]}"
	is 'j["error"]' expired_token
	ctl set '{"device_grant": false}'
	start 404
}

test_every_secret_is_known_to_the_one_who_looks_for_leaks() {
	factory
	ctl client '{"id": "c", "secret": "the-secret"}'
	new_code
	factory_ctl login >$T/login
	factory_ctl secrets >$T/secrets
	for secret in the-secret "$code" "$FACTORY_TOKEN" "$(factory_get 'j["access_token"]' <$T/login)" \
		"$(factory_get 'j["refresh_token"]' <$T/login)"; do
		must "$secret is missing" grep -qF "\"$secret\"" $T/secrets
	done
}

# ---- control, beginning and end ----

test_control_refuses_what_it_does_not_know() {
	factory
	local wrong
	for wrong in 'nothing {}' 'set {"expires":1}' 'set {"rotate":"no"}' 'fault {"do":"explode"}' \
		'fault {"do":"drop","time":1}' 'device {"nam":"x"}' 'tls {"cert":"old"}' 'counts {"a":1}' \
		'config []' 'approve {"user_code":"x"}' 'set nonsense'; do
		must_not "it takes $wrong" ctl ${wrong% *} "${wrong#* }" 2>/dev/null
	done
	call 200 POST /_control/counts -d '{}'
	is j '{}'
}

test_it_ends_with_its_standard_input_and_leaves_nothing() {
	mkfifo $T/in $T/out
	TMPDIR=$T tests/factory/server.py --until-eof <$T/in >$T/out &
	local pid=$! line lines=
	exec 3>$T/in 4<$T/out
	while read -r line <&4 && [ "$line" ]; do lines+="$line "; done
	eval "$lines"
	equal "$FACTORY_PID" $pid
	call 401 GET $F/config/
	exec 3>&-
	wait $pid || fail "it ended with $?"
	must_not "its folder is still there" [ -e "$FACTORY_DIR" ]
}

test_sigterm_ends_it_with_a_connection_open() {
	factory
	ctl fault '{"do": "silent"}'
	FACTORY_CALL_SECONDS=30 factory_call GET $F/config/ &
	arrived() { factory_ctl counts | grep -q '"GET '; }
	wait_for 60 arrived
	kill -TERM "$FACTORY_PID"
	wait_for 60 [ ! -e "/proc/$FACTORY_PID/exe" ] || fail "it still runs"
}

test_a_port_in_use_is_an_error_with_a_reason() {
	factory
	must_not "it starts" factory_start --dir $T/g --port "$FACTORY_PORT" 2>$T/reason2
	must "no reason" grep -q "in use" $T/reason2
}

run_tests "$@"
