/* reload - other options for the pools of an orchestrator that runs: who stays, is tuned, comes, goes.
 * thread: made and freed on any; reload_apply on the pool loop.
 * owns:   a reload owns its new pools until it is applied. Options and names are the caller's.
 * fails:  reload_make: MEMORY_EXHAUSTED. reload_apply cannot fail: all it needs is there before.
 *
 * A pool that must change in more than numbers is another pool under the same name. The old one leaves:
 * it has no name any more, still takes what comes from those who hold it, finishes everything, stops its
 * slots, and its place is free once nobody can refer to it. */
#ifndef CORE_RELOAD_H
#define CORE_RELOAD_H

#include "core/orchestrator.h"
#include "core/policy/pool_change.h"

#define RELOAD_NO_PLACE UINT32_MAX

/* A pool that has a name now. */
struct named_pool {
    const struct pool_options *options, *built;
    uint32_t place;
};

struct reload_item {
    struct named_pool pool; /* as it shall be; place: of the one that has the name, or none */
    enum pool_change change;
    struct pool *fresh; /* not NULL: comes to a place of its own */
};

struct reload {
    size_t items_count; /* in the order of the configuration */
    size_t added, tuned, replaced, removed, same;
    struct reload_item items[];
};

/* named: those that there are. seed as for pool_init. */
enum outcome reload_make(struct reload **out, const struct named_pool *named, size_t named_count,
                         const struct pool_options *wanted, size_t wanted_count, uint64_t seed,
                         uint64_t now_ns);
void reload_free(struct reload *reload); /* NULL is allowed */
/* Nothing to do: not even another order. */
bool reload_is_empty(const struct reload *reload, const struct named_pool *named);

/* A place for each new pool, in items[].pool.place. QUEUE_FULL: there are too few; none is taken. */
enum outcome reload_take_places(struct reload *reload, struct orchestrator *orchestrator);
void reload_leave_places(struct reload *reload, struct orchestrator *orchestrator);
/* Their transports must be set. */
void reload_apply(struct reload *reload, struct orchestrator *orchestrator, uint64_t now_ns);

#endif
