#include "gateway/http/inquiry.h"

#include "gateway/http/reply.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* On the pool's loop. There is a place for every connection, and a connection has one question. */
static void on_answered(struct question *question) {
    struct inquiry *inquiry = question->owner;
    enum outcome sent = channel_try_send(inquiry->exchange->front->channel,
                                         (struct message){.kind = FRONT_TOLD, .pointer = inquiry});
    assert(sent == OK);
}

struct inquiry *inquiry_begin(struct exchange *exchange) {
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    if (inquiry == NULL) {
        exchange_refuse(exchange, MEMORY_EXHAUSTED, NULL);
        return NULL;
    }
    inquiry->exchange = exchange;
    inquiry->pool = GATE_NO_POOL;
    inquiry->question.answered = on_answered;
    inquiry->question.owner = inquiry;
    exchange->inquiry = inquiry;
    return inquiry;
}

void inquiry_body(struct exchange *exchange, const char *data, size_t bytes) {
    struct inquiry *inquiry = exchange->inquiry;
    if (bytes > sizeof inquiry->body - inquiry->body_bytes) {
        exchange_refuse(exchange, PAYLOAD_TOO_LARGE, "the body is longer than 1024 bytes");
        return;
    }
    memcpy(inquiry->body + inquiry->body_bytes, data, bytes);
    inquiry->body_bytes += bytes;
}

void inquiry_explain(struct exchange *exchange, const char *what) {
    char address[ADDRESS_TEXT_BYTES];
    const char *key = exchange->grant.key;
    address_write(&exchange->address, address);
    snprintf(exchange->inquiry->why, sizeof exchange->inquiry->why, "%s, asked %s%s from %s", what,
             key[0] != '\0' ? "by key " : "at admin.listen", key, address);
}

enum MHD_Result inquiry_wait(struct exchange *exchange, enum outcome asked) {
    if (asked == OK) {
        exchange_suspend(exchange);
        return MHD_YES;
    }
    exchange_refuse(exchange, asked, asked == QUEUE_FULL ? "too many ask at once" : NULL);
    return reply_problem(exchange, &exchange->refusal);
}

void inquiry_told(struct inquiry *inquiry) {
    exchange_resume(inquiry->exchange);
}

enum MHD_Result inquiry_refuse(struct exchange *exchange, const char *detail) {
    const struct question *question = &exchange->inquiry->question;
    exchange_refuse(exchange, question->outcome, detail);
    exchange->refusal.retry_after_ns = question->retry_after_ns;
    return reply_problem(exchange, &exchange->refusal);
}

void inquiry_end(struct exchange *exchange) {
    struct inquiry *inquiry = exchange->inquiry;
    if (inquiry == NULL) return;
    if (inquiry->pool != GATE_NO_POOL) gate_let_go_pool(exchange->front->gate, inquiry->pool);
    free(inquiry->buried);
    free(inquiry);
    exchange->inquiry = NULL;
}
