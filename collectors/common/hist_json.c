// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/hist_json.h"

void hist__write(const struct hist *h, struct jw *w)
{
	jw__u64(w, "sub_bits", h->sub_bits);
	jw__u64(w, "n", h->n);
	jw__u64(w, "sum", h->sum);
	jw__u64(w, "max", h->max);
	jw__arr_begin(w, "counts");
	for (size_t i = 0; i < h->nr; i++) {
		if (!h->counts[i])
			continue;
		jw__arr_begin(w, NULL);
		jw__u64(w, NULL, i);
		jw__u64(w, NULL, h->counts[i]);
		jw__arr_end(w);
	}
	jw__arr_end(w);
}
