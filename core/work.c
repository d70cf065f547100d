#include "core/work.h"

#include "core/base/clock.h"
#include "core/burial.h"
#include "core/dispatch.h"
#include "core/execution.h"

#include <assert.h>
#include <stdio.h>

/* After its own deadline a worker has so long to notice the cancel before it is terminated. */
#define DEADLINE_GRACE_NS CLOCK_S
/* Retries that mark nobody (a kill from outside) end after so many attempts beyond retry.crashes. */
#define UNMARKED_ATTEMPTS 3
/* A request that is let in and then ends just too late has cost a run for nothing: what it needs is taken
 * as this part of the wait longer than estimated, and as half a run. */
#define MARGIN_PART 8
/* --- in ---------------------------------------------------------------------------------------------- */

uint64_t work_needs(const struct pool *pool, const char *tenant, enum priority priority) {
    uint32_t places = pool_pace(pool);
    uint64_t mean_ns = pool->stats.mean_run_ns;
    if (pool->options->queue.overload != OVERLOAD_SHED || mean_ns == 0 || places == 0) return 0;
    uint64_t ahead = request_queue_ahead(&pool->queue, tenant, priority);
    if (ahead == 0) return 0; /* it starts now, or as soon as any slot is done: let it try */
    uint64_t wait_ns = history_expected_wait(mean_ns, places, ahead + pool->staged, 1);
    uint64_t margin_ns = wait_ns / MARGIN_PART + mean_ns / 2;
    return clock_add(clock_add(wait_ns, mean_ns), margin_ns);
}

static bool is_meetable(const struct pool *pool, const struct request *request, uint64_t now_ns) {
    if (request->deadline_ns == CLOCK_NEVER) return true;
    /* Seldom is it so late that it matters whose turn comes when. */
    uint64_t needs_ns = work_needs(pool, NULL, request->priority);
    if (needs_ns == 0 || clock_add(now_ns, needs_ns) <= request->deadline_ns) return true;
    needs_ns = work_needs(pool, request->tenant, request->priority);
    return needs_ns == 0 || clock_add(now_ns, needs_ns) <= request->deadline_ns;
}

/* Refused although it was admitted: what it was admitted by has changed since, or only the loop knows. */
static enum outcome second_look(struct pool *pool, struct request *request, bool unmeetable,
                                uint64_t now_ns) {
    bool nobody = request->cold && pool_coming(pool) == 0;
    if (pool->breaker.state == BREAKER_OPEN && pool->breaker.open_until_ns > now_ns) {
        request->retry_after_ns = pool->breaker.open_until_ns - now_ns;
        pool->breaker.rejections++;
        return CIRCUIT_OPEN;
    }
    if (nobody && pool->no_room_until_ns > now_ns) {
        request->retry_after_ns = pool->no_room_until_ns - now_ns;
        return MEMORY_EXHAUSTED;
    }
    if (nobody && pool->backoff_until_ns > now_ns) {
        request->retry_after_ns = pool->backoff_until_ns - now_ns;
        return SPAWN_FAILED;
    }
    if (pool_is_given_up(pool)) return NO_WORKERS;
    if (!unmeetable) return OK;
    pool->totals.unmeetable++;
    request_explain(request, "what waits before it takes longer than its deadline leaves");
    return DEADLINE_UNMEETABLE;
}

static bool join(struct pool *pool, struct request *request, uint64_t now_ns) {
    if (pool->options->queue.dedup_ns == 0) return false;
    struct request *leader = dedup_find(&pool->dedup, request, now_ns);
    if (leader == NULL) return false;
    if (execution_join(pool, leader, request, now_ns) != OK) return false;
    pool->dedup.joined++;
    return true;
}

void work_submit(struct pool *pool, struct request *request, uint64_t now_ns) {
    request->cold = pool_able(pool) == 0;
    if (join(pool, request, now_ns)) return; /* it needs no run of its own */
    forecast_arrival(&pool->forecast);
    bool unmeetable = !is_meetable(pool, request, now_ns);
    if (request_queue_add(&pool->queue, request, now_ns) != OK) {
        pool_refuse_new(pool, request, MEMORY_EXHAUSTED, now_ns);
        return;
    }
    enum outcome outcome = second_look(pool, request, unmeetable, now_ns);
    if (outcome != OK)
        pool_answer(pool, request, outcome, SOURCE_GATEWAY, now_ns);
    else if (pool->options->queue.dedup_ns > 0)
        dedup_lead(&pool->dedup, request, now_ns);
}

/* --- leaving early ----------------------------------------------------------------------------- */

/* Takes it from where it is; its run goes on if somebody else waits for the same. */
static void withdraw(struct pool *pool, struct request *request, enum reason why, uint64_t stop_ns,
                     uint64_t now_ns) {
    if (request->state == REQUEST_RUNNING && !execution_has_heir(request))
        dispatch_withdraw(pool, request, why, stop_ns, now_ns);
}

void work_cancel(struct pool *pool, uint64_t id, enum cancel_cause cause, uint64_t now_ns) {
    struct request *request = request_queue_find(&pool->queue, id);
    if (request == NULL) return;
    withdraw(pool, request, REASON_CANCEL, clock_add(now_ns, pool->options->timeouts.cancel_ns),
             now_ns);
    request_explain(request, "%s",
                    cause == CANCEL_CLIENT_GONE ? "the client left" : "cancelled on request");
    pool->totals.cancelled++;
    execution_leave(pool, request, CANCELLED, SOURCE_GATEWAY, now_ns);
}

/* What is staged, or was until it was taken back just now, has waited all the time. */
static bool has_begun(const struct pool *pool, const struct request *request) {
    const struct request *leader = request->leader != NULL ? request->leader : request;
    if (leader->state != REQUEST_RUNNING) return false;
    struct slot *slot = &pool->slots[leader->slot];
    if (slot->staged == 0) return true;
    const struct assignment *assignment = slot_find_request(slot, leader);
    return assignment == NULL || !assignment->staged;
}

static void expire(struct pool *pool, struct request *request, uint64_t now_ns) {
    enum outcome outcome = DEADLINE_EXCEEDED;
    double limit_s = (double)(request->deadline_ns - request->arrived_ns) / (double)CLOCK_S;
    withdraw(pool, request, REASON_DEADLINE, now_ns + DEADLINE_GRACE_NS, now_ns);
    if (has_begun(pool, request)) {
        request_explain(request, "still running after %.3f s", limit_s);
    } else if (pool->wish == WISH_PAUSE) {
        outcome = PAUSED;
        request_explain(request, "the pool is paused and %.3f s have passed", limit_s);
    } else {
        request_explain(request, "still waiting after %.3f s", limit_s);
    }
    pool->totals.expired++;
    execution_leave(pool, request, outcome, SOURCE_GATEWAY, now_ns);
}

/* One more leaves without having been at a slot. False: no more in this round. */
static bool may_leave(struct pool *pool) {
    if (pool->answers_left == 0) return false;
    pool->answers_left--;
    return true;
}

static void refuse_some(struct pool *pool, uint64_t now_ns) {
    const struct mass_refusal *refusing = &pool->refusing;
    struct request *request = NULL;
    while (refusing->outcome != OK) {
        request = request_queue_oldest(&pool->queue);
        if (request == NULL || request->arrival > refusing->last) break;
        if (!may_leave(pool)) return;
        request_explain(request, "%s", refusing->why);
        request->retry_after_ns = refusing->until_ns > now_ns ? refusing->until_ns - now_ns : 0;
        pool->breaker.rejections += refusing->outcome == CIRCUIT_OPEN;
        execution_end(pool, request, refusing->outcome, SOURCE_GATEWAY, now_ns);
    }
    pool->refusing.outcome = OK;
}

bool work_dismiss(struct pool *pool, uint64_t now_ns) {
    struct request *request;
    pool->answers_left = WORK_A_ROUND;
    while ((request = request_queue_expired(&pool->queue, now_ns)) != NULL && may_leave(pool))
        expire(pool, request, now_ns);
    refuse_some(pool, now_ns);
    return request == NULL && pool->refusing.outcome == OK;
}

/* --- and back ------------------------------------------------------------------------------------ */

static void retry(struct pool *pool, struct request *request, uint64_t now_ns) {
    request_queue_retry(&pool->queue, request, now_ns - request->began_ns, now_ns);
    request->began_ns = 0; /* that run is paid for: what it waits from here on is no run */
    pool->totals.retried++;
}

/* It was told a deadline that has passed, and somebody has joined since who has longer: giving up is right
 * of the worker and no answer to them. */
static bool gave_up_too_early(const struct request *request, uint64_t now_ns) {
    return request->run_deadline_ns <= now_ns && execution_deadline(request) > now_ns;
}

static void answer_error(struct pool *pool, struct slot *slot, struct request *request,
                         const struct transport_event *event, uint64_t now_ns) {
    if (gave_up_too_early(request, now_ns)) {
        dispatch_verdict(pool, request, BREAKER_NEUTRAL, now_ns);
        retry(pool, request, now_ns);
        return;
    }
    static const enum outcome outcomes[] = {[WORKER_SAID_FAILED] = WORKER_ERROR,
                                            [WORKER_SAID_INVALID] = INVALID_REQUEST,
                                            [WORKER_SAID_UNSUPPORTED] = UNSUPPORTED_MEDIA_TYPE,
                                            [WORKER_SAID_CANCELLED] = CANCELLED,
                                            [WORKER_ANSWER_LOST] = MEMORY_EXHAUSTED};
    request_explain(request, "%s", event->text);
    bool failed = event->error == WORKER_SAID_FAILED;
    if (failed) {
        slot->errors++;
        slot_blame(slot, event->text);
    }
    dispatch_verdict(pool, request, failed ? BREAKER_FAILURE : BREAKER_NEUTRAL, now_ns);
    execution_end(pool, request, outcomes[event->error],
                  event->error == WORKER_ANSWER_LOST ? SOURCE_GATEWAY : SOURCE_WORKER, now_ns);
}

static void answer_reply(struct pool *pool, struct request *request,
                         const struct transport_event *event, uint64_t now_ns) {
    request->reply = *event->reply;
    *event->reply = (struct reply){0};
    dispatch_verdict(pool, request, BREAKER_SUCCESS, now_ns);
    execution_end(pool, request, OK, SOURCE_WORKER, now_ns);
}

bool work_replied(struct pool *pool, struct slot *slot, const struct transport_event *event,
                  uint64_t now_ns) {
    struct assignment *assignment = event->id == 0 ? NULL : slot_find(slot, event->id);
    if (assignment == NULL) return false;
    struct request *request = assignment->request;
    if (assignment->given_up_ns > 0)
        histogram_add(&pool->stats.cancel, now_ns - assignment->given_up_ns);
    recent_add(slot->runs, now_ns - assignment->began_ns, now_ns);
    dispatch_release(pool, slot, assignment, now_ns);
    slot->requests++;
    slot->run_requests++;
    slot->failures = 0;
    dispatch_vacate(pool, slot, now_ns);
    if (request == NULL) return true; /* answered early: nobody waits for this any more */
    if (event->kind == TRANSPORT_REPLY)
        answer_reply(pool, request, event, now_ns);
    else
        answer_error(pool, slot, request, event, now_ns);
    return true;
}

/* --- the worker is gone ------------------------------------------------------------------------------ */

static void retry_or_answer(struct pool *pool, struct request *request, bool alone,
                            enum blame blame, const char *what, uint64_t now_ns) {
    uint32_t crashes = pool->options->retry_crashes;
    bool to_blame = blame == BLAME_REQUEST;
    if (alone && to_blame) burial_mark(request, request->slot, what, now_ns);
    if (!alone) request->solo = true;
    bool again = crashes > 0 && request->marks <= crashes &&
                 request->attempts <= crashes + UNMARKED_ATTEMPTS;
    pool->totals.crashed++;
    if (again) {
        retry(pool, request, now_ns);
        return;
    }
    enum outcome outcome = request->marks >= 2 ? QUARANTINED : WORKER_CRASHED;
    request_explain(request, "%s/%u: %s (attempt %u)", pool->options->name, request->slot, what,
                    request->attempts);
    if (outcome == QUARANTINED) burial_bury(pool, request, now_ns);
    execution_end(pool, request, outcome, SOURCE_WORKER, now_ns);
}

void work_lost(struct pool *pool, struct slot *slot, enum blame blame, const char *what,
               uint64_t now_ns) {
    dispatch_salvage(pool, slot, now_ns);
    bool alone = slot->inflight == 1;
    /* However many it had: one worker has failed once. */
    enum breaker_result result = blame == BLAME_REQUEST ? BREAKER_FAILURE : BREAKER_NEUTRAL;
    for (uint32_t i = 0; slot->inflight > 0 && i < slot->places; i++) {
        struct assignment assignment = slot->assignments[i];
        if (assignment.id == 0) continue;
        dispatch_release(pool, slot, &slot->assignments[i], now_ns);
        if (assignment.given_up_ns > 0)
            histogram_add(&pool->stats.cancel, now_ns - assignment.given_up_ns);
        if (assignment.request == NULL) continue;
        dispatch_verdict(pool, assignment.request, result, now_ns);
        result = BREAKER_NEUTRAL;
        retry_or_answer(pool, assignment.request, alone, blame, what, now_ns);
    }
}

void work_refuse_waiting(struct pool *pool, enum outcome outcome, const char *why,
                         uint64_t until_ns, uint64_t now_ns) {
    pool->refusing = (struct mass_refusal){
        .outcome = outcome, .until_ns = until_ns, .last = pool->queue.arrivals};
    snprintf(pool->refusing.why, sizeof pool->refusing.why, "%s", why);
    refuse_some(pool, now_ns);
}

void work_abandon(struct pool *pool, uint64_t now_ns) {
    dispatch_recall_all(pool, now_ns);
    work_refuse_waiting(pool, SHUTTING_DOWN, "the gateway stops", 0, now_ns);
    for (uint32_t i = 0; i < pool->slots_count; i++) {
        struct slot *slot = &pool->slots[i];
        for (uint32_t j = 0; slot->inflight > 0 && j < slot->places; j++) {
            struct request *request = slot->assignments[j].request;
            if (request == NULL) continue;
            dispatch_withdraw(pool, request, REASON_DRAIN, now_ns, now_ns);
            request_explain(request, "the gateway stops");
            execution_end(pool, request, SHUTTING_DOWN, SOURCE_GATEWAY, now_ns);
        }
    }
}
