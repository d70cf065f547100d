#include "core/work.h"

#include "core/base/clock.h"
#include "core/policy/pick.h"

#include <assert.h>

/* After its own deadline a worker has so long to notice the cancel before it is terminated. */
#define DEADLINE_GRACE_NS CLOCK_S
/* Retries that mark nobody (a kill from outside) end after so many attempts beyond retry.crashes. */
#define UNMARKED_ATTEMPTS 3

void work_submit(struct pool *pool, struct request *request, uint64_t now_ns) {
    request->cold = pool_able(pool) == 0;
    request_queue_add(&pool->queue, request);
    bool hopeless = request->cold && pool_coming(pool) == 0 && pool->backoff_until_ns > now_ns;
    if (hopeless) { /* admitted just before the load failed */
        request->retry_after_ns = pool->backoff_until_ns - now_ns;
        pool_answer(pool, request, SPAWN_FAILED, SOURCE_GATEWAY, now_ns);
    } else if (pool_is_given_up(pool)) {
        pool_answer(pool, request, NO_WORKERS, SOURCE_GATEWAY, now_ns);
    }
}

/* --- leaving early ----------------------------------------------------------------------------- */

static struct slot *slot_of(struct pool *pool, const struct request *request) {
    assert(request->slot < pool->options->slots_max);
    return &pool->slots[request->slot];
}

/* Takes the request from the worker that has it, which is told to stop and has until stop_ns. */
static void detach(struct pool *pool, struct request *request, enum reason why, uint64_t stop_ns,
                   uint64_t now_ns) {
    struct slot *slot = slot_of(pool, request);
    struct assignment *assignment = slot_find(slot, request->id);
    assert(assignment != NULL && assignment->request == request);
    assignment->request = NULL;
    assignment->given_up_ns = now_ns;
    assignment->stop_ns = stop_ns;
    assignment->stop_why = why;
    struct transport *transport = pool->transports[slot->index];
    transport->calls->cancel(transport, request->id);
}

void work_cancel(struct pool *pool, uint64_t id, enum cancel_cause cause, uint64_t now_ns) {
    struct request *request = request_queue_find(&pool->queue, id);
    if (request == NULL) return;
    if (request->state == REQUEST_RUNNING)
        detach(pool, request, REASON_CANCEL, clock_add(now_ns, pool->options->timeouts.cancel_ns),
               now_ns);
    request_explain(request, "%s",
                    cause == CANCEL_CLIENT_GONE ? "the client left" : "cancelled on request");
    pool->cancelled++;
    pool_answer(pool, request, CANCELLED, SOURCE_GATEWAY, now_ns);
}

static void expire(struct pool *pool, struct request *request, uint64_t now_ns) {
    enum outcome outcome = DEADLINE_EXCEEDED;
    double limit_s = (double)(request->deadline_ns - request->arrived_ns) / (double)CLOCK_S;
    if (request->state == REQUEST_RUNNING) {
        detach(pool, request, REASON_DEADLINE, now_ns + DEADLINE_GRACE_NS, now_ns);
        request_explain(request, "still running after %.3f s", limit_s);
    } else if (pool->wish == WISH_PAUSE) {
        outcome = PAUSED;
        request_explain(request, "the pool is paused and %.3f s have passed", limit_s);
    } else {
        request_explain(request, "still waiting after %.3f s", limit_s);
    }
    pool->expired++;
    pool_answer(pool, request, outcome, SOURCE_GATEWAY, now_ns);
}

void work_expire(struct pool *pool, uint64_t now_ns) {
    struct request *request;
    while ((request = request_queue_expired(&pool->queue, now_ns)) != NULL)
        expire(pool, request, now_ns);
}

/* --- to a slot ----------------------------------------------------------------------------------- */

static void occupy(struct slot *slot, uint64_t now_ns) {
    bool moved = true;
    if (slot->record.state == WORKER_IDLE)
        moved = worker_state_move(&slot->record, WORKER_READY, REASON_REQUEST, now_ns);
    if (slot->record.state == WORKER_READY)
        moved = worker_state_move(&slot->record, WORKER_PROCESSING, REASON_REQUEST, now_ns);
    assert(moved && slot->record.state == WORKER_PROCESSING);
    slot->quiet_ns = CLOCK_NEVER;
}

/* The last piece of work is gone: ready again. */
static void vacate(struct slot *slot, uint64_t now_ns) {
    if (slot->inflight > 0 || slot->record.state != WORKER_PROCESSING) return;
    bool moved = worker_state_move(&slot->record, WORKER_READY, REASON_ANSWERED, now_ns);
    assert(moved);
    slot->last_used_ns = now_ns;
    slot->quiet_ns = now_ns + SLOT_QUIET_NS;
}

static void hand_over(struct pool *pool, struct slot *slot, struct request *request,
                      uint64_t now_ns) {
    request_queue_take(&pool->queue, request);
    request->slot = slot->index;
    request->attempts++;
    request->began_ns = now_ns;
    struct assignment *assignment = slot_assign(slot, request, now_ns);
    occupy(slot, now_ns);
    struct transport *transport = pool->transports[slot->index];
    enum outcome outcome = transport->calls->send(transport, request, now_ns);
    if (outcome == OK) return;
    slot_unassign(slot, assignment);
    vacate(slot, now_ns);
    request_explain(request, "the request could not be handed to %s/%u", pool->options->name,
                    slot->index);
    pool_answer(pool, request, outcome, SOURCE_GATEWAY, now_ns);
}

void work_dispatch(struct pool *pool, uint64_t now_ns) {
    if (pool->wish == WISH_PAUSE) return;
    struct request *request;
    while ((request = request_queue_first(&pool->queue)) != NULL) {
        struct slot *slot = pick_least_loaded(pool->slots, pool->options->slots_max, request->solo);
        if (slot == NULL) return;
        hand_over(pool, slot, request, now_ns);
    }
}

/* --- and back ------------------------------------------------------------------------------------ */

static void answer_error(struct pool *pool, struct slot *slot, struct request *request,
                         const struct transport_event *event, uint64_t now_ns) {
    static const enum outcome outcomes[] = {[WORKER_SAID_FAILED] = WORKER_ERROR,
                                            [WORKER_SAID_INVALID] = INVALID_REQUEST,
                                            [WORKER_SAID_UNSUPPORTED] = UNSUPPORTED_MEDIA_TYPE,
                                            [WORKER_SAID_CANCELLED] = CANCELLED};
    request_explain(request, "%s", event->text);
    if (event->error == WORKER_SAID_FAILED) {
        slot->errors++;
        slot_blame(slot, event->text);
    }
    pool_answer(pool, request, outcomes[event->error], SOURCE_WORKER, now_ns);
}

bool work_replied(struct pool *pool, struct slot *slot, const struct transport_event *event,
                  uint64_t now_ns) {
    struct assignment *assignment = event->id == 0 ? NULL : slot_find(slot, event->id);
    if (assignment == NULL) return false;
    struct request *request = assignment->request;
    if (assignment->given_up_ns > 0)
        histogram_add(&pool->stats.cancel, now_ns - assignment->given_up_ns);
    slot_unassign(slot, assignment);
    slot->requests++;
    slot->failures = 0;
    vacate(slot, now_ns);
    if (request == NULL) return true; /* answered early: nobody waits for this any more */
    if (event->kind == TRANSPORT_REPLY) {
        request->reply = *event->reply;
        *event->reply = (struct reply){0};
        pool_answer(pool, request, OK, SOURCE_WORKER, now_ns);
    } else {
        answer_error(pool, slot, request, event, now_ns);
    }
    return true;
}

/* --- the worker is gone ------------------------------------------------------------------------------ */

static void retry_or_answer(struct pool *pool, struct request *request, bool alone,
                            enum blame blame, const char *what, uint64_t now_ns) {
    uint32_t crashes = pool->options->retry_crashes;
    if (alone && blame == BLAME_REQUEST) request->marks++;
    if (!alone) request->solo = true;
    bool again = crashes > 0 && request->marks <= crashes &&
                 request->attempts <= crashes + UNMARKED_ATTEMPTS;
    pool->crashed++;
    if (again) {
        request_queue_return(&pool->queue, request);
        pool->retried++;
        return;
    }
    enum outcome outcome = request->marks >= 2 ? QUARANTINED : WORKER_CRASHED;
    request_explain(request, "%s/%u: %s (attempt %u)", pool->options->name, request->slot, what,
                    request->attempts);
    pool_answer(pool, request, outcome, SOURCE_WORKER, now_ns);
}

void work_lost(struct pool *pool, struct slot *slot, enum blame blame, const char *what,
               uint64_t now_ns) {
    bool alone = slot->inflight == 1;
    for (uint32_t i = 0; i < slot->capacity; i++) {
        struct assignment assignment = slot->assignments[i];
        if (assignment.id == 0) continue;
        slot_unassign(slot, &slot->assignments[i]);
        if (assignment.given_up_ns > 0)
            histogram_add(&pool->stats.cancel, now_ns - assignment.given_up_ns);
        if (assignment.request != NULL)
            retry_or_answer(pool, assignment.request, alone, blame, what, now_ns);
    }
}

void work_refuse_waiting(struct pool *pool, enum outcome outcome, const char *why,
                         uint64_t now_ns) {
    struct request *request;
    while ((request = request_queue_first(&pool->queue)) != NULL) {
        request_explain(request, "%s", why);
        if (pool->backoff_until_ns > now_ns)
            request->retry_after_ns = pool->backoff_until_ns - now_ns;
        pool_answer(pool, request, outcome, SOURCE_GATEWAY, now_ns);
    }
}

void work_abandon(struct pool *pool, uint64_t now_ns) {
    work_refuse_waiting(pool, SHUTTING_DOWN, "the gateway stops", now_ns);
    for (uint32_t i = 0; i < pool->options->slots_max; i++) {
        struct slot *slot = &pool->slots[i];
        for (uint32_t j = 0; j < slot->capacity; j++) {
            struct request *request = slot->assignments[j].request;
            if (request == NULL) continue;
            detach(pool, request, REASON_DRAIN, now_ns, now_ns);
            request_explain(request, "the gateway stops");
            pool_answer(pool, request, SHUTTING_DOWN, SOURCE_GATEWAY, now_ns);
        }
    }
}
