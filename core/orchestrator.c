#include "core/orchestrator.h"

#include "core/base/clock.h"
#include "core/care.h"
#include "core/desk.h"
#include "core/dispatch.h"
#include "core/life.h"
#include "core/pool_order.h"
#include "core/room.h"
#include "core/sizing.h"
#include "core/work.h"

#include <assert.h>
#include <stdlib.h>

#define ALARM_NS CLOCK_S /* a slot free beside eligible work for so long is a bug */
#define LINGER_NS                                                                                  \
    (5 * CLOCK_S) /* a pool that leaves keeps idle workers so long for those who hold it */
#define LEAVING_NS (CLOCK_S / 10) /* and is looked at so often */

static enum outcome open_pool(struct orchestrator *orchestrator, const struct pool_options *options,
                              uint32_t place, uint64_t seed, uint64_t now_ns) {
    struct pool *pool = malloc(sizeof *pool);
    if (pool == NULL) return MEMORY_EXHAUSTED;
    enum outcome outcome = pool_init(pool, options, seed, now_ns);
    if (outcome != OK) {
        free(pool);
        return outcome;
    }
    pool->place = place;
    orchestrator->pools[place] = orchestrator->listed[place] = pool;
    orchestrator->listed_count++;
    orchestrator_adopt(orchestrator, pool);
    return OK;
}

static void close_pool(struct orchestrator *orchestrator, size_t place) {
    struct pool *pool = orchestrator->pools != NULL ? orchestrator->pools[place] : NULL;
    if (pool == NULL) return;
    orchestrator->pools[place] = NULL;
    pool_free(pool);
    free(pool);
}

enum outcome orchestrator_init(struct orchestrator *orchestrator,
                               const struct pool_options *options, size_t count,
                               uint64_t memory_limit_bytes, struct event_stream *events,
                               uint64_t seed, uint64_t now_ns) {
    *orchestrator =
        (struct orchestrator){.random = seed | 1, .drain_until_ns = CLOCK_NEVER, .events = events};
    governor_init(&orchestrator->governor, memory_limit_bytes);
    orchestrator->places = count * 2 > ORCHESTRATOR_POOLS ? count * 2 : ORCHESTRATOR_POOLS;
    orchestrator->pools = calloc(orchestrator->places, sizeof(struct pool *));
    orchestrator->listed = calloc(orchestrator->places, sizeof(struct pool *));
    orchestrator->holds = calloc(orchestrator->places, sizeof *orchestrator->holds);
    bool made =
        orchestrator->pools != NULL && orchestrator->listed != NULL && orchestrator->holds != NULL;
    enum outcome outcome = made ? OK : MEMORY_EXHAUSTED;
    for (size_t i = 0; outcome == OK && i < count; i++)
        outcome = open_pool(orchestrator, &options[i], (uint32_t)i, seed, now_ns);
    if (outcome != OK) orchestrator_free(orchestrator);
    return outcome;
}

void orchestrator_free(struct orchestrator *orchestrator) {
    for (size_t i = 0; i < orchestrator->pools_count; i++) close_pool(orchestrator, i);
    free(orchestrator->pools);
    free(orchestrator->listed);
    free(orchestrator->holds);
    orchestrator->pools = orchestrator->listed = NULL;
    orchestrator->holds = NULL;
    orchestrator->pools_count = orchestrator->listed_count = 0;
}

void orchestrator_keep_answers(struct orchestrator *orchestrator, struct answers *answers) {
    orchestrator->answers = answers;
    for (size_t i = 0; i < orchestrator->pools_count; i++)
        if (orchestrator->pools[i] != NULL) orchestrator->pools[i]->answers = answers;
}

void orchestrator_adopt(struct orchestrator *orchestrator, struct pool *pool) {
    pool->events = orchestrator->events;
    pool->finished = orchestrator->finished;
    pool->answers = orchestrator->answers;
    pool->governor = &orchestrator->governor;
    pool->holds = &orchestrator->holds[pool->place];
    if (orchestrator->pools_count <= pool->place) orchestrator->pools_count = pool->place + 1;
}

void orchestrator_remember(struct orchestrator *orchestrator, struct finished *finished) {
    orchestrator->finished = finished;
    for (size_t i = 0; i < orchestrator->pools_count; i++)
        if (orchestrator->pools[i] != NULL) orchestrator->pools[i]->finished = finished;
}

/* What waits in its quarantine is charged to it, so that goes first. */
static bool is_gone(struct pool *pool) {
    if (!pool->leaving || pool_is_held(pool) || !pool_drained(pool)) return false;
    quarantine_free(&pool->quarantine);
    return atomic_load(&pool->admission.bytes) == 0;
}

struct pool *orchestrator_gone(struct orchestrator *orchestrator, size_t *at) {
    while (*at < orchestrator->pools_count) {
        struct pool *pool = orchestrator->pools[(*at)++];
        if (pool != NULL && is_gone(pool)) return pool;
    }
    return NULL;
}

void orchestrator_let_go(struct orchestrator *orchestrator, struct pool *pool) {
    orchestrator->abandoned += pool->abandoned;
    close_pool(orchestrator, pool->place);
    size_t *count = &orchestrator->pools_count;
    while (*count > 0 && orchestrator->pools[*count - 1] == NULL) (*count)--;
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

/* --- handlers: they mark ---------------------------------------------------------------------------- */

/* What somebody asked for is told also where it changes nothing. */
static void on_wish(struct pool *pool, enum wish wish, const char *why, uint64_t now_ns) {
    bool stays = pool->wish == wish || (pool->leaving && wish == WISH_PAUSE);
    if (stays && why == NULL) return;
    pool_tell(pool,
              &(struct pool_news){.kind = HAPPENING_POOL,
                                  .from = wish_name(pool->wish),
                                  .to = wish_name(stays ? pool->wish : wish),
                                  .why = why},
              now_ns);
    if (stays) return;
    pool->wish = wish;
    pool->scale_ns = 0;
}

static void on_scale(struct pool *pool, const struct event *event, uint64_t now_ns) {
    uint32_t most = pool->options->slots_max;
    uint32_t max = event->slots_max == POOL_KEEP ? pool->slots_max : event->slots_max;
    uint32_t min = event->slots_min == POOL_KEEP ? pool->slots_min : event->slots_min;
    pool->slots_max = max < 1 ? 1 : max > most ? most : max;
    pool->slots_min = min > pool->slots_max ? pool->slots_max : min;
    pool->scale_ns = 0;
    if (event->why == NULL) return;
    pool_tell(pool,
              &(struct pool_news){.kind = HAPPENING_POOL,
                                  .from = wish_name(pool->wish),
                                  .to = wish_name(pool->wish),
                                  .why = event->why},
              now_ns);
}

static void on_memory(struct orchestrator *orchestrator, const struct memory_reading *memory) {
    governor_weighed(&orchestrator->governor, memory->total_bytes, memory->used_bytes,
                     memory->gateway_bytes, memory->stall_percent);
}

/* What was paused is finished as well. */
static void on_drain(struct orchestrator *orchestrator, uint64_t until_ns, uint64_t now_ns) {
    orchestrator->draining = true;
    if (until_ns < orchestrator->drain_until_ns) orchestrator->drain_until_ns = until_ns;
    for (size_t i = 0; i < orchestrator->pools_count; i++) {
        struct pool *pool = orchestrator->pools[i];
        if (pool != NULL && pool->wish == WISH_PAUSE) on_wish(pool, WISH_RUN, NULL, now_ns);
    }
}

void orchestrator_handle(struct orchestrator *orchestrator, const struct event *event,
                         uint64_t now_ns) {
    bool of_all =
        event->kind == EVENT_DRAIN || event->kind == EVENT_MEMORY || event->kind == EVENT_QUESTION;
    struct pool *pool = of_all ? NULL : orchestrator->pools[event->pool];
    /* A cancel or a wish that comes late: its pool is gone. What else is under way keeps its pool. */
    if (pool == NULL && !of_all) {
        assert(event->kind != EVENT_SUBMIT && event->kind != EVENT_WORKER);
        return;
    }
    switch (event->kind) {
    case EVENT_SUBMIT: work_submit(pool, event->request, now_ns); return;
    case EVENT_CANCEL: work_cancel(pool, event->id, event->cause, now_ns); return;
    case EVENT_WORKER:
        life_event(pool, &pool->slots[event->slot], event->worker, next_random(orchestrator),
                   now_ns);
        return;
    case EVENT_MEMORY: on_memory(orchestrator, event->memory); return;
    case EVENT_WISH:
        if (!(orchestrator->draining && event->wish == WISH_PAUSE))
            on_wish(pool, event->wish, event->why, now_ns);
        return;
    case EVENT_SCALE: on_scale(pool, event, now_ns); return;
    case EVENT_DRAIN: on_drain(orchestrator, event->until_ns, now_ns); return;
    case EVENT_QUESTION: desk_answer(orchestrator, event->question, now_ns); return;
    }
}

/* Nothing new is let in, and its workers go when they are done. */
static bool is_ending(const struct pool *pool, bool draining) {
    return draining || pool->leaving || pool->wish == WISH_DRAIN || pool->wish == WISH_UNLOAD;
}

/* --- settle: the end of a pool -------------------------------------------------------------------------- */

/* Whoever found it by its name a moment ago may come yet, and is to be served as if nothing had happened;
 * who takes longer (a body that trickles in) has a worker started again. */
static bool lingers(const struct pool *pool, uint64_t now_ns) {
    if (!pool->leaving) return false;
    bool expected = pool_is_held(pool) || atomic_load(&pool->admission.permits) > 0;
    return expected && now_ns - pool->left_ns < LINGER_NS;
}

static void end_pool(struct pool *pool, bool time_is_over, enum reason why, uint64_t now_ns) {
    if (time_is_over) work_abandon(pool, now_ns);
    if (pool->queue.live > 0 || (why == REASON_UNLOAD && lingers(pool, now_ns))) return;
    /* Their bodies are accounted for by the front ends, which go before the pools do. */
    if (why == REASON_DRAIN && pool_empty(pool)) quarantine_free(&pool->quarantine);
    for (uint32_t i = 0; i < pool->slots_count; i++) {
        struct slot *slot = &pool->slots[i];
        /* With nothing live, a slot that still works does so for nobody. */
        if (time_is_over || !slot_vacant(slot) || slot->checking)
            life_kill(pool, slot, why, now_ns);
        else
            life_stop(pool, slot, why, now_ns);
    }
}

/* --- settle: the breaker ------------------------------------------------------------------------------- */

static void watch_breaker(struct pool *pool, uint64_t now_ns) {
    breaker_tick(&pool->breaker, now_ns);
    if (pool->breaker.era == pool->breaker_seen) return;
    enum breaker_state state = pool->breaker.state;
    pool_tell(pool,
              &(struct pool_news){.kind = HAPPENING_BREAKER,
                                  .from = breaker_state_name(pool->breaker_was),
                                  .to = breaker_state_name(state)},
              now_ns);
    pool->breaker_seen = pool->breaker.era;
    pool->breaker_was = state;
    if (state != BREAKER_OPEN) return;
    dispatch_recall_all(pool, now_ns);
    work_refuse_waiting(pool, CIRCUIT_OPEN, "the pool's workers fail", pool->breaker.open_until_ns,
                        now_ns);
}

/* --- settle: what the gate is told ------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns) {
    return a_ns < b_ns ? a_ns : b_ns;
}

/* In the order of precedence. */
static enum outcome refusal(const struct pool *pool, bool draining, uint64_t now_ns,
                            uint64_t *until_ns) {
    bool none = pool_able(pool) == 0 && pool_coming(pool) == 0;
    *until_ns = 0;
    if (draining || pool->wish == WISH_DRAIN) return SHUTTING_DOWN;
    if (pool->breaker.state == BREAKER_OPEN) {
        *until_ns = pool->breaker.open_until_ns;
        return CIRCUIT_OPEN;
    }
    if (none && pool->no_room_until_ns > now_ns) {
        *until_ns = pool->no_room_until_ns;
        return MEMORY_EXHAUSTED;
    }
    if (none && pool->backoff_until_ns > now_ns) {
        *until_ns = pool->backoff_until_ns;
        return SPAWN_FAILED;
    }
    if (pool_is_given_up(pool)) return NO_WORKERS;
    return pool->wish == WISH_UNLOAD ? NO_WORKERS : OK;
}

/* While half-open: what is still under way from before, and the probes. */
static uint32_t ceiling(const struct pool *pool) {
    if (pool->breaker.state != BREAKER_HALF_OPEN) return 0;
    uint32_t most = pool->queue.live - pool->queue.waiting + pool->breaker.options.probes;
    /* Probes that were given up keep their places; one may always wait for them. */
    return most > pool->breaker.probing ? most - pool->breaker.probing : 1;
}

static void tell_gate(struct pool *pool, bool draining, uint64_t now_ns) {
    struct admission_view view = {.places = pool_places(pool),
                                  .ceiling = ceiling(pool),
                                  .mean_run_ns = pool->stats.mean_run_ns};
    view.refusal = refusal(pool, draining, now_ns, &view.refusal_until_ns);
    /* With several tenants only the loop can say how long one of them waits. */
    for (int i = 0; pool->queue.tenants_live <= 1 && i < PRIORITY_COUNT; i++)
        view.needs_ns[i] = work_needs(pool, NULL, (enum priority)i);
    admission_update(&pool->admission, &view);
}

/* --- settle: nothing may be left undone --------------------------------------------------------------- */

/* A slot with room beside work that may go to it, after everything was matched: it must not be. */
static void watch_free(struct pool *pool, uint64_t now_ns) {
    bool beside = false;
    if (pool->queue.waiting > 0 && pool->wish != WISH_PAUSE && breaker_room(&pool->breaker) > 0 &&
        pool->ripe_ns == CLOCK_NEVER) {
        const struct request *first = request_queue_first(&pool->queue, now_ns);
        for (uint32_t i = 0; i < pool->slots_count; i++)
            beside = beside || slot_room(&pool->slots[i], first->solo || pool->solo_next) > 0;
    }
    if (!beside) {
        pool->free_beside_ns = 0;
    } else if (pool->free_beside_ns == 0) {
        pool->free_beside_ns = now_ns;
    } else if (now_ns - pool->free_beside_ns > ALARM_NS) {
        pool->free_beside_ns = now_ns;
        pool->totals.alarms++;
        pool_tell(pool,
                  &(struct pool_news){.kind = HAPPENING_ALARM,
                                      .why = "work waits beside a free slot",
                                      .number = pool->queue.waiting},
                  now_ns);
    }
}

/* When the pool must be looked at again though nothing happens. */
static uint64_t next_moment(const struct pool *pool, bool draining, uint64_t now_ns) {
    if (pool->refusing.outcome != OK) return now_ns;
    uint64_t next_ns = request_queue_next_deadline(&pool->queue);
    uint32_t min = is_ending(pool, draining) ? 0 : pool->slots_min;
    bool wants = pool_able(pool) + pool_coming(pool) < min || pool->queue.waiting > 0;
    for (uint32_t i = 0; i < pool->slots_count; i++) {
        const struct slot *slot = &pool->slots[i];
        next_ns = earlier(next_ns, slot_next_ns(slot));
        if (slot->staged > 0 && pool_able(pool) > 1)
            next_ns = earlier(next_ns, slot->last_used_ns + dispatch_late_ns(pool));
        if (wants && slot->record.state == WORKER_DEAD && slot->respawn_ns > now_ns)
            next_ns = earlier(next_ns, slot->respawn_ns);
    }
    if (pool->backoff_until_ns > now_ns) next_ns = earlier(next_ns, pool->backoff_until_ns);
    if (pool->no_room_until_ns > now_ns) next_ns = earlier(next_ns, pool->no_room_until_ns);
    next_ns = earlier(next_ns, earlier(breaker_next_ns(&pool->breaker), pool->ripe_ns));
    if (pool->leaving) next_ns = earlier(next_ns, now_ns + LEAVING_NS);
    bool looks = pool->queue.waiting > 0 || pool->no_room;
    return looks && pool->scale_ns > now_ns ? earlier(next_ns, pool->scale_ns) : next_ns;
}

static void settle_pool(struct orchestrator *orchestrator, struct pool *pool, uint64_t now_ns) {
    const struct pools pools = {orchestrator->pools, orchestrator->pools_count};
    bool draining = orchestrator->draining;
    bool behind = !work_dismiss(pool, now_ns);
    for (uint32_t i = 0; i < pool->slots_count; i++) care_tend(pool, &pool->slots[i], now_ns);
    care_recycle(pool, now_ns);
    watch_breaker(pool, now_ns);
    sizing_settle(&pools, pool, is_ending(pool, draining), now_ns);
    if (!behind) dispatch_run(pool, now_ns);
    if (draining)
        end_pool(pool, now_ns >= orchestrator->drain_until_ns, REASON_DRAIN, now_ns);
    else if (is_ending(pool, false))
        end_pool(pool, false, REASON_UNLOAD, now_ns);
}

/* Once all are settled: one that needed room may have made a worker of another go. */
static uint64_t conclude_pool(struct pool *pool, bool draining, uint64_t now_ns) {
    tell_gate(pool, draining, now_ns);
    watch_free(pool, now_ns);
    return next_moment(pool, draining, now_ns);
}

static void watch_pressure(struct orchestrator *orchestrator, uint64_t now_ns) {
    const struct pools pools = {orchestrator->pools, orchestrator->pools_count};
    enum pressure pressure = governor_pressure(&orchestrator->governor);
    if (pressure == PRESSURE_CRITICAL) room_relieve(&pools, &orchestrator->governor, now_ns);
    if (pressure == orchestrator->pressure) return;
    struct happening happening = {.kind = HAPPENING_PRESSURE,
                                  .slot = HAPPENING_NO_SLOT,
                                  .at_ns = now_ns,
                                  .number = governor_used(&orchestrator->governor),
                                  .from = pressure_name(orchestrator->pressure),
                                  .to = pressure_name(pressure)};
    orchestrator->pressure = pressure;
    if (orchestrator->events != NULL) event_stream_emit(orchestrator->events, &happening);
}

uint64_t orchestrator_settle(struct orchestrator *orchestrator, uint64_t now_ns) {
    uint64_t next_ns = CLOCK_NEVER;
    watch_pressure(orchestrator, now_ns);
    struct pool **pools = orchestrator->pools;
    for (size_t i = 0; i < orchestrator->pools_count; i++)
        if (pools[i] != NULL) settle_pool(orchestrator, pools[i], now_ns);
    for (size_t i = 0; i < orchestrator->pools_count; i++)
        if (pools[i] != NULL)
            next_ns = earlier(next_ns, conclude_pool(pools[i], orchestrator->draining, now_ns));
    orchestrator->settled++;
    /* Once the drain's time is over everybody is being killed: what is left is to see them end. */
    return orchestrator->draining && orchestrator->drain_until_ns > now_ns
               ? earlier(next_ns, orchestrator->drain_until_ns)
               : next_ns;
}

bool orchestrator_drained(const struct orchestrator *orchestrator) {
    if (!orchestrator->draining) return false;
    for (size_t i = 0; i < orchestrator->pools_count; i++)
        if (orchestrator->pools[i] != NULL && !pool_drained(orchestrator->pools[i])) return false;
    return true;
}
