/* dedup - which live request an identical one may join.
 * thread: the owner's (the pool loop). Pure: time is passed in; `dedup_digest` from any thread.
 * owns:   its table; borrows the leaders in it.
 * fails:  dedup_init: MEMORY_EXHAUSTED.
 *
 * Identical: the same tenant, pool, operation, content type, metadata and body, by the 128-bit XXH3 of
 * all of them (libxxhash), keyed by a secret of this process so that nobody can aim for a collision. A
 * leader can be joined while it is unanswered, at most `window_ns` after it came. */
#ifndef CORE_POLICY_DEDUP_H
#define CORE_POLICY_DEDUP_H

#include "core/base/outcome.h"
#include "core/base/request.h"

#include <stddef.h>
#include <stdint.h>

struct dedup {
    struct request **buckets; /* chained through next_by_digest */
    size_t buckets_count;     /* a power of two; 0: off */
    uint64_t window_ns;
    uint64_t joined; /* total; the owner counts whom it lets follow */
};

/* window_ns 0: off, nothing is ever found. room: live requests at most. */
enum outcome dedup_init(struct dedup *dedup, uint64_t window_ns, size_t room);
void dedup_free(struct dedup *dedup);
/* Sets request->digest; reads its body. Before the request is submitted. It stays zero when the body
 * cannot be read: such a request, and one that has no digest, neither leads nor follows. No body is the
 * same as an empty one. */
void dedup_digest(struct request *request);
/* The leader that it may join, or NULL. */
struct request *dedup_find(const struct dedup *dedup, const struct request *request,
                           uint64_t now_ns);
/* It can be joined from now on, in the place of an older one of the same digest: one leads each, so a
 * leader that is too old to join costs nothing. */
void dedup_lead(struct dedup *dedup, struct request *leader, uint64_t now_ns);
/* It cannot be joined any more; no harm if it never could. */
void dedup_forget(struct dedup *dedup, struct request *leader);
/* A follower takes the leader's place in the table, with the leader's age; neither is in it after this
 * when the leader was not. */
void dedup_succeed(struct dedup *dedup, struct request *leader, struct request *heir);

#endif
