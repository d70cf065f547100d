#include "core/gate.h"

#include "core/base/clock.h"
#include "core/policy/admission.h"
#include "core/policy/dedup.h"
#include "core/reactor.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Which pools have a name; read by any thread at any time, so old ones are kept. */
struct name_table {
    struct name_table *older;
    size_t count;
    struct named_pool pools[];
};

struct gate {
    struct reactor *reactor;
    _Atomic(struct name_table *) names;
    _Atomic(const struct pool_options *) *options; /* by place */
    _Atomic bool reloading;
    _Atomic uint64_t ids;
};

/* --- pools and their names ----------------------------------------------------------------------------- */

static struct name_table *table_new(size_t count) {
    struct name_table *table = calloc(1, sizeof *table + count * sizeof table->pools[0]);
    if (table != NULL) table->count = count;
    return table;
}

/* Options before names: who finds a pool by its name sees them. */
static void publish_names(struct gate *gate, struct name_table *table) {
    for (size_t i = 0; i < table->count; i++)
        atomic_store(&gate->options[table->pools[i].place], table->pools[i].options);
    table->older = atomic_load(&gate->names);
    atomic_store(&gate->names, table);
}

static enum outcome open_names(struct gate *gate, const struct gate_options *options) {
    struct name_table *table = table_new(options->pools_count);
    gate->options = calloc(reactor_places(gate->reactor), sizeof *gate->options);
    if (table == NULL || gate->options == NULL) {
        free(table);
        return MEMORY_EXHAUSTED;
    }
    for (uint32_t i = 0; i < options->pools_count; i++)
        table->pools[i] = (struct named_pool){&options->pools[i], &options->pools[i], i};
    publish_names(gate, table);
    return OK;
}

static void gate_free(struct gate *gate) {
    struct name_table *table = atomic_load(&gate->names);
    while (table != NULL) {
        struct name_table *older = table->older;
        free(table);
        table = older;
    }
    free(gate->options);
    free(gate);
}

/* A failure here is fatal at start. */
enum outcome gate_open(struct gate **out, const struct gate_options *options) {
    *out = NULL;
    struct gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL) return MEMORY_EXHAUSTED;
    enum outcome outcome = reactor_open(&gate->reactor, options);
    if (outcome == OK) outcome = open_names(gate, options);
    if (outcome != OK) {
        gate_free(gate);
        return outcome;
    }
    *out = gate;
    return OK;
}

size_t gate_pools_count(const struct gate *gate) {
    return atomic_load(&gate->names)->count;
}

size_t gate_pools_most(const struct gate *gate) {
    return reactor_places(gate->reactor);
}

const struct pool_options *gate_pool(const struct gate *gate, uint32_t pool) {
    return atomic_load_explicit(&gate->options[pool], memory_order_acquire);
}

static const struct named_pool *find_name(const struct name_table *table, const char *name) {
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->pools[i].options->name, name) == 0) return &table->pools[i];
    return NULL;
}

/* A pool is let go by the loop only after it has lost its name and then nobody holds it: if the names are
 * the same after it was held, the loop sees that it is. */
bool gate_hold_pool(struct gate *gate, const char *name, uint32_t *pool) {
    for (;;) {
        struct name_table *table = atomic_load(&gate->names);
        const struct named_pool *named = find_name(table, name);
        if (named == NULL) return false;
        *pool = named->place;
        atomic_fetch_add(reactor_holds(gate->reactor, *pool), 1);
        if (atomic_load(&gate->names) == table) return true;
        gate_let_go_pool(gate, *pool);
    }
}

void gate_let_go_pool(struct gate *gate, uint32_t pool) {
    uint32_t before = atomic_fetch_sub(reactor_holds(gate->reactor, pool), 1);
    assert(before > 0);
}

/* --- other pools ------------------------------------------------------------------------------------------ */

struct reloading {
    struct reload_order order; /* first: the reactor knows it as this */
    struct gate *gate;
    struct name_table *table;
    gate_reloaded_fn *reloaded;
    void *owner;
};

/* The last word of a reload, on whichever thread. */
static void conclude(struct reloading *reloading, enum outcome outcome, bool kept) {
    const struct reload *reload = reloading->order.reload;
    struct gate_reloaded result = {.outcome = outcome, .kept = kept};
    if (outcome == OK)
        result = (struct gate_reloaded){.added = reload->added,
                                        .changed = reload->tuned + reload->replaced,
                                        .removed = reload->removed,
                                        .unchanged = reload->same,
                                        .restarted = reload->replaced,
                                        .kept = kept};
    if (!kept) free(reloading->table);
    reload_free(reloading->order.reload);
    atomic_store(&reloading->gate->reloading, false);
    reloading->reloaded(reloading->owner, &result);
}

/* On the loop: from now on the names are those of the new pools. */
static void on_applied(struct reload_order *order) {
    struct reloading *reloading = (struct reloading *)order;
    for (size_t i = 0; i < order->reload->items_count; i++)
        reloading->table->pools[i] = order->reload->items[i].pool;
    publish_names(reloading->gate, reloading->table);
}

static void on_reloaded(struct reload_order *order, enum outcome outcome) {
    struct reloading *reloading = (struct reloading *)order;
    conclude(reloading, outcome, outcome == OK);
    free(reloading);
}

void gate_reload(struct gate *gate, const struct pool_options *pools, size_t pools_count,
                 gate_reloaded_fn *reloaded, void *owner) {
    const struct name_table *names = atomic_load(&gate->names);
    bool busy = atomic_exchange(&gate->reloading, true);
    assert(!busy);
    struct reloading *reloading = calloc(1, sizeof *reloading);
    struct reloading failed = {.gate = gate, .reloaded = reloaded, .owner = owner};
    if (reloading == NULL) {
        conclude(&failed, MEMORY_EXHAUSTED, false);
        return;
    }
    *reloading = failed;
    reloading->order.applied = on_applied;
    reloading->order.done = on_reloaded;
    reloading->table = table_new(pools_count);
    enum outcome outcome = reload_make(&reloading->order.reload, names->pools, names->count, pools,
                                       pools_count, reactor_seed(gate->reactor), clock_now_ns());
    bool made = outcome == OK && reloading->table != NULL;
    if (made && !reload_is_empty(reloading->order.reload, names->pools)) {
        reactor_reload(gate->reactor, &reloading->order);
        return;
    }
    conclude(reloading, made ? OK : MEMORY_EXHAUSTED, false);
    free(reloading);
}

/* --- requests ----------------------------------------------------------------------------------------------- */

static uint64_t next_id(struct gate *gate) {
    return atomic_fetch_add_explicit(&gate->ids, 1, memory_order_relaxed) + 1;
}

static enum outcome advise(const struct admission *admission, enum outcome outcome,
                           uint64_t *retry_after_ns) {
    *retry_after_ns = outcome == OK ? 0 : admission_retry_after(admission, outcome, clock_now_ns());
    return outcome;
}

static uint64_t time_for(const struct admission *admission, enum priority priority) {
    return admission_wants_time(admission, priority) ? clock_now_ns() : 0;
}

enum outcome gate_would_admit(struct gate *gate, const struct gate_ask *ask,
                              uint64_t *retry_after_ns) {
    struct admission *admission = reactor_admission(gate->reactor, ask->pool);
    const struct admission_ask of = {.priority = ask->priority,
                                     .tenant = ask->tenant != NULL ? ask->tenant : "",
                                     .deadline_ns = ask->deadline_ns,
                                     .now_ns = time_for(admission, ask->priority)};
    return advise(admission, admission_look(admission, &of), retry_after_ns);
}

enum outcome gate_charge(struct gate *gate, uint32_t pool, uint64_t bytes) {
    return admission_charge(reactor_admission(gate->reactor, pool), bytes);
}

void gate_uncharge(struct gate *gate, uint32_t pool, uint64_t bytes) {
    /* What was not charged does not keep its pool. */
    if (bytes > 0) admission_uncharge(reactor_admission(gate->reactor, pool), bytes);
}

enum outcome gate_submit(struct gate *gate, struct request *request, uint64_t *id,
                         uint64_t *retry_after_ns) {
    assert(request->done != NULL);
    struct admission *admission = reactor_admission(gate->reactor, request->pool);
    const struct admission_ask ask = {.priority = request->priority,
                                      .tenant = request->tenant,
                                      .deadline_ns = request->deadline_ns,
                                      .now_ns = time_for(admission, request->priority)};
    enum outcome outcome = admission_take(admission, &ask);
    if (outcome != OK) return advise(admission, outcome, retry_after_ns);
    if (gate_pool(gate, request->pool)->queue.dedup_ns > 0) dedup_digest(request);
    *retry_after_ns = 0;
    *id = request->id = next_id(gate);
    outcome = reactor_submit(gate->reactor, request);
    if (outcome == OK) return OK;
    admission_give_back(admission, request->tenant);
    return outcome;
}

void gate_cancel(struct gate *gate, uint32_t pool, uint64_t id, enum cancel_cause cause) {
    enum outcome outcome = reactor_cancel(gate->reactor, pool, id, cause);
    assert(outcome != QUEUE_FULL); /* the channel has room for every cancel of a live request */
}

/* --- questions ---------------------------------------------------------------------------------------------- */

static enum outcome ask(struct gate *gate, struct question *question, enum question_kind kind) {
    question->kind = kind;
    return reactor_ask(gate->reactor, question);
}

enum outcome gate_order(struct gate *gate, struct pool_order *order) {
    return reactor_order(gate->reactor, order);
}

enum outcome gate_look(struct gate *gate, struct look *look) {
    return ask(gate, &look->question, QUESTION_LOOK);
}

enum outcome gate_stop(struct gate *gate, struct look *look) {
    return ask(gate, &look->question, QUESTION_CANCEL);
}

enum outcome gate_quarantine_list(struct gate *gate, struct buried_list *list) {
    return ask(gate, &list->question, QUESTION_LIST_BURIED);
}

enum outcome gate_quarantine_delete(struct gate *gate, struct buried_order *order) {
    return ask(gate, &order->question, QUESTION_DELETE_BURIED);
}

enum outcome gate_quarantine_kick(struct gate *gate, struct buried_order *order) {
    order->id = next_id(gate);
    return ask(gate, &order->question, QUESTION_KICK_BURIED);
}

/* --- what happens --------------------------------------------------------------------------------------------- */

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
    gate_free(gate);
}
