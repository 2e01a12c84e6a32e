/* replay_main.c - runs a fuzz target over files instead of a fuzzer's ideas: for compilers without
 * libFuzzer, and as a regression test over the corpus. Arguments are files and folders; no file at
 * all is a failure.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned n_files;

static int replay_file(const char *path, size_t n)
{
	uint8_t *data = malloc(n ? n : 1); /* its exact size: ASan sees a byte too many */
	FILE *f = fopen(path, "rb");
	const bool whole = data && f && fread(data, 1, n, f) == n;

	if (whole) {
		LLVMFuzzerTestOneInput(data, n);
		n_files++;
	} else {
		perror(path);
	}
	if (f)
		fclose(f);
	free(data);
	return whole ? 0 : -1;
}

static int replay(const char *path)
{
	struct stat st;
	struct dirent *entry;
	int err = 0;

	if (stat(path, &st)) {
		perror(path);
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (size_t)st.st_size);

	DIR *dir = opendir(path);

	if (!dir) {
		perror(path);
		return -1;
	}
	while ((entry = readdir(dir))) {
		char *inside = NULL;
		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&inside, "%s/%s", path, entry->d_name) < 0)
			abort();
		err |= replay(inside);
		free(inside);
	}
	closedir(dir);
	return err;
}

int main(int argc, char **argv)
{
	int err = 0;

	for (int i = 1; i < argc; i++)
		err |= replay(argv[i]);
	if (!n_files)
		fprintf(stderr, "usage: %s FILE|FOLDER...\n", argv[0]);
	printf("%u files replayed\n", n_files);
	return err || !n_files;
}
