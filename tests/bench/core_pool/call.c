#include "tests/bench/core_pool/call.h"

#include "tests/bench/core_pool/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* 16 hexadecimal digits, without a terminator. */
static void write_number(char text[CALL_BODY_BYTES], uint64_t number) {
    for (int i = CALL_BODY_BYTES - 1; i >= 0; i--, number >>= 4)
        text[i] = "0123456789abcdef"[number & 15];
}

/* On the pool loop: only hands it on. */
static void on_done(struct request *request) {
    struct call *call = request->owner;
    call->request = request;
    call->answers++;
    mailbox_post(call->home, call);
}

static void give_back(void *gate, size_t bytes) {
    gate_uncharge(gate, 0, bytes);
}

static enum outcome make_body(struct request *request, struct gate *gate, const char *text) {
    enum outcome outcome = gate_charge(gate, 0, CALL_BODY_BYTES);
    if (outcome != OK) return outcome;
    outcome = body_create(&request->body, CALL_BODY_BYTES);
    if (outcome == OK) outcome = body_append(request->body, text, CALL_BODY_BYTES);
    if (outcome == OK) outcome = body_seal(request->body);
    if (outcome != OK) {
        gate_uncharge(gate, 0, CALL_BODY_BYTES);
        return outcome;
    }
    request->body->released = give_back;
    request->body->released_owner = gate;
    return OK;
}

enum outcome call_submit(struct call *call, const struct call_options *options) {
    /* As long as the identifiers that the front ends make. */
    char id[] = "018f0000-0000-7000-8000-0000000000000000";
    write_number(call->body, call->number);
    memcpy(id + sizeof id - 1 - CALL_BODY_BYTES, call->body, CALL_BODY_BYTES);
    const struct request_texts texts = {.request_id = id,
                                        .content_type = "application/octet-stream",
                                        .tenant = options->tenant,
                                        .operation = options->operation};
    struct request *request;
    enum outcome outcome = request_create(&request, &texts);
    if (outcome != OK) return outcome;
    outcome = make_body(request, options->gate, call->body);
    request->priority = options->priority;
    request->arrived_ns = options->arrived_ns;
    request->deadline_ns = options->deadline_ns;
    request->done = on_done;
    request->home = call->home->home.wake != NULL ? &call->home->home : NULL;
    request->owner = call;
    call->request = NULL;
    call->answers = 0;
    uint64_t retry_after_ns;
    if (outcome == OK) outcome = gate_submit(options->gate, request, &call->id, &retry_after_ns);
    if (outcome != OK) request_free(request);
    return outcome;
}

static void look_at(const struct call *call) {
    struct body *body = call->request->reply.body;
    if (body->bytes != CALL_BODY_BYTES || memcmp(body_data(body), call->body, CALL_BODY_BYTES) != 0)
        invalid("request %" PRIu64 " got another's answer, of %zu bytes", call->number,
                body->bytes);
}

enum outcome call_end(struct call *call) {
    if (call->answers != 1) invalid("a request was answered %u times", call->answers);
    enum outcome outcome = call->request->outcome;
    if (outcome == OK) look_at(call);
    request_free(call->request);
    call->request = NULL;
    return outcome;
}

void call_close(struct call *call) {
    const struct request *request = call->request;
    if (request->outcome != OK)
        invalid("a request was answered %s: %s", outcome_code(request->outcome),
                request->detail != NULL ? request->detail : "");
    call_end(call);
}

uint64_t call_began_ns(const struct call *call) {
    const struct request *request = call->request;
    return request->arrived_ns + request->queue_ns + request->cold_ns;
}

uint64_t call_ended_ns(const struct call *call) {
    return call_began_ns(call) + call->request->run_ns;
}
