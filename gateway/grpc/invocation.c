#include "gateway/grpc/invocation.h"

#include "core/base/clock.h"
#include "core/base/uninitialized.h"
#include "gateway/grpc/invoke_request.h"
#include "gateway/grpc/invoke_response.h"

#include <assert.h>

/* The end of a call so close to its deadline is the deadline's doing: the pool sees it by itself. */
#define DEADLINE_SLACK_NS (20 * CLOCK_MS)

/* --- the payload --- */

static enum outcome on_piece(void *owner, const uint8_t *data, size_t bytes) {
    return body_append(owner, data, bytes);
}

static enum outcome copy_payload(struct body **out, const struct call *call,
                                 struct message_extent payload) {
    enum outcome outcome = body_create(out, payload.bytes);
    if (outcome != OK) return outcome;
    outcome = message_pieces(call->message, payload, on_piece, *out);
    if (outcome == OK) outcome = body_seal(*out);
    if (outcome == OK) return OK;
    body_unref(*out);
    *out = NULL;
    return outcome;
}

/* The one copy of the payload, charged to its pool until its last holder lets go. */
static enum outcome take_payload(struct body **out, const struct call *call,
                                 struct message_extent payload, struct refused *refused) {
    struct grpc_front *front = call->queue->front;
    *out = NULL;
    if (payload.bytes == 0) return OK;
    enum outcome outcome = gate_charge(front->gate, call->pool, payload.bytes);
    if (outcome != OK) {
        refused->detail = "the pool holds as many bytes as queue.bytes allows";
        return outcome;
    }
    outcome = copy_payload(out, call, payload);
    if (outcome != OK) {
        gate_uncharge(front->gate, call->pool, payload.bytes);
        return outcome;
    }
    (*out)->released = body_account_give_back;
    (*out)->released_owner = &front->accounts[call->pool];
    return OK;
}

/* --- to the pool --- */

/* On the pool's loop. */
static void on_done(struct request *request) {
    struct call *call = request->owner;
    call->answer = request;
    call_queue_answered(call->queue, call);
}

static uint64_t expiry_of(const struct call *call) {
    const struct pool_options *pool = gate_pool(call->queue->front->gate, call->pool);
    if (call->deadline_ns == CLOCK_NEVER)
        return clock_add(call->arrived_ns, pool->timeouts.request_ns);
    uint64_t latest_ns = clock_add(call->arrived_ns, pool->timeouts.max_ns);
    return call->deadline_ns < latest_ns ? call->deadline_ns : latest_ns;
}

static const char *tenant_of(const struct call *call, const struct invoke_request *asked) {
    if (call->grant.tenant != NULL) return call->grant.tenant;
    return call->queue->front->trust_tenant ? asked->tenant : NULL;
}

static enum outcome make_request(struct request **out, struct call *call,
                                 const struct invoke_request *asked) {
    char traceparent[TRACEPARENT_BYTES];
    const struct request_texts texts = {
        .request_id = call->id,
        .content_type = asked->content_type,
        .operation = asked->operation,
        .tenant = tenant_of(call, asked),
        .batch_key = asked->batch_key,
        .traceparent = traceparent_write(&call->course.trace, traceparent),
        .metadata = asked->metadata,
        .metadata_count = asked->metadata_count,
    };
    enum outcome outcome = request_create(out, &texts);
    if (outcome != OK) return outcome;
    (*out)->pool = call->pool;
    (*out)->priority = asked->priority;
    (*out)->arrived_ns = call->arrived_ns;
    (*out)->deadline_ns = call->expires_ns;
    (*out)->done = on_done;
    (*out)->owner = call;
    return OK;
}

static enum outcome submit(struct call *call, const struct invoke_request *asked,
                           struct refused *refused) {
    struct gate *gate = call->queue->front->gate;
    struct request *request;
    uint32_t pool;
    if (!gate_hold_pool(gate, asked->pool, &pool)) return NO_SUCH_POOL;
    call->pool = pool;
    call->expires_ns = expiry_of(call);
    request_course_towards(&call->course, asked->pool, tenant_of(call, asked), asked->priority);
    const struct gate_ask ask = {.pool = pool,
                                 .priority = asked->priority,
                                 .tenant = tenant_of(call, asked),
                                 .deadline_ns = call->expires_ns};
    enum outcome outcome = gate_would_admit(gate, &ask, &refused->retry_after_ns);
    if (outcome == OK) outcome = make_request(&request, call, asked);
    if (outcome != OK) return outcome;
    outcome = take_payload(&request->body, call, asked->payload, refused);
    if (outcome == OK) {
        if (call->message != NULL) grpc_byte_buffer_destroy(call->message);
        call->message = NULL;
        outcome = gate_submit(gate, request, &call->request_id, &refused->retry_after_ns);
    }
    if (outcome != OK)
        request_free(request);
    else
        live_request_submitted(&call->live, call->request_id);
    return outcome;
}

/* The library hands out a call without a message when it was cut off before its end had come. */
static enum outcome read_and_submit(struct call *call, struct refused *refused) {
    UNINITIALIZED struct invoke_request asked;
    if (call->message == NULL) {
        refused->detail = "the call ended before its message had come";
        return CANCELLED;
    }
    if (invoke_request_read(&asked, call->message) != OK) {
        refused->detail = asked.flaw;
        return INVALID_REQUEST;
    }
    asked.priority = access_priority(&call->grant, asked.priority);
    call_name(call, asked.request_id);
    return submit(call, &asked, refused);
}

/* The call has nothing to do with its pool any more. */
static void conclude(struct call *call, enum outcome outcome) {
    struct gate *gate = call->queue->front->gate;
    bool known = call->pool != GATE_NO_POOL;
    metrics_answered(call->queue->front->metrics, known ? gate_pool(gate, call->pool)->name : "",
                     FRONTEND_GRPC, outcome);
    if (known) gate_let_go_pool(gate, call->pool);
}

void invocation_begin(struct call *call) {
    struct refused refused = {.detail = NULL};
    call->pool = GATE_NO_POOL;
    refused.outcome = read_and_submit(call, &refused);
    if (refused.outcome == OK) return; /* invocation_answered comes, on this thread */
    conclude(call, refused.outcome);
    call_refuse(call, &refused);
}

/* --- and back --- */

void invocation_left(struct call *call) {
    if (call->expires_ns <= clock_add(clock_now_ns(), DEADLINE_SLACK_NS)) return;
    gate_cancel(call->queue->front->gate, call->pool, call->request_id, CANCEL_CLIENT_GONE);
}

static void reply(struct call *call, const struct request *request) {
    const struct pool_options *pool = gate_pool(call->queue->front->gate, call->pool);
    grpc_byte_buffer *message = NULL;
    struct refused refused = {
        .outcome = request->outcome,
        .detail = request->detail,
        .retry_after_ns = request->retry_after_ns,
    };
    if (request->outcome == OK)
        refused.outcome = invoke_response_make(&message, request, pool->name);
    bool missed = refused.outcome == OK && call->is_closed; /* nobody is there to have it */
    conclude(call, missed ? CANCELLED : refused.outcome);
    if (message != NULL)
        call_reply(call, message);
    else
        call_refuse(call, &refused);
}

void invocation_answered(struct call *call) {
    struct request *request = call->answer;
    assert(call->phase == CALL_OPEN && request != NULL);
    call->answer = NULL;
    request_course_answered(&call->course, request);
    reply(call, request);
    request_free(request);
}
