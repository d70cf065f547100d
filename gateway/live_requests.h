/* live_requests - the ids of the requests that a front end has open, so that no two share one.
 * thread: the front end's.
 * owns:   its table; the entries stay the caller's and stay put while they are in it.
 * fails:  live_requests_open: MEMORY_EXHAUSTED. */
#ifndef GATEWAY_LIVE_REQUESTS_H
#define GATEWAY_LIVE_REQUESTS_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct live_request {
    struct live_request *next; /* in its bucket */
    uint64_t hash;
    const char *id; /* NULL: it is in no table */
};

struct live_requests {
    struct live_request **buckets;
    size_t mask, count;
    uint64_t seed; /* so that clients cannot choose ids of one bucket */
};

enum outcome live_requests_open(struct live_requests *set, size_t expected);
void live_requests_close(struct live_requests *set); /* asserts that it is empty */
/* False, and nothing done, when a live request has this id. id stays the caller's. */
bool live_requests_add(struct live_requests *set, struct live_request *entry, const char *id);
void live_requests_remove(struct live_requests *set, struct live_request *entry);

#endif
