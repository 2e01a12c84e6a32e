/* troubles.c - see troubles.h. */
#include "control/troubles.h"

#include "control/journal.h"
#include "control/log.h"

#include <stdio.h>
#include <uv.h>

static const struct {
	const char *name;
	bool severe; /* somebody has to act */
} troubles_known[N_TROUBLES] = {
	[TROUBLE_UNREACHABLE] = {"api unreachable", false},
	[TROUBLE_REFUSED] = {"api refuses", true},
	[TROUBLE_SERVER_FILE] = {"no usable wireguard-server", true},
	[TROUBLE_OTHER_HUB] = {"factory points to another hub", true},
	[TROUBLE_SWITCHED_OFF] = {"vpn switched off", false},
	[TROUBLE_VANISHED] = {"too many devices gone", false},
	[TROUBLE_PORT] = {"interface not usable", true},
	[TROUBLE_PEERS] = {"peers not applied", true},
	[TROUBLE_CLIENTS] = {"clients file not usable", false},
	[TROUBLE_STATE] = {"state not written", true},
	[TROUBLE_HOSTS] = {"hosts file not written", false},
};

const char *trouble_name(enum trouble trouble)
{
	return troubles_known[trouble].name;
}

bool trouble_begin(struct troubles *troubles, enum trouble trouble, const char *why)
{
	snprintf(troubles->why[trouble], TROUBLE_WHY_CHARS, "%s", why);
	if (troubles->since_ns[trouble]) {
		log_debug("still degraded trouble=\"%s\" why=\"%s\"", troubles_known[trouble].name,
			why);
		return false;
	}
	troubles->since_ns[trouble] = uv_hrtime();
	journal_say("trouble_begin", "{s:s,s:s}", "trouble", troubles_known[trouble].name, "why",
		troubles->why[trouble]);
	if (troubles_known[trouble].severe)
		log_error("degraded trouble=\"%s\" why=\"%s\"", troubles_known[trouble].name, why);
	else
		log_warn("degraded trouble=\"%s\" why=\"%s\"", troubles_known[trouble].name, why);
	return true;
}

bool trouble_end(struct troubles *troubles, enum trouble trouble)
{
	uint64_t since_ns = troubles->since_ns[trouble];

	if (!since_ns)
		return false;
	troubles->since_ns[trouble] = 0;
	journal_say("trouble_end", "{s:s}", "trouble", troubles_known[trouble].name);
	log_info("well again trouble=\"%s\" after_s=%.1f", troubles_known[trouble].name,
		(double)(uv_hrtime() - since_ns) / 1e9);
	return true;
}

bool trouble_is(const struct troubles *troubles, enum trouble trouble)
{
	return troubles->since_ns[trouble] != 0;
}
