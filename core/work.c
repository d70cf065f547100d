#include "core/work.h"

#include "core/base/clock.h"
#include "core/dispatch.h"
#include "core/execution.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After its own deadline a worker has so long to notice the cancel before it is terminated. */
#define DEADLINE_GRACE_NS CLOCK_S
/* Retries that mark nobody (a kill from outside) end after so many attempts beyond retry.crashes. */
#define UNMARKED_ATTEMPTS 3
/* A request that is let in and then ends just too late has cost a run for nothing: what it needs is taken
 * as this part of the wait longer than estimated, and as half a run. */
#define MARGIN_PART 8
/* A buried body up to this size is named by its digest: half a millisecond of the loop. */
#define DIGEST_BYTES ((size_t)4 * 1024 * 1024)

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
    uint64_t needs_ns = work_needs(pool, request->tenant, request->priority);
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
    forecast_arrival(&pool->forecast);
    if (join(pool, request, now_ns)) return;
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

/* A staged one that is taken back only now has waited all the time. */
static bool has_begun(const struct request *request) {
    return request->state == REQUEST_RUNNING ||
           (request->state == REQUEST_FOLLOWING && request->leader->state == REQUEST_RUNNING);
}

static void expire(struct pool *pool, struct request *request, uint64_t now_ns) {
    enum outcome outcome = DEADLINE_EXCEEDED;
    double limit_s = (double)(request->deadline_ns - request->arrived_ns) / (double)CLOCK_S;
    withdraw(pool, request, REASON_DEADLINE, now_ns + DEADLINE_GRACE_NS, now_ns);
    if (has_begun(request)) {
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

void work_expire(struct pool *pool, uint64_t now_ns) {
    struct request *request;
    while ((request = request_queue_expired(&pool->queue, now_ns)) != NULL)
        expire(pool, request, now_ns);
}

/* --- and back ------------------------------------------------------------------------------------ */

static void answer_error(struct pool *pool, struct slot *slot, struct request *request,
                         const struct transport_event *event, uint64_t now_ns) {
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
    pool->staged -= assignment->staged;
    slot_unassign(slot, assignment);
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

static void mark(struct request *request, uint32_t slot, const char *how, uint64_t now_ns) {
    request->marks++;
    if (request->evidence == NULL) request->evidence = calloc(1, sizeof *request->evidence);
    if (request->evidence == NULL) return; /* the mark counts without its evidence */
    struct request_evidence *evidence = request->evidence;
    if (evidence->count >= QUARANTINE_MARKS)
        memmove(evidence->marks, evidence->marks + 1,
                (QUARANTINE_MARKS - 1) * sizeof evidence->marks[0]);
    uint32_t at = evidence->count < QUARANTINE_MARKS ? evidence->count : QUARANTINE_MARKS - 1;
    evidence->marks[at] = (struct quarantine_mark){.at_ns = now_ns, .slot = slot};
    snprintf(evidence->marks[at].how, sizeof evidence->marks[at].how, "%s", how);
    evidence->count++;
}

static void bury(struct pool *pool, struct request *request, uint64_t now_ns) {
    size_t bytes = request->body != NULL ? request->body->bytes : 0;
    bool known = request->digest[0] != 0 || request->digest[1] != 0;
    if (!known && bytes <= DIGEST_BYTES) dedup_digest(request);
    const struct request_evidence *evidence = request->evidence;
    quarantine_add(&pool->quarantine, request, evidence != NULL ? evidence->marks : NULL,
                   evidence != NULL ? evidence->count : 0, now_ns);
    pool_tell(pool,
              &(struct pool_news){.kind = HAPPENING_QUARANTINE,
                                  .slot = &pool->slots[request->slot],
                                  .request = request,
                                  .why = request->detail,
                                  .number = request->marks},
              now_ns);
}

static void retry_or_answer(struct pool *pool, struct request *request, bool alone,
                            enum blame blame, const char *what, uint64_t now_ns) {
    uint32_t crashes = pool->options->retry_crashes;
    bool to_blame = blame == BLAME_REQUEST;
    if (alone && to_blame) mark(request, request->slot, what, now_ns);
    if (!alone) request->solo = true;
    bool again = crashes > 0 && request->marks <= crashes &&
                 request->attempts <= crashes + UNMARKED_ATTEMPTS && !request->streaming;
    pool->totals.crashed++;
    if (again) {
        request_queue_retry(&pool->queue, request, now_ns - request->began_ns, now_ns);
        request->began_ns = 0; /* that run is paid for: what it waits from here on is no run */
        pool->totals.retried++;
        return;
    }
    enum outcome outcome = request->marks >= 2 ? QUARANTINED : WORKER_CRASHED;
    request_explain(request, "%s/%u: %s (attempt %u)", pool->options->name, request->slot, what,
                    request->attempts);
    if (outcome == QUARANTINED) bury(pool, request, now_ns);
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
        slot_unassign(slot, &slot->assignments[i]);
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
    struct request *request;
    while ((request = request_queue_oldest(&pool->queue)) != NULL) {
        request_explain(request, "%s", why);
        request->retry_after_ns = until_ns > now_ns ? until_ns - now_ns : 0;
        execution_end(pool, request, outcome, SOURCE_GATEWAY, now_ns);
    }
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
