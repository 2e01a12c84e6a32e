/* factory_urls.c - see factory_urls.h. */
#include "control/factory_urls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OAUTH_PATH "/oauth"

/* Of "https://host:port" in the URL. */
static size_t origin_n(const char *url)
{
	const char *host = strstr(url, "://");

	host = host ? host + 3 : url;
	return (size_t)(host - url) + strcspn(host, "/?#");
}

static size_t without_slashes(const char *url)
{
	size_t n = strlen(url);

	while (n && url[n - 1] == '/')
		n--;
	return n;
}

/* The origin of url, with the first `from` in its host replaced by `to`, which is as long. */
static char *sibling(const char *url, const char *from, const char *to, const char *path)
{
	size_t n = origin_n(url);
	char *out, *at;

	if (asprintf(&out, "%.*s", (int)n, url) < 0)
		return NULL;
	at = strstr(out, "://");
	at = strstr(at ? at + 3 : out, from);
	if (at)
		memcpy(at, to, strlen(to));
	at = out;
	if (asprintf(&out, "%s%s", at, path) < 0)
		out = NULL;
	free(at);
	return out;
}

static const char *first(const char *a, const char *b)
{
	return a && *a ? a : b && *b ? b : NULL;
}

int factory_urls_find(struct factory_urls *urls, const struct factory_urls_known *known)
{
	const char *api = first(known->api, known->creds_api);
	const char *oauth = first(known->oauth, known->creds_oauth);

	if (!api && !oauth)
		api = FACTORY_API_URL;
	urls->api = api ? strndup(api, without_slashes(api)) : sibling(oauth, "app", "api", "");
	urls->oauth = oauth ? strndup(oauth, without_slashes(oauth))
			    : sibling(api, "api", "app", OAUTH_PATH);
	if (urls->api && urls->oauth)
		return 0;
	free(urls->api);
	free(urls->oauth);
	*urls = (struct factory_urls){0};
	return -ENOMEM;
}

char *factory_url_authorize(const char *oauth)
{
	size_t n = without_slashes(oauth), path_n = strlen(OAUTH_PATH);
	char *url;

	/* The page of https://app.foundries.io/oauth is https://app.foundries.io/authorize. */
	if (n > path_n && !memcmp(oauth + n - path_n, OAUTH_PATH, path_n))
		n -= path_n;
	return asprintf(&url, "%.*s/authorize", (int)n, oauth) < 0 ? NULL : url;
}
