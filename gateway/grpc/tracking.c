#include "gateway/grpc/tracking.h"

#include "core/base/clock.h"
#include "core/base/uninitialized.h"
#include "core/gate.h"
#include "gateway/grpc/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY_KNOWS (-1.0)

struct tracked {
    struct look look;
    char name[REQUEST_ID_LONGEST + 1];
};

/* --- the message --- */

static char *time_text(uint64_t monotonic_ns, char out[TRACKED_TIME_BYTES]) {
    static_assert(TRACKED_TIME_BYTES >= CLOCK_TEXT_BYTES, "a time fits");
    out[0] = '\0';
    if (monotonic_ns != 0) clock_text(monotonic_ns, out);
    return out;
}

static double wait_ms(const struct look *look) {
    if (look->state == LOOK_DONE) return 0;
    if (look->expected_wait_ns == CLOCK_NEVER) return NOBODY_KNOWS;
    return (double)(look->expected_wait_ns / CLOCK_US) / 1e3;
}

void request_status_fill(struct request_status *status, struct look *look) {
    Poolgate__V1__RequestStatus *message = &status->message;
    bool done = look->state == LOOK_DONE;
    poolgate__v1__request_status__init(message);
    poolgate__v1__timing__init(&status->timing);
    message->request_id = look->request_id;
    message->state = (char *)look_state_name(look->state);
    message->pool = look->pool;
    message->priority = (char *)priority_name(look->priority);
    message->place = look->place;
    message->expected_wait_ms = wait_ms(look);
    message->blocked_by = (char *)look_block_name(look->blocked_by);
    message->outcome = done ? (char *)outcome_code(look->outcome) : "";
    message->tenant = look->tenant;
    message->attempts = look->attempts;
    message->shared = look->shared;
    message->arrived = time_text(look->arrived_ns, status->arrived);
    message->began = time_text(look->began_ns, status->began);
    message->ended = time_text(look->ended_ns, status->ended);
    status->timing.queue_us = look->queue_ns / CLOCK_US;
    status->timing.cold_us = look->cold_ns / CLOCK_US;
    status->timing.run_us = look->run_ns / CLOCK_US;
    status->timing.attempts = look->attempts;
    if (done) message->timing = &status->timing;
}

/* --- the question --- */

/* On the pool's loop. */
static void on_answered(struct question *question) {
    struct call *call = question->owner;
    call_queue_answered(call->queue, call);
}

static void refuse(struct call *call, enum outcome outcome, const char *detail) {
    free(call->tracked);
    call->tracked = NULL;
    call_refuse(call, &(struct refused){.outcome = outcome, .detail = detail});
}

static struct tracked *begin(struct call *call) {
    UNINITIALIZED struct message_page page;
    const char *flaw, *name = message_only_text(call->message, &page, TEXT_REQUEST_ID, &flaw);
    if (name == NULL) {
        refuse(call, INVALID_REQUEST, flaw);
        return NULL;
    }
    size_t bytes = strlen(name);
    bool fits = bytes <= REQUEST_ID_LONGEST; /* no request has a longer one */
    struct tracked *tracked = fits ? calloc(1, sizeof *tracked) : NULL;
    if (tracked == NULL) {
        refuse(call, fits ? MEMORY_EXHAUSTED : NO_SUCH_REQUEST, NULL);
        return NULL;
    }
    memcpy(tracked->name, name, bytes + 1);
    tracked->look = (struct look){.question = {.answered = on_answered, .owner = call},
                                  .name = tracked->name,
                                  .for_tenant = access_sees_only(&call->grant)};
    tracked->look.id = live_requests_find(call->queue->front->calls.live, tracked->name);
    call->tracked = tracked;
    return tracked;
}

static void refuse_unless_asked(struct call *call, enum outcome asked) {
    if (asked != OK) refuse(call, asked, asked == QUEUE_FULL ? "too many ask at once" : NULL);
}

void tracking_look(struct call *call) {
    struct tracked *tracked = begin(call);
    if (tracked != NULL)
        refuse_unless_asked(call, gate_look(call->queue->front->gate, &tracked->look));
}

void tracking_cancel(struct call *call) {
    struct tracked *tracked = begin(call);
    if (tracked != NULL)
        refuse_unless_asked(call, gate_stop(call->queue->front->gate, &tracked->look));
}

void tracking_answered(struct call *call) {
    struct tracked *tracked = call->tracked;
    struct request_status status;
    call->tracked = NULL; /* the call may be gone once it is answered */
    if (tracked->look.question.outcome == OK) {
        request_status_fill(&status, &tracked->look);
        call_reply_packed(call, &status.message.base);
    } else {
        call_refuse(call, &(struct refused){.outcome = tracked->look.question.outcome});
    }
    free(tracked);
}
