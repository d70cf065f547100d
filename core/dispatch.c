#include "core/dispatch.h"

#include "core/base/clock.h"
#include "core/execution.h"
#include "core/policy/pick.h"

#include <assert.h>

#define BATCH_LARGEST   1024
#define LATE_LEAST_NS   (5 * CLOCK_MS)
#define LATE_UNKNOWN_NS (100 * CLOCK_MS)

void dispatch_verdict(struct pool *pool, struct request *request, enum breaker_result result,
                      uint64_t now_ns) {
    if (request->breaker_era == 0) return;
    breaker_result(&pool->breaker, request->breaker_era, result, now_ns);
    request->breaker_era = 0;
}

/* --- the slot's state follows its work ------------------------------------------------------------------ */

static void occupy(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    if (slot->record.state == WORKER_IDLE)
        pool_move(pool, slot, WORKER_READY, REASON_REQUEST, now_ns);
    if (slot->record.state == WORKER_READY)
        pool_move(pool, slot, WORKER_PROCESSING, REASON_REQUEST, now_ns);
    assert(slot->record.state == WORKER_PROCESSING);
    slot->quiet_ns = CLOCK_NEVER;
}

static void count_batch(struct pool *pool, size_t count) {
    size_t bucket = 0;
    while (((size_t)1 << bucket) < count) bucket++;
    pool->totals.batches++;
    pool->totals.batched += count;
    pool->totals.batch_sizes[bucket < POOL_BATCH_SIZES ? bucket : POOL_BATCH_SIZES - 1]++;
}

static void tell_start(struct pool *pool, struct slot *slot, const struct request *request,
                       uint64_t now_ns) {
    pool_tell(
        pool,
        &(struct pool_news){.kind = HAPPENING_REQUEST_STARTED, .slot = slot, .request = request},
        now_ns);
}

/* What was staged has begun, as far as can be known. */
static void begin(struct pool *pool, struct slot *slot, struct assignment *assignment,
                  uint64_t now_ns) {
    slot_begin(slot, assignment, now_ns);
    pool->staged--;
    assignment->request->began_ns = now_ns;
    tell_start(pool, slot, assignment->request, now_ns);
    count_batch(pool, 1);
}

void dispatch_vacate(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    while (slot->units < slot->capacity && slot->staged > 0) {
        struct assignment *next = slot_next_staged(slot);
        begin(pool, slot, next, now_ns);
    }
    if (slot->inflight > 0 || slot->record.state != WORKER_PROCESSING) return;
    pool_move(pool, slot, WORKER_READY, REASON_ANSWERED, now_ns);
    slot->last_used_ns = now_ns;
    slot->quiet_ns = now_ns + SLOT_QUIET_NS;
}

/* --- handing over ------------------------------------------------------------------------------------------ */

static void assign(struct pool *pool, struct slot *slot, struct request *request, uint64_t unit,
                   bool staged, uint64_t now_ns) {
    request_queue_take(&pool->queue, request, now_ns);
    request->slot = slot->index;
    request->attempts++;
    request->began_ns = now_ns;
    request->run_deadline_ns = execution_deadline(request);
    request->breaker_era = breaker_begin(&pool->breaker);
    slot_assign(slot, request, unit, staged, now_ns);
    pool->staged += staged;
    if (!staged) tell_start(pool, slot, request, now_ns);
}

void dispatch_release(struct pool *pool, struct slot *slot, struct assignment *assignment,
                      uint64_t now_ns) {
    uint64_t era = assignment->breaker_era;
    pool->staged -= assignment->staged;
    slot_unassign(slot, assignment);
    if (era != 0) breaker_result(&pool->breaker, era, BREAKER_NEUTRAL, now_ns);
}

/* Undoes assign: it has not begun and waits again. */
static void unassign(struct pool *pool, struct slot *slot, struct assignment *assignment,
                     uint64_t now_ns) {
    struct request *request = assignment->request;
    dispatch_release(pool, slot, assignment, now_ns);
    if (request == NULL) return;
    dispatch_verdict(pool, request, BREAKER_NEUTRAL, now_ns);
    if (--request->attempts == 0) request->slot = REQUEST_NO_SLOT;
    request->began_ns = 0;
    request_queue_return(&pool->queue, request, now_ns);
}

/* The worker cannot be given this: the requests are answered, or wait again where there was only no room. */
static void send_failed(struct pool *pool, struct slot *slot, struct request *const *requests,
                        size_t count, enum outcome outcome, uint64_t now_ns) {
    for (size_t i = 0; i < count; i++) {
        unassign(pool, slot, slot_find_request(slot, requests[i]), now_ns);
        if (outcome == QUEUE_FULL) continue;
        request_explain(requests[i], "the request could not be handed to %s/%u",
                        pool->options->name, slot->index);
        execution_end(pool, requests[i], outcome, SOURCE_GATEWAY, now_ns);
    }
    dispatch_vacate(pool, slot, now_ns);
}

static enum outcome hand_over(struct pool *pool, struct slot *slot, struct request *const *requests,
                              size_t count, bool staged, uint64_t now_ns) {
    uint64_t unit = slot_open_unit(slot, staged);
    for (size_t i = 0; i < count; i++) assign(pool, slot, requests[i], unit, staged, now_ns);
    if (!staged) occupy(pool, slot, now_ns);
    struct transport *transport = pool->transports[slot->index];
    enum outcome outcome = transport->calls->send(transport, requests, count, now_ns);
    slot->full = outcome == QUEUE_FULL;
    if (outcome != OK)
        send_failed(pool, slot, requests, count, outcome, now_ns);
    else if (!staged)
        count_batch(pool, count);
    return outcome;
}

/* --- those that run at once ---------------------------------------------------------------------------------- */

/* Who goes next: the first of the queue, or where batches are made the best of a group that is ripe. */
static struct request *next_request(struct pool *pool, uint64_t now_ns) {
    if (pool->batch_most <= 1 || pool->options->queue.batch_delay_ns == 0)
        return request_queue_first(&pool->queue, now_ns);
    uint64_t ripe_ns;
    struct request *first = request_queue_ripe(&pool->queue, pool->options->queue.batch_delay_ns,
                                               pool->stats.mean_run_ns, now_ns, &ripe_ns);
    /* Who is ripe waits for a slot, not for time. */
    pool->ripe_ns = first == NULL ? ripe_ns : CLOCK_NEVER;
    return first;
}

static size_t make_batch(struct pool *pool, const struct slot *slot, struct request *first,
                         struct request **out) {
    size_t most = slot->max_batch;
    uint32_t room = breaker_room(&pool->breaker);
    if (most > room) most = room;
    if (most > 1 && !first->solo && pool->queue.groups != NULL)
        return request_queue_batch(&pool->queue, first, out, most);
    out[0] = first;
    return 1;
}

/* xorshift64* (Vigna 2016). */
static uint64_t next_random(struct pool *pool) {
    pool->random ^= pool->random >> 12;
    pool->random ^= pool->random << 25;
    pool->random ^= pool->random >> 27;
    return pool->random * UINT64_C(2685821657736338717);
}

static void run_at_once(struct pool *pool, uint64_t now_ns) {
    static _Thread_local struct request *batch[BATCH_LARGEST];
    while (breaker_room(&pool->breaker) > 0) {
        struct request *first = next_request(pool, now_ns);
        if (first == NULL) return;
        struct slot *slot = pick_slot(pool->options->pick, pool->slots, pool->slots_count,
                                      first->solo, next_random(pool));
        pool->solo_next = slot == NULL && first->solo;
        if (slot == NULL) return;
        size_t count = make_batch(pool, slot, first, batch);
        hand_over(pool, slot, batch, count, false, now_ns);
    }
}

/* --- those that are staged ahead -------------------------------------------------------------------------------- */

/* Takes one staged request back, or finds that it has begun. */
static bool take_back(struct pool *pool, struct slot *slot, struct assignment *assignment,
                      uint64_t now_ns) {
    struct transport *transport = pool->transports[slot->index];
    if (transport->calls->revoke(transport, assignment->id)) {
        unassign(pool, slot, assignment, now_ns);
        pool->totals.staged_back++;
        return true;
    }
    begin(pool, slot, assignment, now_ns);
    return false;
}

static uint32_t may_stage(const struct pool *pool) {
    bool plain = pool->batch_most <= 1 && pool->breaker.state == BREAKER_CLOSED;
    return plain ? pool->options->staged : 0;
}

uint64_t dispatch_late_ns(const struct pool *pool) {
    uint64_t mean_ns = pool->stats.mean_run_ns;
    if (mean_ns == 0) return LATE_UNKNOWN_NS;
    return 2 * mean_ns > LATE_LEAST_NS ? 2 * mean_ns : LATE_LEAST_NS;
}

/* What waits behind a run that takes unusually long, perhaps for ever, waits in the queue again, if there
 * is any other slot to go to. */
static void recall_late(struct pool *pool, uint64_t now_ns) {
    if (pool_able(pool) <= 1) return;
    uint64_t late_ns = dispatch_late_ns(pool);
    for (uint32_t i = 0; pool->staged > 0 && i < pool->slots_count; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->staged > 0 && now_ns - slot->last_used_ns >= late_ns)
            dispatch_recall(pool, slot, now_ns);
    }
}

static bool stage(struct pool *pool, struct request *request, uint32_t limit, uint64_t now_ns) {
    uint64_t late_ns = dispatch_late_ns(pool);
    bool only_one = pool_able(pool) <= 1;
    uint64_t since_ns = !only_one && now_ns > late_ns ? now_ns - late_ns + 1 : 0;
    struct slot *slot = pick_for_staging(pool->slots, pool->slots_count, limit, since_ns);
    if (slot == NULL || pool->transports[slot->index]->stages <= slot->staged) return false;
    /* One that could not be taken back has begun beyond the capacity: its place is not free. */
    if (slot->inflight + slot->staged >= slot->places) return false;
    pool->staged_class = request->effective;
    hand_over(pool, slot, &request, 1, true, now_ns);
    return true;
}

/* Only requests of one class are staged at a time, the best: whichever slot is done first, it begins
 * nothing while something better is staged elsewhere. */
static void stage_ahead(struct pool *pool, uint64_t now_ns) {
    uint32_t limit = may_stage(pool);
    struct request *request;
    while (limit > 0 && (request = request_queue_first(&pool->queue, now_ns)) != NULL) {
        if (pool->staged > 0 && request->effective > pool->staged_class) return;
        if (pool->staged > 0 && request->effective < pool->staged_class) {
            dispatch_recall_all(pool, now_ns);
            continue; /* who comes back has aged, too, and may be first now */
        }
        if (request->solo || !stage(pool, request, limit, now_ns)) return;
    }
}

/* The staged request that stands first in order, and the slot that has it. */
static struct assignment *first_staged(struct pool *pool, struct slot **at) {
    struct assignment *first = NULL;
    for (uint32_t i = 0; i < pool->slots_count; i++) {
        struct slot *slot = &pool->slots[i];
        for (uint32_t j = 0; slot->staged > 0 && j < slot->places; j++) {
            struct assignment *assignment = &slot->assignments[j];
            if (assignment->id == 0 || !assignment->staged) continue;
            const struct request *a = assignment->request, *b = first ? first->request : NULL;
            if (b != NULL && (a->effective > b->effective ||
                              (a->effective == b->effective && a->arrival > b->arrival)))
                continue;
            first = assignment;
            *at = slot;
        }
    }
    return first;
}

/* A slot is free: what is staged elsewhere goes before all that still waits. */
static void spread_staged(struct pool *pool, uint64_t now_ns) {
    while (pool->staged > 0 && pick_least_loaded(pool->slots, pool->slots_count, false)) {
        struct slot *slot = NULL;
        struct assignment *assignment = first_staged(pool, &slot);
        assert(assignment != NULL);
        if (take_back(pool, slot, assignment, now_ns)) run_at_once(pool, now_ns);
    }
}

/* --- the verbs ------------------------------------------------------------------------------------------------------ */

/* Controlled delay: while the queue stands, the oldest are dropped and the newest go first. */
static void shed_oldest(struct pool *pool, uint64_t now_ns) {
    struct request *oldest;
    codel_tune(&pool->codel, pool->stats.mean_run_ns);
    while ((oldest = request_queue_oldest(&pool->queue)) != NULL &&
           codel_drop(&pool->codel, now_ns - oldest->queued_ns, now_ns)) {
        request_explain(oldest, "dropped after %.3f s: the queue stands",
                        (double)(now_ns - oldest->queued_ns) / (double)CLOCK_S);
        pool->totals.shed++;
        oldest->retry_after_ns = pool->codel.interval_ns;
        execution_end(pool, oldest, QUEUE_FULL, SOURCE_GATEWAY, now_ns);
    }
    if (oldest == NULL) codel_empty(&pool->codel);
    pool->queue.newest_first = pool->codel.overloaded;
}

void dispatch_run(struct pool *pool, uint64_t now_ns) {
    for (uint32_t i = 0; i < pool->slots_count; i++) pool->slots[i].full = false;
    pool->ripe_ns = CLOCK_NEVER;
    pool->solo_next = false;
    bool stands = pool->wish == WISH_PAUSE || pool->breaker.state == BREAKER_OPEN;
    if (stands || may_stage(pool) == 0) dispatch_recall_all(pool, now_ns);
    recall_late(pool, now_ns);
    if (stands) return;
    /* Who waits for a worker to load does not wait in a queue that stands. */
    if (pool->options->queue.overload == OVERLOAD_CODEL && pool_able(pool) > 0)
        shed_oldest(pool, now_ns);
    spread_staged(pool, now_ns);
    run_at_once(pool, now_ns);
    stage_ahead(pool, now_ns);
}

void dispatch_recall(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    for (uint32_t i = 0; slot->staged > 0 && i < slot->places; i++)
        if (slot->assignments[i].id != 0 && slot->assignments[i].staged)
            take_back(pool, slot, &slot->assignments[i], now_ns);
}

void dispatch_recall_all(struct pool *pool, uint64_t now_ns) {
    for (uint32_t i = 0; pool->staged > 0 && i < pool->slots_count; i++)
        dispatch_recall(pool, &pool->slots[i], now_ns);
}

void dispatch_salvage(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    struct transport *transport = pool->transports[slot->index];
    for (uint32_t i = 0; i < slot->places; i++) {
        struct assignment *assignment = &slot->assignments[i];
        if (assignment->id == 0) continue;
        if (transport->calls->revoke(transport, assignment->id)) {
            unassign(pool, slot, assignment, now_ns);
        } else if (assignment->staged) {
            begin(pool, slot, assignment, now_ns);
        }
    }
}

void dispatch_withdraw(struct pool *pool, struct request *request, enum reason why,
                       uint64_t stop_ns, uint64_t now_ns) {
    struct slot *slot = &pool->slots[request->slot];
    struct assignment *assignment = slot_find_request(slot, request);
    assert(assignment != NULL);
    if (assignment->staged && take_back(pool, slot, assignment, now_ns)) return;
    struct transport *transport = pool->transports[slot->index];
    transport->calls->cancel(transport, assignment->id);
    slot_give_up(slot, assignment, why, stop_ns, now_ns);
    /* A probe runs on until its worker is free: nobody else takes its place before. */
    assignment->breaker_era = request->breaker_era;
    request->breaker_era = 0;
}
