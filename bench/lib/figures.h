/* figures.h - medians with their spread, and how a report says them. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stddef.h>
#include <stdio.h>

struct figure {
	double median, min, max;
};

/* Sorts values. n at least 1. */
struct figure figure_of(double *values, size_t n);
/* {"median": 1.0, "min": 0.9, "max": 1.1} */
void figure_json(FILE *out, const char *name, struct figure f);
/* "AMD EPYC", or that it is not known. */
void machine_cpu(char *out, size_t out_bytes);
/* "AMD EPYC, 2 cores, Linux 6.18.44": where a figure comes from. */
void machine_text(char *out, size_t out_bytes);

#endif
