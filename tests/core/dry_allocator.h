/* dry_allocator - sources that are included after this allocate from a ration that can run dry; included a
 *                 second time, what follows allocates as ever.
 * thread: the test's own.
 * owns:   nothing; `blocks` counts what was allocated and not yet freed.
 * fails:  with ration 0 every allocation, with `once` only the next. */
#ifndef TESTS_CORE_DRY_ALLOCATOR_H
#define TESTS_CORE_DRY_ALLOCATOR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEVER_DRY 1000000

static int ration = NEVER_DRY; /* allocations that still succeed */
static bool once;              /* only one fails then */
static long blocks;

static inline bool use_ration(void) {
    if (ration == 0) {
        if (once) ration = NEVER_DRY;
        return false;
    }
    ration--;
    blocks++;
    return true;
}

static inline void *rationed_malloc(size_t bytes) {
    return use_ration() ? malloc(bytes) : NULL;
}

static inline void *rationed_calloc(size_t count, size_t bytes) {
    return use_ration() ? calloc(count, bytes) : NULL;
}

static inline void *rationed_realloc(void *block, size_t bytes) {
    if (!use_ration()) return NULL;
    blocks -= block != NULL;
    return realloc(block, bytes);
}

static inline void rationed_free(void *block) {
    blocks -= block != NULL;
    free(block);
}

static inline char *rationed_strdup(const char *text) {
    return use_ration() ? strdup(text) : NULL;
}

__attribute__((format(printf, 2, 0))) static inline int
rationed_vasprintf(char **out, const char *format, va_list arguments) {
    return use_ration() ? vasprintf(out, format, arguments) : -1;
}

#define malloc    rationed_malloc
#define calloc    rationed_calloc
#define realloc   rationed_realloc
#define free      rationed_free
#define strdup    rationed_strdup
#define vasprintf rationed_vasprintf
#else
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef strdup
#undef vasprintf
#endif
