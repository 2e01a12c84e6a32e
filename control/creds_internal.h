/* creds_internal.h - what creds.c and creds_write.c share. For nobody else. */
#ifndef CONTROL_CREDS_INTERNAL_H
#define CONTROL_CREDS_INTERNAL_H

#include "control/creds.h"

#include <jansson.h>

#define CREDS_TOKEN_BYTES_MAX 12000

/* Wipes; NULL is fine. */
void creds_string_free(char *text);
/* May it stand in a header? */
bool creds_is_token(const char *text);
/* Seconds: a number, or a text that is one. */
bool creds_lifetime_read(double *out, const json_t *value);
/* The object with the token: the root, or fioctl's clientcredentials in it. */
const json_t *creds_node(const json_t *root);

#endif
