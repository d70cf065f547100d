/* ring_pair - both rings of a slot, requests to the worker and replies from it, in one piece of memory.
 * thread: any.
 * owns:   a shared pair its mapping and its memfd, an attached one its mapping; a private pair is held
 *         by both sides and freed with the last.
 * fails:  MEMORY_EXHAUSTED; attach also INVALID_REQUEST: not a memfd of the right size whose size is
 *         sealed. */
#ifndef CORE_TRANSPORT_RING_PAIR_H
#define CORE_TRANSPORT_RING_PAIR_H

#include "core/base/outcome.h"
#include "core/transport/ring.h"

struct ring_pair {
    struct ring_memory requests, replies;
};

/* A fresh pair; the gateway, who reads the replies, is asleep at its bell. *memfd: shared with a process; its size is sealed. */
enum outcome ring_pair_create(struct ring_pair **out, int *memfd);
enum outcome ring_pair_attach(struct ring_pair **out, int memfd);
/* A fresh pair for a worker on a thread of this process, held once. */
enum outcome ring_pair_create_private(struct ring_pair **out);
void ring_pair_hold(struct ring_pair *pair);
/* Unmaps a shared pair, lets go of a private one; NULL is allowed. */
void ring_pair_drop(struct ring_pair *pair, enum ring_sharing sharing);

#endif
