#include "gateway/exposition.h"

#include <inttypes.h>

void exposition_family(FILE *out, const char *name, const char *type, const char *help) {
    fprintf(out, "# HELP poolgate_%s %s\n# TYPE poolgate_%s %s\n", name, help, name, type);
}

void exposition_histogram(FILE *out, const char *name, const char *labels,
                          const struct histogram *histogram) {
    uint64_t sum = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        sum += histogram->buckets[i];
        fprintf(out, "poolgate_%s_bucket{%s,le=\"%.9g\"} %" PRIu64 "\n", name, labels,
                (double)histogram_bounds_ns[i] / 1e9, sum);
    }
    sum += histogram->buckets[HISTOGRAM_BUCKETS - 1];
    fprintf(out, "poolgate_%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, sum);
    fprintf(out, "poolgate_%s_sum{%s} %.9f\n", name, labels, (double)histogram->sum_ns / 1e9);
    fprintf(out, "poolgate_%s_count{%s} %" PRIu64 "\n", name, labels, sum);
}

void exposition_number(FILE *out, const char *name, const char *type, const char *help,
                       uint64_t value) {
    exposition_family(out, name, type, help);
    fprintf(out, "poolgate_%s %" PRIu64 "\n", name, value);
}

void exposition_label(FILE *out, const char *value) {
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"') putc('\\', out);
        putc(*value, out);
    }
}
