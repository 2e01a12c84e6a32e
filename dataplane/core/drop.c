/* drop.c - the public table of drop reasons, made from the one list in drop.h. Constant data. */
#include "core/drop.h"

#include "wghub.h"

static const struct wgh_drop_reason reasons[] = {[DROP_NONE] = {"none", "not dropped"},
#define X(id, name, text) [id] = {name, text},
	DROP_REASONS(X)
#undef X
};

unsigned wgh_n_drop_reasons(void)
{
	return DROP_N;
}

const struct wgh_drop_reason *wgh_drop_reason(unsigned number)
{
	return number < DROP_N ? &reasons[number] : NULL;
}
