/* sizing - how many workers a pool has: started for its min, for work that waits or is foreseen; stopped
 *          when they have been idle for long.
 * thread: the pool loop.
 * owns:   nothing beyond the pool.
 * fails:  never: where there is no room, those who wait are told. */
#ifndef CORE_SIZING_H
#define CORE_SIZING_H

#include "core/room.h"

/* Asks the scaler when it is time to, and does what it says. ending: the pool drains or is unloaded, so
 * it needs no more than its last requests do. */
void sizing_settle(const struct pools *pools, struct pool *pool, bool ending, uint64_t now_ns);

#endif
