#include "core/orchestrator.h"

#include "core/base/clock.h"
#include "core/life.h"
#include "core/policy/scaler.h"
#include "core/work.h"

#include <stdlib.h>

enum outcome orchestrator_init(struct orchestrator *orchestrator,
                               const struct pool_options *options, size_t count, uint64_t seed,
                               uint64_t now_ns) {
    *orchestrator = (struct orchestrator){.random = seed | 1, .drain_until_ns = CLOCK_NEVER};
    orchestrator->pools = calloc(count, sizeof *orchestrator->pools);
    if (orchestrator->pools == NULL) return MEMORY_EXHAUSTED;
    for (; orchestrator->pools_count < count; orchestrator->pools_count++) {
        size_t i = orchestrator->pools_count;
        enum outcome outcome = pool_init(&orchestrator->pools[i], &options[i], now_ns);
        if (outcome == OK) continue;
        orchestrator_free(orchestrator);
        return outcome;
    }
    return OK;
}

void orchestrator_free(struct orchestrator *orchestrator) {
    for (size_t i = 0; i < orchestrator->pools_count; i++) pool_free(&orchestrator->pools[i]);
    free(orchestrator->pools);
    orchestrator->pools = NULL;
}

/* xorshift64* (Vigna 2016). */
static uint32_t next_random(struct orchestrator *orchestrator) {
    uint64_t x = orchestrator->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    orchestrator->random = x;
    return (uint32_t)((x * UINT64_C(2685821657736338717)) >> 32);
}

void orchestrator_handle(struct orchestrator *orchestrator, const struct event *event,
                         uint64_t now_ns) {
    struct pool *pool = event->kind == EVENT_DRAIN ? NULL : &orchestrator->pools[event->pool];
    switch (event->kind) {
    case EVENT_SUBMIT: work_submit(pool, event->request, now_ns); return;
    case EVENT_CANCEL: work_cancel(pool, event->id, event->cause, now_ns); return;
    case EVENT_WORKER:
        life_event(pool, &pool->slots[event->slot], event->worker, next_random(orchestrator),
                   now_ns);
        return;
    case EVENT_DRAIN:
        orchestrator->draining = true;
        if (event->until_ns < orchestrator->drain_until_ns)
            orchestrator->drain_until_ns = event->until_ns;
        return;
    }
}

/* --- settle: the size of a pool -------------------------------------------------------------------- */

static struct scale_facts scale_facts(const struct pool *pool, bool draining, uint64_t now_ns) {
    const struct pool_options *options = pool->options;
    struct scale_facts facts = {.policy = options->scale.policy,
                                .min = draining ? 0 : options->slots_min,
                                .max = options->slots_max,
                                .able = pool_able(pool),
                                .coming = pool_coming(pool),
                                .waiting = pool->wish == WISH_PAUSE ? 0 : pool->queue.waiting,
                                .idle_limit_ns = options->timeouts.idle_ns};
    for (uint32_t i = 0; i < options->slots_max; i++) {
        const struct slot *slot = &pool->slots[i];
        if (!worker_state_can_serve(slot->record.state)) continue;
        if (slot_room(slot, false) == 0) facts.busy++;
        uint64_t since_ns =
            slot->last_used_ns > slot->ready_ns ? slot->last_used_ns : slot->ready_ns;
        if (slot->inflight == 0 && now_ns - since_ns > facts.idle_longest_ns)
            facts.idle_longest_ns = now_ns - since_ns;
    }
    return facts;
}

static void start_one(struct pool *pool, uint64_t now_ns) {
    if (pool->abandoned >= POOL_ABANDONED_MOST) return;
    for (uint32_t i = 0; i < pool->options->slots_max; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->record.state != WORKER_DEAD || slot->respawn_ns > now_ns) continue;
        life_start(pool, slot, now_ns);
        return;
    }
}

/* Stops the slot that has been without work longest. */
static void stop_one(struct pool *pool, uint64_t now_ns) {
    struct slot *longest = NULL;
    for (uint32_t i = 0; i < pool->options->slots_max; i++) {
        struct slot *slot = &pool->slots[i];
        if (!worker_state_can_serve(slot->record.state) || slot->inflight > 0) continue;
        if (longest == NULL || slot->last_used_ns <= longest->last_used_ns) longest = slot;
    }
    if (longest != NULL) life_stop(pool, longest, REASON_SCALE_DOWN, now_ns);
}

/* Slots that would load now had their last load not failed. Nobody is started in their place: it would
 * fail the same way, and while one is coming nobody who waits is told. */
static uint32_t count_held(const struct pool *pool, uint64_t now_ns) {
    uint32_t held = 0;
    for (uint32_t i = 0; i < pool->options->slots_max; i++)
        held += life_backs_off(&pool->slots[i], now_ns);
    return held;
}

static void resize(struct pool *pool, bool draining, uint64_t now_ns) {
    if (draining && pool->queue.waiting == 0) return;
    uint32_t alive = pool_able(pool) + pool_coming(pool), held = count_held(pool, now_ns);
    uint32_t needed = draining ? 0 : pool->options->slots_min;
    bool urgent = alive + held < needed || (alive + held == 0 && pool->queue.waiting > 0);
    if (!urgent && now_ns < pool->scale_ns) return;
    if (!urgent) pool->scale_ns = clock_add(now_ns, pool->options->scale.interval_ns);
    struct scale_facts facts = scale_facts(pool, draining, now_ns);
    struct scale_decision decision = scaler_decide(&facts);
    for (uint32_t i = alive + held; i < decision.wanted; i++) start_one(pool, now_ns);
    if (decision.wanted < alive) stop_one(pool, now_ns);
}

/* --- settle: the drain -------------------------------------------------------------------------------- */

static void drain(struct pool *pool, bool time_is_over, uint64_t now_ns) {
    if (time_is_over) work_abandon(pool, now_ns);
    if (pool->queue.live > 0) return;
    for (uint32_t i = 0; i < pool->options->slots_max; i++) {
        struct slot *slot = &pool->slots[i];
        /* With nothing live, a slot that still works does so for nobody. */
        if (time_is_over || slot->inflight > 0)
            life_kill(pool, slot, REASON_DRAIN, now_ns);
        else
            life_stop(pool, slot, REASON_DRAIN, now_ns);
    }
}

/* --- settle: what the gate is told ------------------------------------------------------------------- */

static enum outcome refusal(const struct pool *pool, bool draining, uint64_t now_ns) {
    if (draining || pool->wish == WISH_DRAIN) return SHUTTING_DOWN;
    bool none = pool_able(pool) == 0 && pool_coming(pool) == 0;
    if (none && pool->backoff_until_ns > now_ns) return SPAWN_FAILED;
    if (pool_is_given_up(pool)) return NO_WORKERS;
    return pool->wish == WISH_UNLOAD ? NO_WORKERS : OK;
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns) {
    return a_ns < b_ns ? a_ns : b_ns;
}

/* When the pool must be looked at again though nothing happens. */
static uint64_t next_moment(const struct pool *pool, uint64_t now_ns) {
    uint64_t next_ns = request_queue_next_deadline(&pool->queue);
    bool wants =
        pool_able(pool) + pool_coming(pool) < pool->options->slots_min || pool->queue.waiting > 0;
    for (uint32_t i = 0; i < pool->options->slots_max; i++) {
        const struct slot *slot = &pool->slots[i];
        next_ns = earlier(next_ns, slot_next_ns(slot));
        if (wants && slot->record.state == WORKER_DEAD && slot->respawn_ns > now_ns)
            next_ns = earlier(next_ns, slot->respawn_ns);
    }
    if (pool->backoff_until_ns > now_ns) next_ns = earlier(next_ns, pool->backoff_until_ns);
    return pool->queue.waiting > 0 && pool->scale_ns > now_ns ? earlier(next_ns, pool->scale_ns)
                                                              : next_ns;
}

static uint64_t settle_pool(struct orchestrator *orchestrator, struct pool *pool, uint64_t now_ns) {
    bool draining = orchestrator->draining;
    work_expire(pool, now_ns);
    for (uint32_t i = 0; i < pool->options->slots_max; i++)
        life_tend(pool, &pool->slots[i], now_ns);
    resize(pool, draining, now_ns);
    work_dispatch(pool, now_ns);
    if (draining) drain(pool, now_ns >= orchestrator->drain_until_ns, now_ns);
    admission_update(&pool->admission, pool_places(pool), pool->stats.mean_run_ns,
                     refusal(pool, draining, now_ns), pool->backoff_until_ns);
    return next_moment(pool, now_ns);
}

uint64_t orchestrator_settle(struct orchestrator *orchestrator, uint64_t now_ns) {
    uint64_t next_ns = CLOCK_NEVER;
    for (size_t i = 0; i < orchestrator->pools_count; i++)
        next_ns = earlier(next_ns, settle_pool(orchestrator, &orchestrator->pools[i], now_ns));
    orchestrator->settled++;
    /* Once the drain's time is over everybody is being killed: what is left is to see them end. */
    return orchestrator->draining && orchestrator->drain_until_ns > now_ns
               ? earlier(next_ns, orchestrator->drain_until_ns)
               : next_ns;
}

/* A permit without a live request was taken just before the refusal: its request is in the channel. */
static bool pool_drained(const struct pool *pool) {
    return pool->queue.live == 0 && atomic_load(&pool->admission.permits) == 0 && pool_empty(pool);
}

bool orchestrator_drained(const struct orchestrator *orchestrator) {
    if (!orchestrator->draining) return false;
    for (size_t i = 0; i < orchestrator->pools_count; i++)
        if (!pool_drained(&orchestrator->pools[i])) return false;
    return true;
}
