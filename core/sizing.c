#include "core/sizing.h"

#include "core/base/clock.h"
#include "core/life.h"
#include "core/policy/scaler.h"
#include "core/work.h"

#define ROOM_AGAIN_NS CLOCK_S /* what found no room is tried again then */

/* How long a start takes: the longest of the last loads. 0: none has been seen. */
static uint64_t cold_start_ns(const struct pool *pool) {
    uint64_t longest_ns = 0;
    for (uint32_t i = 0; i < pool->slots_count; i++)
        if (pool->slots[i].cold_ns > longest_ns) longest_ns = pool->slots[i].cold_ns;
    return longest_ns;
}

static void look_ahead(struct pool *pool, struct scale_facts *facts, uint64_t now_ns) {
    if (facts->policy != SCALE_PREDICTIVE) return;
    forecast_look(&pool->forecast, now_ns);
    facts->horizon_ns = clock_add(cold_start_ns(pool), pool->options->scale.interval_ns);
    facts->forecast_rate = forecast_rate(&pool->forecast, facts->horizon_ns);
    facts->mean_run_ns = pool->stats.mean_run_ns;
    facts->inflight = pool->options->inflight * pool_batch(pool);
}

static struct scale_facts scale_facts(struct pool *pool, bool ending, bool first, uint64_t now_ns) {
    const struct pool_options *options = pool->options;
    bool critical = governor_pressure(pool->governor) == PRESSURE_CRITICAL;
    struct scale_facts facts = {.policy = ending ? SCALE_ADAPTIVE : options->scale.policy,
                                .min = ending ? 0 : pool->slots_min,
                                .max = pool->slots_max,
                                .able = pool_able(pool),
                                .coming = pool_coming(pool),
                                .waiting = pool->wish == WISH_PAUSE ? 0 : pool->queue.waiting,
                                .staged = pool->staged,
                                .idle_limit_ns = options->timeouts.idle_ns,
                                .no_room = critical && !first};
    for (uint32_t i = 0; i < pool->slots_count; i++) {
        const struct slot *slot = &pool->slots[i];
        if (!worker_state_can_serve(slot->record.state)) continue;
        if (slot_room(slot, false) == 0) facts.busy++;
        uint64_t since_ns =
            slot->last_used_ns > slot->ready_ns ? slot->last_used_ns : slot->ready_ns;
        if (slot_vacant(slot) && now_ns - since_ns > facts.idle_longest_ns)
            facts.idle_longest_ns = now_ns - since_ns;
    }
    look_ahead(pool, &facts, now_ns);
    return facts;
}

static struct slot *startable(struct pool *pool, uint64_t now_ns) {
    for (uint32_t i = 0; i < pool->slots_count; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->record.state == WORKER_DEAD && slot->respawn_ns <= now_ns) return slot;
    }
    return NULL;
}

/* Nobody will be started, nobody is there, and those who wait are told so at once. */
static void refuse_for_memory(struct pool *pool, uint64_t now_ns) {
    pool->no_room = true;
    pool->scale_ns = now_ns + ROOM_AGAIN_NS;
    /* Without work nobody was asked to go: the first request will ask, so the gate stays open. */
    if (pool->queue.waiting == 0 || pool_able(pool) > 0 || pool_coming(pool) > 0) return;
    pool->no_room_until_ns = pool->scale_ns;
    work_refuse_waiting(pool, MEMORY_EXHAUSTED, "there is no room for a worker", pool->scale_ns,
                        now_ns);
}

/* False: no other can be started now. */
static bool start_one(const struct pools *pools, struct pool *pool, uint64_t now_ns) {
    struct slot *slot = startable(pool, now_ns);
    if (slot == NULL || pool->abandoned >= POOL_ABANDONED_MOST) return false;
    switch (room_for(pools, pool, slot, now_ns)) {
    case ROOM_KEPT:
        pool->no_room = false;
        pool->no_room_until_ns = 0;
        life_start(pool, slot, now_ns);
        return true;
    case ROOM_COMING: return false;
    case ROOM_NONE: refuse_for_memory(pool, now_ns); return false;
    }
    return false;
}

/* Stops the slot that has been without work longest. False: none is without work. */
static bool stop_one(struct pool *pool, uint64_t now_ns) {
    struct slot *longest = NULL;
    for (uint32_t i = 0; i < pool->slots_count; i++) {
        struct slot *slot = &pool->slots[i];
        if (!worker_state_can_serve(slot->record.state) || !slot_vacant(slot)) continue;
        if (longest == NULL || slot->last_used_ns <= longest->last_used_ns) longest = slot;
    }
    if (longest != NULL) life_stop(pool, longest, REASON_SCALE_DOWN, now_ns);
    return longest != NULL;
}

/* Slots that would load now had their last load not failed. Nobody is started in their place: it would
 * fail the same way, and while one is coming nobody who waits is told. */
static uint32_t count_held(const struct pool *pool, uint64_t now_ns) {
    uint32_t held = 0;
    for (uint32_t i = 0; i < pool->slots_count; i++)
        held += life_backs_off(&pool->slots[i], now_ns);
    return held;
}

static void tell_scale(struct pool *pool, const struct scale_decision *decision, uint64_t now_ns) {
    pool_tell(pool,
              &(struct pool_news){
                  .kind = HAPPENING_SCALE, .why = decision->why, .number = decision->wanted},
              now_ns);
}

void sizing_settle(const struct pools *pools, struct pool *pool, bool ending, uint64_t now_ns) {
    if (ending && pool->queue.waiting == 0) return;
    uint32_t alive = pool_able(pool) + pool_coming(pool), held = count_held(pool, now_ns);
    uint32_t needed = ending ? 0 : pool->slots_min;
    bool first = alive + held == 0 && pool->queue.waiting > 0;
    bool urgent = first || (alive + held < needed && !pool->no_room);
    if (!urgent && now_ns < pool->scale_ns) return;
    if (!urgent) {
        pool->scale_ns = clock_add(now_ns, pool->options->scale.interval_ns);
        pool->no_room = false; /* until it is refused again */
    }
    struct scale_facts facts = scale_facts(pool, ending, first, now_ns);
    struct scale_decision decision = scaler_decide(&facts);
    bool changed = false;
    for (uint32_t i = alive + held; i < decision.wanted && start_one(pools, pool, now_ns); i++)
        changed = true;
    if (decision.wanted < alive || alive > pool->slots_max) changed = stop_one(pool, now_ns);
    if (changed) tell_scale(pool, &decision, now_ns);
}
