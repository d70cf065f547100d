/* ring_pair - both rings of a slot, requests to the worker and replies from it, in one piece of memory.
 * thread: any.
 * owns:   a created pair its mapping and its memfd; an attached one its mapping.
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
void ring_pair_unmap(struct ring_pair *pair); /* NULL is allowed */

#endif
