/* factory_urls.h - where the API and the OAuth server are, from whatever is known.
 *
 * What is asked for counts, then what the credentials say. Where only one of the two is known, the
 * other is on the same Factory, as fioctl derives it: the first "app" of the host's name becomes
 * "api", or the other way round. So a token of one Factory never goes to another's server. Threads:
 * any; pure.
 */
#ifndef CONTROL_FACTORY_URLS_H
#define CONTROL_FACTORY_URLS_H

#include "crypto/secret.h"

#define FACTORY_API_URL "https://api.foundries.io"
#define FACTORY_OAUTH_URL "https://app.foundries.io/oauth"

/* Each an https URL, or NULL or "". */
struct factory_urls_known {
	const char *api, *oauth, *creds_api, *creds_oauth;
};

struct factory_urls {
	char *api, *oauth; /* without slashes at the end; free() them */
};

/* -ENOMEM: both are NULL. */
MUST_CHECK int factory_urls_find(struct factory_urls *urls, const struct factory_urls_known *known);
/* The page in which a person allows access: beside the OAuth base. free() it; NULL: no memory. */
MUST_CHECK char *factory_url_authorize(const char *oauth);

#endif
