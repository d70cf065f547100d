/* exposition - the text format that Prometheus reads, version 0.0.4.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never; what cannot be written shows as ferror of the stream.
 *
 * Names are given without poolgate_, labels as what stands between the braces. */
#ifndef GATEWAY_EXPOSITION_H
#define GATEWAY_EXPOSITION_H

#include "core/policy/stats.h"

#include <stdio.h>

#define EXPOSITION_LABELS_BYTES 160 /* two of them: a pool's name has at most 63 characters */

/* Before the samples of a family. type: counter, gauge or histogram. */
void exposition_family(FILE *out, const char *name, const char *type, const char *help);
/* A family of one number without labels. */
void exposition_number(FILE *out, const char *name, const char *type, const char *help,
                       uint64_t value);
/* One histogram of a family, in seconds. */
void exposition_histogram(FILE *out, const char *name, const char *labels,
                          const struct histogram *histogram);
/* A label's value, which ends at a quote: a name that a client chose. */
void exposition_label(FILE *out, const char *value);

#endif
