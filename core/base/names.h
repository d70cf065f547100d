/* names - records found by a text that strangers chose: a hash table chained through its records.
 * thread: the owner's.
 * owns:   its buckets; the records stay the caller's, their text must not move while they are in.
 * fails:  names_init: MEMORY_EXHAUSTED. Nothing else, and nothing else allocates.
 *
 * SipHash-1-3 (Aumasson and Bernstein 2012) under a seed that strangers do not know, so nobody can
 * choose names that all share one bucket. */
#ifndef CORE_BASE_NAMES_H
#define CORE_BASE_NAMES_H

#include "core/base/outcome.h"

#include <stddef.h>
#include <stdint.h>

struct name {
    struct name *next;
    uint64_t hash;
    const char *text;
    size_t bytes; /* without an end */
};

struct names {
    struct name **buckets;
    struct name **recent; /* a few that were found lately, without a hash; or NULL */
    size_t buckets_count; /* a power of two */
    uint64_t seed;
};

/* expected: how many records there may be; more only make it slower. */
enum outcome names_init(struct names *names, size_t expected, uint64_t seed);
void names_free(struct names *names);
/* NULL when there is none. */
struct name *names_find(const struct names *names, const char *text, size_t bytes);
/* text and bytes are set by the caller; no other record has that text. */
void names_add(struct names *names, struct name *name);
void names_remove(struct names *names, struct name *name);

#endif
