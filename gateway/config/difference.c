#include "gateway/config/difference.h"

#include "gateway/config/schema.h"

#include <string.h>

static bool same_text(const char *a, const char *b) {
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static bool same_texts(char *const *a, char *const *b) {
    if (a == NULL || b == NULL) return (a == NULL || *a == NULL) && (b == NULL || *b == NULL);
    for (; *a != NULL && *b != NULL; a++, b++)
        if (strcmp(*a, *b) != 0) return false;
    return *a == *b;
}

static bool same_share(const struct share *a, const struct share *b) {
    return a->percent == b->percent && (a->percent != 0 || a->bytes == b->bytes);
}

static bool same_value(enum kind kind, const void *a, const void *b) {
    switch (kind) {
    case KIND_BOOLEAN: return *(const bool *)a == *(const bool *)b;
    case KIND_NUMBER:
    case KIND_PERCENT: return *(const uint32_t *)a == *(const uint32_t *)b;
    case KIND_COUNT:
    case KIND_SIZE:
    case KIND_TIME: return *(const uint64_t *)a == *(const uint64_t *)b;
    case KIND_SHARE: return same_share(a, b);
    case KIND_CHOICE: return *(const unsigned *)a == *(const unsigned *)b;
    case KIND_TEXT: return same_text(*(char *const *)a, *(char *const *)b);
    case KIND_LISTEN:
        return same_text(((const struct listen_address *)a)->text,
                         ((const struct listen_address *)b)->text);
    case KIND_TEXTS: return same_texts(*(char **const *)a, *(char **const *)b);
    case KIND_PAIRS:
    case KIND_POOLS: return true; /* the pools, and their faults */
    }
    return true;
}

const char *difference_next(const struct config *a, const struct config *b, size_t *cursor) {
    while (*cursor < schema_program.count) {
        const struct key *key = &schema_program.keys[(*cursor)++];
        if (!same_value(key->kind, (const char *)a + key->offset, (const char *)b + key->offset))
            return key->path;
    }
    return NULL;
}
