#include "core/gate.h"

#include "core/base/clock.h"
#include "core/policy/admission.h"
#include "core/policy/dedup.h"
#include "core/reactor.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct gate {
    struct reactor *reactor;
    const struct pool_options *pools;
    size_t pools_count;
    _Atomic uint64_t ids;
};

enum outcome gate_open(struct gate **out, const struct gate_options *options) {
    *out = NULL;
    struct gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL) return MEMORY_EXHAUSTED;
    gate->pools = options->pools;
    gate->pools_count = options->pools_count;
    enum outcome outcome = reactor_open(&gate->reactor, options);
    if (outcome != OK) {
        free(gate);
        return outcome;
    }
    *out = gate;
    return OK;
}

size_t gate_pools_count(const struct gate *gate) {
    return gate->pools_count;
}

const struct pool_options *gate_pool(const struct gate *gate, uint32_t pool) {
    return &gate->pools[pool];
}

bool gate_find_pool(const struct gate *gate, const char *name, uint32_t *pool) {
    for (uint32_t i = 0; i < gate->pools_count; i++) {
        if (strcmp(gate->pools[i].name, name) != 0) continue;
        *pool = i;
        return true;
    }
    return false;
}

static enum outcome advise(const struct admission *admission, enum outcome outcome,
                           uint64_t *retry_after_ns) {
    *retry_after_ns = outcome == OK ? 0 : admission_retry_after(admission, outcome, clock_now_ns());
    return outcome;
}

enum outcome gate_would_admit(struct gate *gate, const struct gate_ask *ask,
                              uint64_t *retry_after_ns) {
    struct admission *admission = reactor_admission(gate->reactor, ask->pool);
    const struct admission_ask of = {.priority = ask->priority,
                                     .tenant = ask->tenant != NULL ? ask->tenant : "",
                                     .deadline_ns = ask->deadline_ns,
                                     .now_ns = clock_now_ns()};
    return advise(admission, admission_look(admission, &of), retry_after_ns);
}

enum outcome gate_charge(struct gate *gate, uint32_t pool, uint64_t bytes) {
    return admission_charge(reactor_admission(gate->reactor, pool), bytes);
}

void gate_uncharge(struct gate *gate, uint32_t pool, uint64_t bytes) {
    admission_uncharge(reactor_admission(gate->reactor, pool), bytes);
}

enum outcome gate_submit(struct gate *gate, struct request *request, uint64_t *id,
                         uint64_t *retry_after_ns) {
    assert(request->done != NULL && request->pool < gate->pools_count);
    struct admission *admission = reactor_admission(gate->reactor, request->pool);
    const struct admission_ask ask = {.priority = request->priority,
                                      .tenant = request->tenant,
                                      .deadline_ns = request->deadline_ns,
                                      .now_ns = clock_now_ns()};
    enum outcome outcome = admission_take(admission, &ask);
    if (outcome != OK) return advise(admission, outcome, retry_after_ns);
    if (gate->pools[request->pool].queue.dedup_ns > 0) dedup_digest(request);
    *retry_after_ns = 0;
    *id = request->id = atomic_fetch_add_explicit(&gate->ids, 1, memory_order_relaxed) + 1;
    outcome = reactor_submit(gate->reactor, request);
    if (outcome == OK) return OK;
    admission_give_back(admission, request->tenant);
    return outcome;
}

void gate_cancel(struct gate *gate, uint32_t pool, uint64_t id, enum cancel_cause cause) {
    enum outcome outcome = reactor_cancel(gate->reactor, pool, id, cause);
    assert(outcome != QUEUE_FULL); /* the channel has room for every cancel of a live request */
}

void gate_wish(struct gate *gate, uint32_t pool, enum wish wish) {
    reactor_order(gate->reactor, &(struct event){.kind = EVENT_WISH, .pool = pool, .wish = wish});
}

void gate_scale(struct gate *gate, uint32_t pool, uint32_t slots_min, uint32_t slots_max) {
    reactor_order(gate->reactor, &(struct event){.kind = EVENT_SCALE,
                                                 .pool = pool,
                                                 .slots_min = slots_min,
                                                 .slots_max = slots_max});
}

enum outcome gate_listen(struct gate *gate, struct event_feed **out, uint32_t kinds,
                         size_t capacity, event_wake_fn *wake, void *owner) {
    return event_feed_open(out, reactor_events(gate->reactor), kinds, capacity, wake, owner);
}

const struct snapshot *gate_snapshot(struct gate *gate) {
    return publisher_take(reactor_publisher(gate->reactor));
}

void gate_snapshot_release(struct gate *gate, const struct snapshot *snapshot) {
    publisher_give_back(reactor_publisher(gate->reactor), snapshot);
}

void gate_drain(struct gate *gate, uint64_t timeout_ns, gate_drained_fn *drained, void *owner) {
    reactor_drain(gate->reactor, clock_add(clock_now_ns(), timeout_ns), drained, owner);
}

void gate_close(struct gate *gate) {
    reactor_close(gate->reactor);
    free(gate);
}
