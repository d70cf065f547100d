/* room - memory for workers: room for one that is to load, found by letting idle ones go.
 * thread: the pool loop.
 * owns:   nothing beyond the pools and their governor.
 * fails:  never; ROOM_NONE says that nobody may go. */
#ifndef CORE_ROOM_H
#define CORE_ROOM_H

#include "core/pool.h"

struct pools {
    struct pool *const *items; /* by place; NULL: nobody is there */
    size_t count;
};

enum room {
    ROOM_KEPT,   /* the slot's guard holds it: load */
    ROOM_COMING, /* somebody is on the way out: ask again when that has ended */
    ROOM_NONE
};

/* Room for one more worker of the pool in this slot. If work waits there, idle workers of other pools are
 * evicted for it, least recently used first, as many as it takes and no more; a pool that only wants its
 * min back takes what is free, or two pools would evict each other for ever. */
enum room room_for(const struct pools *pools, struct pool *pool, struct slot *slot,
                   uint64_t now_ns);
/* At critical pressure: idle workers go until a tenth of the limit is free. */
void room_relieve(const struct pools *pools, struct memory_governor *governor, uint64_t now_ns);

#endif
