/* factory_server.c - see factory_server.h. */
#include "tests/lib/factory_server.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <curl/curl.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define VALUES_MAX 16

static struct {
	pid_t pid;
	int stdin_fd;
	char lines[VALUES_MAX][512]; /* NAME, a zero byte, the value */
	unsigned n;
} server = {.stdin_fd = -1};

/* tests/factory is found from build/VARIANT/tests/control/test_x, or from here. */
static void find_server(char path[4200])
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	assert_true(n > 0);
	self[n] = 0;
	for (int i = 0; i < 5; i++)
		dirname(self);
	snprintf(path, 4200, "%s/tests/factory/server.py", self);
	if (access(path, X_OK))
		strcpy(path, "tests/factory/server.py");
}

static void take_line(const char *line)
{
	char *name = server.lines[server.n], *value;

	assert_true(server.n++ < VALUES_MAX && strlen(line) < sizeof server.lines[0]);
	strcpy(name, line);
	name[strcspn(name, "\n")] = 0;
	value = strchr(name, '=');
	assert_non_null(value);
	assert_true(value[1] != '\''); /* our paths need no quotes */
	*value = 0;
}

void factory_server_start(void)
{
	int in[2], out[2];
	char path[4200], line[512];
	FILE *lines;

	find_server(path);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	server.pid = fork();
	assert_true(server.pid >= 0);
	if (server.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		unsetenv("LD_PRELOAD");
		execl(path, path, "--until-eof", NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server.stdin_fd = in[1];
	server.n = 0;
	lines = fdopen(out[0], "r");
	assert_non_null(lines);
	while (fgets(line, sizeof line, lines) && line[0] != '\n')
		take_line(line);
	fclose(lines);
	assert_true(server.n > 5);
}

void factory_server_stop(void)
{
	int status;

	close(server.stdin_fd);
	assert_int_equal(waitpid(server.pid, &status, 0), server.pid);
}

const char *factory_server_get(const char *name)
{
	for (unsigned i = 0; i < server.n; i++) {
		if (!strcmp(server.lines[i], name))
			return server.lines[i] + strlen(name) + 1;
	}
	fail_msg("the server did not print %s", name);
	return NULL;
}

struct text {
	char *bytes;
	size_t n;
};

static size_t collect(char *bytes, size_t size, size_t n, void *arg)
{
	struct text *text = arg;

	text->bytes = realloc(text->bytes, text->n + size * n + 1);
	assert_non_null(text->bytes);
	memcpy(text->bytes + text->n, bytes, size * n);
	text->n += size * n;
	text->bytes[text->n] = 0;
	return size * n;
}

json_t *factory_control(const char *name, const char *format, ...)
{
	char *body, url[100];
	struct text text = {NULL, 0};
	long status = 0;
	va_list args;
	json_t *answer;
	CURL *curl = curl_easy_init();

	va_start(args, format);
	assert_true(vasprintf(&body, format, args) >= 0);
	va_end(args);
	snprintf(url, sizeof url, "http://factory/_control/%s", name);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, factory_server_get("FACTORY_SOCKET"));
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &text);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
	assert_int_equal(curl_easy_perform(curl), CURLE_OK);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		fail_msg("_control/%s %s: %s", name, body, text.bytes);
	answer = json_loads(text.bytes, JSON_DECODE_ANY, NULL);
	assert_non_null(answer);
	curl_easy_cleanup(curl);
	free(text.bytes);
	free(body);
	return answer;
}

int factory_count(const char *request)
{
	json_t *counts = factory_control("counts", "{}");
	int n = (int)json_integer_value(json_object_get(counts, request));

	json_decref(counts);
	return n;
}

void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

char *read_text(const char *path)
{
	struct stat st;
	char *text;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	assert_int_equal(fstat(fd, &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(text);
	assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
	close(fd);
	return text;
}
