#include "gateway/http/invoke.h"

#include "core/base/clock.h"
#include "gateway/http/reply.h"
#include "gateway/http/result.h"
#include "gateway/http/urgency.h"
#include "gateway/text_rules.h"
#include "gateway/traceparent.h"

#include <assert.h>
#include <string.h>

/* What nobody means: more is a mistake of the client's, less is bounded by timeouts.max. 31 years. */
#define MOST_MS UINT64_C(1000000000000)

bool invoke_timeout(const char *field, uint64_t max_ns, uint64_t *timeout_ns) {
    uint64_t ms = 0, most_ms = max_ns / CLOCK_MS;
    if (*field == '\0') return false;
    for (; *field != '\0'; field++) {
        if (*field < '0' || *field > '9' || ms > MOST_MS) return false;
        ms = ms * 10 + (uint64_t)(*field - '0');
    }
    if (ms > MOST_MS) return false;
    *timeout_ns = ms < most_ms ? ms * CLOCK_MS : max_ns;
    return ms > 0;
}

/* --- the headers --- */

static void read_priority(struct exchange *exchange) {
    struct invoke *invoke = &exchange->invoke;
    invoke->priority = urgency_priority(exchange->headers.urgency);
    if (exchange->headers.priority != NULL)
        invoke->priority = priority_from_name(exchange->headers.priority);
    if (invoke->priority == PRIORITY_COUNT)
        exchange_refuse(exchange, INVALID_REQUEST,
                        "Poolgate-Priority is none of critical, high, normal, low, batch");
    invoke->priority = access_priority(&exchange->grant, invoke->priority);
}

static void read_timeout(struct exchange *exchange, const struct pool_options *pool) {
    uint64_t timeout_ns = pool->timeouts.request_ns;
    const char *field = exchange->headers.timeout_ms;
    if (field != NULL && !invoke_timeout(field, pool->timeouts.max_ns, &timeout_ns))
        exchange_refuse(exchange, INVALID_REQUEST,
                        "Poolgate-Timeout-Ms is not a whole number of milliseconds from 1 to "
                        "1000000000000");
    exchange->invoke.deadline_ns = clock_add(exchange->arrived_ns, timeout_ns);
}

static void check_texts(struct exchange *exchange) {
    const struct headers *headers = &exchange->headers;
    const struct {
        enum client_text which;
        const char *text;
    } texts[] = {
        {TEXT_CONTENT_TYPE, headers->content_type},
        {TEXT_OPERATION, headers->operation},
        {TEXT_TENANT, headers->tenant},
        {TEXT_BATCH_KEY, headers->batch_key},
        {TEXT_REQUEST_ID, headers->request_id},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *text = texts[i].text;
        const char *flaw = text == NULL ? NULL : text_flaw(texts[i].which, text, strlen(text));
        if (flaw != NULL) exchange_refuse(exchange, INVALID_REQUEST, flaw);
    }
}

/* The key's; the client's own word where no key names one and it counts; else NULL. */
static const char *tenant_of(const struct exchange *exchange) {
    if (exchange->grant.tenant != NULL) return exchange->grant.tenant;
    return exchange_port(exchange)->trust_tenant ? exchange->headers.tenant : NULL;
}

static void on_begin(struct exchange *exchange) {
    struct front *front = exchange->front;
    struct invoke *invoke = &exchange->invoke;
    uint32_t pool;
    if (!gate_hold_pool(front->gate, exchange->match.pool, &pool)) {
        exchange_refuse(exchange, NO_SUCH_POOL, NULL);
        return;
    }
    invoke->pool = pool;
    check_texts(exchange);
    read_priority(exchange);
    request_course_towards(&exchange->course, exchange->match.pool, tenant_of(exchange),
                           invoke->priority);
    read_timeout(exchange, gate_pool(front->gate, pool));
    if (exchange->headers.hygiene.content_length > front->config->http.max_body)
        exchange_refuse(exchange, PAYLOAD_TOO_LARGE, "the body is longer than http.max_body");
    if (exchange->refusal.outcome != OK) return;
    uint64_t retry_after_ns = 0;
    const struct gate_ask ask = {.pool = pool,
                                 .priority = invoke->priority,
                                 .tenant = tenant_of(exchange),
                                 .deadline_ns = invoke->deadline_ns};
    enum outcome outcome = gate_would_admit(front->gate, &ask, &retry_after_ns);
    if (outcome == OK) return;
    exchange_refuse(exchange, outcome, NULL);
    exchange->refusal.retry_after_ns = retry_after_ns;
}

/* --- the body --- */

/* Drops what had come so far, with its charge. */
static void refuse_body(struct exchange *exchange, enum outcome outcome, const char *detail) {
    exchange_refuse(exchange, outcome, detail);
    body_unref(exchange->invoke.body);
    exchange->invoke.body = NULL;
}

static enum outcome open_body(struct exchange *exchange) {
    struct invoke *invoke = &exchange->invoke;
    size_t expected = (size_t)exchange->headers.hygiene.content_length;
    enum outcome outcome = body_create(&invoke->body, expected);
    if (outcome != OK) return outcome;
    invoke->body->released = body_account_give_back;
    invoke->body->released_owner = &exchange->front->accounts[invoke->pool];
    return OK;
}

static void on_body(struct exchange *exchange, const char *data, size_t bytes) {
    struct front *front = exchange->front;
    struct invoke *invoke = &exchange->invoke;
    if (invoke->body == NULL && open_body(exchange) != OK) {
        refuse_body(exchange, MEMORY_EXHAUSTED, NULL);
        return;
    }
    if (bytes > front->config->http.max_body - invoke->body->bytes) {
        refuse_body(exchange, PAYLOAD_TOO_LARGE, "the body is longer than http.max_body");
        return;
    }
    if (gate_charge(front->gate, invoke->pool, bytes) != OK) {
        refuse_body(exchange, QUEUE_FULL, "the pool holds as many bytes as queue.bytes allows");
        return;
    }
    if (body_append(invoke->body, data, bytes) == OK) return;
    gate_uncharge(front->gate, invoke->pool, bytes);
    refuse_body(exchange, MEMORY_EXHAUSTED, NULL);
}

/* --- to the pool and back --- */

/* On the pool's loop. There is a place for every connection, and a connection has one request. */
static void on_done(struct request *request) {
    const struct exchange *exchange = request->owner;
    enum outcome sent = channel_try_put(
        exchange->front->channel, (struct message){.kind = FRONT_ANSWERED, .pointer = request});
    assert(sent == OK);
}

static enum outcome make_request(struct exchange *exchange, struct request **out) {
    const struct headers *headers = &exchange->headers;
    struct invoke *invoke = &exchange->invoke;
    char traceparent[TRACEPARENT_BYTES];
    const struct request_texts texts = {
        .request_id = exchange->live.id,
        .content_type = headers->content_type,
        .operation = headers->operation,
        .tenant = tenant_of(exchange),
        .batch_key = headers->batch_key,
        .traceparent = traceparent_write(&exchange->course.trace, traceparent),
    };
    enum outcome outcome = request_create(out, &texts);
    if (outcome != OK) return outcome;
    struct request *request = *out;
    request->pool = invoke->pool;
    request->priority = invoke->priority;
    request->arrived_ns = exchange->arrived_ns;
    request->deadline_ns = invoke->deadline_ns;
    request->body = invoke->body;
    request->done = on_done;
    request->home = &exchange->front->home;
    request->owner = exchange;
    invoke->body = NULL;
    return OK;
}

/* Suspending after the hand-over is safe although `done` may already have run: it only posts to this
 * thread's channel, which is not read before we return. */
static enum outcome submit(struct exchange *exchange) {
    struct invoke *invoke = &exchange->invoke;
    struct request *request;
    if (exchange_abandoned(exchange)) return CANCELLED;
    enum outcome outcome = invoke->body == NULL ? OK : body_seal(invoke->body);
    if (outcome == OK) outcome = make_request(exchange, &request);
    if (outcome != OK) return outcome;
    outcome =
        gate_submit(exchange->front->gate, request, &invoke->id, &exchange->refusal.retry_after_ns);
    if (outcome != OK) {
        request_free(request);
        return outcome;
    }
    live_request_submitted(&exchange->live, invoke->id);
    exchange_suspend(exchange);
    return OK;
}

static enum MHD_Result on_complete(struct exchange *exchange) {
    enum outcome outcome = submit(exchange);
    if (outcome == OK) return MHD_YES;
    exchange_refuse(exchange, outcome, NULL);
    return reply_problem(exchange, &exchange->refusal);
}

void invoke_answered(struct request *request) {
    struct exchange *exchange = request->owner;
    exchange->invoke.request = request;
    request_course_answered(&exchange->course, request);
    exchange_resume(exchange);
}

void invoke_left(struct exchange *exchange) {
    struct invoke *invoke = &exchange->invoke;
    if (exchange->phase != EXCHANGE_WAITING || exchange->inquiry != NULL || invoke->cancelled ||
        !exchange_abandoned(exchange))
        return;
    invoke->cancelled = true;
    gate_cancel(exchange->front->gate, invoke->pool, invoke->id, CANCEL_CLIENT_GONE);
}

static enum MHD_Result on_answered(struct exchange *exchange) {
    struct request *request = exchange->invoke.request;
    exchange->invoke.request = NULL;
    enum MHD_Result queued = reply_result(exchange, request);
    request_free(request);
    return queued;
}

static void on_end(struct exchange *exchange) {
    struct invoke *invoke = &exchange->invoke;
    struct gate *gate = exchange->front->gate;
    bool known = invoke->pool != GATE_NO_POOL;
    metrics_answered(exchange->front->metrics, known ? gate_pool(gate, invoke->pool)->name : "",
                     FRONTEND_HTTP, exchange_outcome(exchange));
    body_unref(invoke->body);
    request_free(invoke->request);
    if (known) gate_let_go_pool(gate, invoke->pool);
}

const struct handler handler_invoke = {
    .begin = on_begin,
    .body = on_body,
    .complete = on_complete,
    .answered = on_answered,
    .end = on_end,
};
