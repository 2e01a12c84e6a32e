/* figures.c - see figures.h. */
#include "bench/lib/figures.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct figure figure_of(double *values, size_t n)
{
	qsort(values, n, sizeof *values, compare);
	return (struct figure){(values[(n - 1) / 2] + values[n / 2]) / 2, values[0], values[n - 1]};
}

void figure_json(FILE *out, const char *name, struct figure f)
{
	fprintf(out, "\"%s\": {\"median\": %.6g, \"min\": %.6g, \"max\": %.6g}", name, f.median,
		f.min, f.max);
}

void machine_cpu(char *out, size_t out_bytes)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[4096];

	snprintf(out, out_bytes, "unknown CPU");
	while (file && fgets(line, sizeof line, file)) {
		char *value = strchr(line, ':');

		if (value && !strncmp(line, "model name", 10)) {
			value[strcspn(value, "\n")] = 0;
			snprintf(out, out_bytes, "%s", value + 2);
			break;
		}
	}
	if (file)
		fclose(file);
}

void machine_text(char *out, size_t out_bytes)
{
	struct utsname u = {0};
	char cpu[128];

	machine_cpu(cpu, sizeof cpu);
	uname(&u);
	snprintf(out, out_bytes, "%s, %ld cores, Linux %s", cpu, sysconf(_SC_NPROCESSORS_ONLN),
		u.release);
}
