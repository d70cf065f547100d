/* stage_checks - what must always be true on the stage, whatever has happened: work, sums, memory.
 * thread: the test's own. owns: nothing. fails: what does not hold ends the test. */
#ifndef TESTS_CORE_STAGE_CHECKS_H
#define TESTS_CORE_STAGE_CHECKS_H

#include "tests/core/actors.h"

/* What was asked back too late runs besides: of it the core only knows that it has begun. */
static inline uint32_t count_kept(const struct actor *actor) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < actor->has_count; i++) kept += actor->has[i].kept;
    return kept;
}

static inline void check_assignments(const struct actor *actor) {
    struct slot *slot = slot_of_actor(actor);
    uint32_t inflight = 0, staged = 0, given_up = 0;
    for (uint32_t i = 0; i < slot->places; i++) {
        const struct assignment *assignment = &slot->assignments[i];
        if (assignment->id == 0) continue;
        inflight += !assignment->staged;
        staged += assignment->staged;
        given_up += assignment->given_up_ns > 0;
        require(actor_has(actor, assignment->id));
        const struct request *request = assignment->request;
        require(request != NULL || (assignment->given_up_ns > 0 && !assignment->staged));
        if (request == NULL) continue;
        require(request->state == REQUEST_RUNNING && request->slot == slot->index);
        require(slot_find_request(slot, request) == assignment);
        if (assignment->staged)
            require(request->effective == stage_pool(actor->pool)->staged_class);
        require(!request->solo || (slot->inflight == 1 && slot->staged == 0));
    }
    require(inflight == slot->inflight && staged == slot->staged && given_up == slot->given_up);
    require(staged == 0 || slot->units >= slot->capacity); /* ahead of what is full only */
    require(slot->units <= inflight && (slot->units > 0) == (inflight > 0));
    require(slot->units <= slot->capacity + count_kept(actor));
}

static inline void check_slot(const struct actor *actor) {
    const struct slot *slot = slot_of_actor(actor);
    enum worker_state state = slot->record.state;
    require(actor->running == (state != WORKER_DEAD));
    require((state == WORKER_PROCESSING) == (slot->inflight > 0));
    require(!worker_state_can_serve(state) ||
            (actor->ready && actor->has_count == slot->inflight + slot->staged));
    require(slot->requests == actor->replied);
    check_assignments(actor);
}

static inline uint32_t count_out(const struct pool *pool) {
    uint32_t out = 0;
    for (uint32_t i = 0; i < pool->slots_count; i++)
        for (uint32_t j = 0; j < pool->slots[i].places; j++)
            out += pool->slots[i].assignments[j].request != NULL;
    return out;
}

static inline uint32_t count_staged(const struct pool *pool) {
    uint32_t staged = 0;
    for (uint32_t i = 0; i < pool->slots_count; i++) staged += pool->slots[i].staged;
    return staged;
}

/* A slot with room never stands beside waiting work. */
static inline void check_dispatch(struct pool *pool) {
    if (stage.next_ns <= stage.now_ns) return; /* a round follows at once */
    const struct request *first = request_queue_first(&pool->queue, stage.now_ns);
    if (pool->wish == WISH_PAUSE) require(pool->staged == 0);
    if (pool->wish == WISH_PAUSE || breaker_room(&pool->breaker) == 0) return;
    for (uint32_t i = 0; first != NULL && pool->ripe_ns == CLOCK_NEVER && i < pool->slots_count;
         i++)
        require(slot_room(&pool->slots[i], first->solo || pool->solo_next) == 0);
    /* What is staged never waits beside a slot that is free. */
    for (uint32_t i = 0; pool->staged > 0 && i < pool->slots_count; i++)
        require(slot_room(&pool->slots[i], false) == 0);
    /* And never while something better waits. */
    require(pool->staged == 0 || first == NULL || first->effective >= pool->staged_class);
}

/* Every live request is where its state says, and a follower hangs on the one that leads it. */
static inline uint32_t check_live(const struct pool *pool) {
    uint32_t live = 0, following = 0, probing = 0;
    for (size_t i = 0; i < pool->queue.buckets; i++) {
        for (const struct request *at = pool->queue.by_id[i]; at != NULL; at = at->next_by_id) {
            live++;
            require(at->state != REQUEST_NEW && at->state != REQUEST_DONE);
            require(at->deadline_ns > stage.now_ns || stage.next_ns <= stage.now_ns);
            probing += at->breaker_era == pool->breaker.era;
            require((at->breaker_era != 0) <= (at->state == REQUEST_RUNNING));
            following += at->state == REQUEST_FOLLOWING;
            require((at->leader != NULL) == (at->state == REQUEST_FOLLOWING));
            if (at->leader == NULL) continue;
            require(at->leader->state == REQUEST_QUEUED || at->leader->state == REQUEST_RUNNING);
            require(at->leader->digest[0] == at->digest[0] && list_empty(&at->followers));
            require(at->leader->priority <= at->priority);
        }
    }
    require(live == pool->queue.live);
    /* Who was given up at a slot still has its place there. */
    for (uint32_t i = 0; i < pool->slots_count; i++)
        for (uint32_t j = 0; j < pool->slots[i].places; j++)
            probing += pool->slots[i].assignments[j].breaker_era == pool->breaker.era;
    if (pool->breaker.state == BREAKER_HALF_OPEN)
        require(probing == pool->breaker.probing &&
                (probing <= pool->breaker.options.probes || stage.tuned));
    return following;
}

/* Every guard is held by a worker that exists, and the governor's sums are theirs. */
static inline void check_memory(void) {
    const struct memory_governor *governor = &stage.orchestrator.governor;
    uint64_t charged = 0, held = 0, guards = 0;
    for (uint32_t i = 0; i < stage.pools_count; i++) {
        for (uint32_t j = 0; stage_pool(i) != NULL && j < stage_pool(i)->slots_count; j++) {
            const struct slot *slot = &stage_pool(i)->slots[j];
            const struct memory_guard *guard = &slot->guard;
            uint64_t declared = guard->declared_bytes, measured = guard->measured_bytes;
            charged += declared > measured ? declared : measured;
            held += measured > 0 ? measured : declared;
            guards += declared > 0;
            require((declared > 0) == (slot->record.state != WORKER_DEAD));
        }
    }
    require(governor->charged_bytes == charged && governor->guards == guards);
    require(governor->held_bytes == held);
}

static inline void check_pool(uint32_t number) {
    struct pool *pool = stage_pool(number);
    if (pool == NULL) return;
    uint32_t by_state[WORKER_STATE_COUNT] = {0}, by_priority = 0, by_effective = 0;
    uint64_t restarts = 0;
    for (uint32_t i = 0; i < pool->slots_count; i++) {
        check_slot(&stage.actors[number][i]);
        by_state[pool->slots[i].record.state]++;
        restarts += pool->slots[i].restarts;
    }
    require(memcmp(by_state, pool->census.by_state, sizeof by_state) == 0);
    for (int i = 0; i < PRIORITY_COUNT; i++) by_priority += pool->queue.by_priority[i];
    for (int i = 0; i < PRIORITY_COUNT; i++) by_effective += pool->queue.by_effective[i];
    require(pool->queue.waiting == by_priority && pool->queue.waiting == by_effective);
    require(pool->queue.live == stage.live[number]);
    require(pool->queue.live == pool->queue.waiting + count_out(pool) + check_live(pool));
    require(pool->staged == count_staged(pool) && pool->totals.alarms == 0);
    require(pool->admission.permits == pool->queue.live);
    require(pool->admission.places == pool_able(pool) * pool->options->inflight);
    require(pool->totals.restarts == restarts && pool->totals.answered == stage.answered[number]);
    check_dispatch(pool);
}

#endif
