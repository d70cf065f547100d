/* live_requests - the ids of the requests that both doors have open, so that no two share one, and by which
 *                 number the pools know them.
 * thread: any; open and close are one thread's. A shard's lock is held for a look into one bucket.
 * owns:   its tables; the entries stay the caller's and stay put while they are in it.
 * fails:  live_requests_open: MEMORY_EXHAUSTED. */
#ifndef GATEWAY_LIVE_REQUESTS_H
#define GATEWAY_LIVE_REQUESTS_H

#include "core/base/outcome.h"
#include "gateway/request_id.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIVE_SHARDS  16
#define LIVE_WATCHED 256

struct live_request {
    struct live_request *next; /* in its bucket */
    uint64_t hash;
    const char *id;          /* NULL: it is in no table */
    _Atomic uint64_t number; /* the gate's; 0: no pool has it yet */
};

struct live_shard {
    pthread_mutex_t lock;
    struct live_request **buckets;
    size_t mask, count;
};

/* A request that no client waits for. */
struct watched_request {
    char id[REQUEST_ID_LONGEST + 1];
    uint64_t number;
};

struct live_requests {
    struct live_shard shards[LIVE_SHARDS];
    uint64_t seed; /* so that clients cannot choose ids of one bucket */
    pthread_mutex_t watched_lock;
    struct watched_request *watched; /* a ring of LIVE_WATCHED */
    size_t watched_next;
};

enum outcome live_requests_open(struct live_requests *set, size_t expected);
void live_requests_close(struct live_requests *set); /* asserts that it is empty */
/* False, and nothing done, when a live request has this id. id stays the caller's. */
bool live_requests_add(struct live_requests *set, struct live_request *entry, const char *id);
void live_requests_remove(struct live_requests *set, struct live_request *entry);
size_t live_requests_count(struct live_requests *set);

/* A pool has it under this number. */
void live_request_submitted(struct live_request *entry, uint64_t number);
/* One without an entry; the last LIVE_WATCHED of them are remembered. */
void live_requests_watch(struct live_requests *set, const char *id, uint64_t number);
/* The number of the request that has this id; 0: none has, or no pool has it yet. */
uint64_t live_requests_find(struct live_requests *set, const char *id);

#endif
