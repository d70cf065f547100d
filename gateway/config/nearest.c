#include "gateway/config/nearest.h"

#include <string.h>

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Levenshtein's distance, one row at a time. */
static size_t distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes) {
    size_t row[NEAREST_BYTES];
    for (size_t j = 0; j <= b_bytes; j++) row[j] = j;
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            size_t above = row[j];
            size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = smaller(changed, smaller(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b_bytes];
}

void nearest_open(struct nearest *nearest, const char *wanted, size_t wanted_bytes) {
    nearest->wanted = wanted;
    nearest->wanted_bytes = wanted_bytes;
    nearest->best[0] = '\0';
    /* A third of the letters may be wrong, and one at least; longer names are like nothing. */
    size_t tolerated = wanted_bytes < 3 ? 1 : wanted_bytes / 3;
    nearest->distance = wanted_bytes < NEAREST_BYTES ? tolerated + 1 : 0;
}

void nearest_offer(struct nearest *nearest, const char *candidate) {
    size_t bytes = strlen(candidate);
    if (nearest->distance == 0 || bytes >= NEAREST_BYTES) return;
    size_t found = distance(nearest->wanted, nearest->wanted_bytes, candidate, bytes);
    if (found >= nearest->distance) return;
    nearest->distance = found;
    memcpy(nearest->best, candidate, bytes + 1);
}
