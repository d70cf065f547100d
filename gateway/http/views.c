/* views - the handlers that only look: state, probes, metrics. They read the snapshot and never ask
 * the pool's loop, so they answer however busy it is. */
#include "gateway/http/handlers.h"

#include "core/base/clock.h"
#include "core/watchdog.h"
#include "gateway/http/exchange.h"
#include "gateway/http/reply.h"
#include "gateway/http/state.h"
#include "gateway/self_dial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum MHD_Result reply_verdict(struct exchange *exchange, const struct verdict *verdict,
                                     const char *good, const char *bad) {
    return reply_json(exchange, verdict->good ? 200 : 503, state_verdict(verdict, good, bad));
}

static enum MHD_Result on_pools(struct exchange *exchange) {
    struct gate *gate = exchange->front->gate;
    const struct snapshot *snapshot = gate_snapshot(gate);
    json_t *json = state_pools(snapshot, clock_now_ns());
    gate_snapshot_release(gate, snapshot);
    return reply_json(exchange, 200, json);
}

static enum MHD_Result reply_of_pool(struct exchange *exchange,
                                     json_t *(*make)(const struct pool_snapshot *, uint64_t)) {
    struct gate *gate = exchange->front->gate;
    const struct snapshot *snapshot = gate_snapshot(gate);
    const struct pool_snapshot *pool = snapshot_find(snapshot, exchange->match.pool);
    json_t *json = pool != NULL ? make(pool, clock_now_ns()) : NULL;
    gate_snapshot_release(gate, snapshot);
    if (pool != NULL) return reply_json(exchange, 200, json);
    exchange_refuse(exchange, NO_SUCH_POOL, NULL);
    return reply_problem(exchange, &exchange->refusal);
}

static enum MHD_Result on_pool(struct exchange *exchange) {
    return reply_of_pool(exchange, state_pool);
}

static enum MHD_Result on_slots(struct exchange *exchange) {
    return reply_of_pool(exchange, state_slots);
}

static enum MHD_Result on_livez(struct exchange *exchange) {
    struct gate *gate = exchange->front->gate;
    const struct snapshot *snapshot = gate_snapshot(gate);
    struct verdict verdict =
        probe_live(snapshot, watchdog_stalled_ns(), self_dial_dead_port(), clock_now_ns());
    gate_snapshot_release(gate, snapshot);
    return reply_verdict(exchange, &verdict, "live", "stalled");
}

static enum MHD_Result on_readyz(struct exchange *exchange) {
    struct front *front = exchange->front;
    const struct snapshot *snapshot = gate_snapshot(front->gate);
    struct verdict verdict =
        probe_ready(&front->readiness, snapshot, atomic_load(&front->draining), clock_now_ns());
    gate_snapshot_release(front->gate, snapshot);
    return reply_verdict(exchange, &verdict, "ready", "not_ready");
}

static enum MHD_Result on_startupz(struct exchange *exchange) {
    struct gate *gate = exchange->front->gate;
    const struct snapshot *snapshot = gate_snapshot(gate);
    struct verdict verdict = probe_started(snapshot);
    gate_snapshot_release(gate, snapshot);
    return reply_verdict(exchange, &verdict, "started", "starting");
}

static enum MHD_Result on_healthz(struct exchange *exchange) {
    struct front *front = exchange->front;
    const struct snapshot *snapshot = gate_snapshot(front->gate);
    json_t *json = state_health(snapshot, clock_now_ns());
    gate_snapshot_release(front->gate, snapshot);
    return reply_json(exchange, 200, json);
}

static enum MHD_Result on_metrics(struct exchange *exchange) {
    struct front *front = exchange->front;
    char *text = NULL;
    size_t bytes = 0;
    FILE *page = open_memstream(&text, &bytes);
    if (page == NULL) return reply_text(exchange, 200, METRICS_CONTENT_TYPE, NULL, 0);
    const struct snapshot *snapshot = gate_snapshot(front->gate);
    metrics_write(front->metrics, snapshot, page);
    gate_snapshot_release(front->gate, snapshot);
    if (fclose(page) != 0) {
        free(text);
        text = NULL;
    }
    return reply_text(exchange, 200, METRICS_CONTENT_TYPE, text, bytes);
}

const struct handler handler_pools = {.complete = on_pools};
const struct handler handler_pool = {.complete = on_pool};
const struct handler handler_slots = {.complete = on_slots};
const struct handler handler_livez = {.probe = true, .complete = on_livez};
const struct handler handler_readyz = {.probe = true, .complete = on_readyz};
const struct handler handler_startupz = {.probe = true, .complete = on_startupz};
const struct handler handler_healthz = {.probe = true, .complete = on_healthz};
const struct handler handler_metrics = {.probe = true, .complete = on_metrics};
