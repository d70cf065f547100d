/* administration - the handlers that say what a pool is to do: load, unload, drain, pause, resume, scale. Each is
 * an order to the pool loop and is answered once the state shows it. */
#include "gateway/http/handlers.h"

#include "gateway/http/inquiry.h"
#include "gateway/http/reply.h"
#include "gateway/http/scale.h"
#include "gateway/http/state.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct act {
    const struct handler *handler;
    const char *name;
    enum wish wish;
} acts[] = {
    {&handler_load, "load", WISH_RUN},     {&handler_unload, "unload", WISH_UNLOAD},
    {&handler_drain, "drain", WISH_DRAIN}, {&handler_pause, "pause", WISH_PAUSE},
    {&handler_resume, "resume", WISH_RUN},
};

static void on_begin(struct exchange *exchange) {
    struct inquiry *inquiry = inquiry_begin(exchange);
    if (inquiry == NULL) return;
    if (!gate_hold_pool(exchange->front->gate, exchange->match.pool, &inquiry->pool)) {
        inquiry->pool = GATE_NO_POOL;
        exchange_refuse(exchange, NO_SUCH_POOL, NULL);
    }
    inquiry->order.pool = inquiry->pool;
    inquiry->order.why = inquiry->why;
}

static enum MHD_Result on_wish(struct exchange *exchange) {
    struct pool_order *order = &exchange->inquiry->order;
    size_t which = 0;
    while (acts[which].handler != exchange->handler) which++;
    order->act = POOL_WISH;
    order->wish = acts[which].wish;
    inquiry_explain(exchange, acts[which].name);
    return inquiry_wait(exchange, gate_order(exchange->front->gate, order));
}

/* --- scale --- */

static uint32_t max_now(struct exchange *exchange, uint32_t otherwise) {
    struct gate *gate = exchange->front->gate;
    const struct snapshot *snapshot = gate_snapshot(gate);
    const struct pool_snapshot *pool = snapshot_find(snapshot, exchange->match.pool);
    uint32_t max = pool != NULL ? pool->slots_max : otherwise;
    gate_snapshot_release(gate, snapshot);
    return max;
}

static void explain_scale(struct exchange *exchange, const struct scale *scale) {
    char what[64], min[24] = "", max[24] = "";
    if (scale->min != POOL_KEEP) snprintf(min, sizeof min, " min=%u", scale->min);
    if (scale->max != POOL_KEEP) snprintf(max, sizeof max, " max=%u", scale->max);
    snprintf(what, sizeof what, "scale%s%s", min, max);
    inquiry_explain(exchange, what);
}

static enum MHD_Result on_scale(struct exchange *exchange) {
    struct gate *gate = exchange->front->gate;
    struct inquiry *inquiry = exchange->inquiry;
    uint32_t most = gate_pool(gate, inquiry->pool)->slots_max;
    struct scale scale;
    if (scale_read(&scale, inquiry->body, inquiry->body_bytes, max_now(exchange, most), most,
                   inquiry->flaw) != OK) {
        exchange_refuse(exchange, INVALID_REQUEST, inquiry->flaw);
        return reply_problem(exchange, &exchange->refusal);
    }
    inquiry->order.act = POOL_SCALE;
    inquiry->order.slots_min = scale.min;
    inquiry->order.slots_max = scale.max;
    explain_scale(exchange, &scale);
    return inquiry_wait(exchange, gate_order(gate, &inquiry->order));
}

static enum MHD_Result on_answered(struct exchange *exchange) {
    const struct pool_order *order = &exchange->inquiry->order;
    assert(order->question.outcome == OK);
    return reply_json(exchange, 200, state_order(exchange->match.pool, order));
}

const struct handler handler_load = {
    .begin = on_begin, .complete = on_wish, .answered = on_answered};
const struct handler handler_unload = {
    .begin = on_begin, .complete = on_wish, .answered = on_answered};
const struct handler handler_drain = {
    .begin = on_begin, .complete = on_wish, .answered = on_answered};
const struct handler handler_pause = {
    .begin = on_begin, .complete = on_wish, .answered = on_answered};
const struct handler handler_resume = {
    .begin = on_begin, .complete = on_wish, .answered = on_answered};
const struct handler handler_scale = {
    .begin = on_begin, .body = inquiry_body, .complete = on_scale, .answered = on_answered};
