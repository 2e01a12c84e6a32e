/* factory_server.h - the test Factory (tests/factory/server.py) for C tests: started by the test,
 * ended with it whatever becomes of it. Its head describes what factory_control() can do.
 */
#ifndef TESTS_FACTORY_SERVER_H
#define TESTS_FACTORY_SERVER_H

#include <jansson.h>
#include <stdbool.h>

/* Asserts that it starts. */
void factory_server_start(void);
void factory_server_stop(void);
/* What it printed: "FACTORY_URL", "FACTORY_CA", "FACTORY_TOKEN", "FACTORY_DIR" ... */
const char *factory_server_get(const char *name);
/* POST /_control/NAME with a body made by printf; blocks. json_decref() the answer, which is
 * asserted to be a good one. */
json_t *factory_control(const char *name, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same where the answer does not matter. */
#define factory_do(...) json_decref(factory_control(__VA_ARGS__))
/* How many requests "GET /ota/..." there were. */
int factory_count(const char *request);
/* A file of text, asserted; mode 0600. */
void write_text(const char *path, const char *text);
/* free() it; NULL where there is no such file. */
char *read_text(const char *path);

#endif
