/* actors - the stage and who stands on it: a worker in every slot that writes down what it was asked, and
 *          keeps its employer to the promises of transport.h.
 * thread: the test's own. owns: nothing; the stage is one for all. fails: a broken promise ends the test. */
#ifndef TESTS_CORE_ACTORS_H
#define TESTS_CORE_ACTORS_H

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/orchestrator.h"
#include "tests/core/chance.h"

#include <signal.h>
#include <string.h>

#define STAGE_POOLS     3
#define STAGE_PLACES    8 /* pools that come and leave need more */
#define STAGE_SLOTS     4
#define STAGE_INFLIGHT  4
#define STAGE_HANDED    64 /* requests that an actor may have at once, staged ones included */
#define STAGE_REQUESTS  32768
#define STAGE_PID       1000
#define STAGE_BEGINS_NS (1000 * CLOCK_S)

struct actor {
    struct transport transport; /* the first member: the core knows the actor as this */
    uint32_t pool, slot;
    bool running;       /* started, and its exit not yet reported */
    bool came, greeted; /* STARTED, LOADING were reported */
    bool ready;         /* READY was reported */
    struct {
        uint64_t id;
        bool begun;      /* it cannot be taken back any more */
        bool kept;       /* it was asked back, too late */
    } has[STAGE_HANDED]; /* in the order in which they were handed over */
    uint32_t has_count;
    uint32_t max_batch;
    bool checks, slow; /* slow: it begins nothing by itself */
    bool full;         /* it has no room for anything ahead */
    bool stuffed;      /* it has no room for anything at all */
    bool checking;     /* asked to check itself, and has not said how it went */
    uint32_t starts, sends, cancels, pings, shutdowns, terms, kills, measures; /* all its runs */
    uint32_t revokes, deep_checks, largest_batch;
    uint32_t replied; /* replies and errors that the core could use */
    uint64_t sent_id, cancelled_id, ping_id;
    bool shut_down, termed, killed; /* this run */
    enum outcome start_outcome, send_outcome;
};

/* What a request's done saw. */
struct ending {
    uint32_t submitted, done;
    enum outcome outcome;
    enum source source;
    uint32_t attempts, marks, slot;
    uint64_t queue_ns, cold_ns, run_ns, retry_after_ns, at_ns;
    char detail[160];
};

static struct stage {
    struct orchestrator orchestrator;
    struct pool_options options[STAGE_PLACES];
    struct actor actors[STAGE_PLACES][STAGE_SLOTS];
    uint32_t pools_count;        /* places below it may have a pool */
    uint64_t memory_limit_bytes; /* 0: none */
    uint64_t now_ns, next_ns;    /* next_ns: when the core wants to be called */
    uint64_t ids;                /* the last one given out */
    bool tuned; /* pools have had other options: fewer probes, perhaps, than are under way */
    bool held;  /* events are handled, and settled together when the test says so */
    struct ending endings[STAGE_REQUESTS];
    enum outcome refused; /* what the gate said to the last offer */
    uint32_t live[STAGE_PLACES];
    uint64_t answered[STAGE_PLACES];
} stage;

/* --- the actors' side of the transport --------------------------------------------------------------- */

static inline struct pool *stage_pool(uint32_t pool) {
    return stage.orchestrator.pools[pool];
}

static inline struct slot *slot_of_actor(const struct actor *actor) {
    return &stage_pool(actor->pool)->slots[actor->slot];
}

static inline enum worker_state state_of(const struct actor *actor) {
    return slot_of_actor(actor)->record.state;
}

static inline bool actor_has(const struct actor *actor, uint64_t id) {
    for (uint32_t i = 0; i < actor->has_count; i++)
        if (actor->has[i].id == id) return true;
    return false;
}

/* As a worker does when it has nothing under way: it begins the oldest. */
static inline void begin_next(struct actor *actor) {
    for (uint32_t i = 0; i < actor->has_count; i++) {
        if (actor->has[i].begun) continue;
        actor->has[i].begun = true;
        return;
    }
}

static inline uint32_t count_begun(const struct actor *actor) {
    uint32_t begun = 0;
    for (uint32_t i = 0; i < actor->has_count; i++) begun += actor->has[i].begun;
    return begun;
}

static inline void actor_forget(struct actor *actor, uint64_t id) {
    for (uint32_t i = 0; i < actor->has_count; i++) {
        if (actor->has[i].id != id) continue;
        memmove(&actor->has[i], &actor->has[i + 1],
                (--actor->has_count - i) * sizeof actor->has[0]);
        return;
    }
}

static enum outcome on_start(struct transport *transport) {
    struct actor *actor = (struct actor *)transport;
    require(!actor->running);
    actor->starts++;
    if (actor->start_outcome != OK) return actor->start_outcome;
    actor->running = true;
    actor->came = actor->greeted = actor->ready = false;
    actor->shut_down = actor->termed = actor->killed = actor->checking = false;
    actor->has_count = 0;
    return OK;
}

static enum outcome on_send(struct transport *transport, struct request *const *requests,
                            size_t count, uint64_t now_ns) {
    struct actor *actor = (struct actor *)transport;
    const struct pool_options *options = &stage.options[actor->pool];
    uint32_t batch_max = options->queue.batch_max > 1 ? options->queue.batch_max : 1;
    require(actor->running && actor->ready && !actor->killed && now_ns == stage.now_ns);
    require(count >= 1 && (count == 1 || count <= actor->max_batch));
    require(actor->has_count + count <= options->inflight * batch_max + options->staged);
    require(!actor->checking && !actor->shut_down && !actor->termed);
    if (actor->send_outcome != OK) return actor->send_outcome;
    if (actor->stuffed) return QUEUE_FULL;
    if (actor->full && slot_find(slot_of_actor(actor), requests[0]->id)->staged) return QUEUE_FULL;
    for (size_t i = 0; i < count; i++) {
        require(requests[i]->pool == actor->pool && !actor_has(actor, requests[i]->id));
        actor->sends++;
        actor->sent_id = requests[i]->id;
        bool begins = !actor->slow && (count > 1 || count_begun(actor) < options->inflight);
        actor->has[actor->has_count].kept = false;
        actor->has[actor->has_count].id = requests[i]->id;
        actor->has[actor->has_count++].begun = begins;
    }
    if (count > actor->largest_batch) actor->largest_batch = (uint32_t)count;
    return OK;
}

static bool on_revoke(struct transport *transport, uint64_t id) {
    struct actor *actor = (struct actor *)transport;
    for (uint32_t i = 0; i < actor->has_count; i++) {
        if (actor->has[i].id != id) continue;
        if (actor->has[i].begun) {
            actor->has[i].kept = true;
            return false;
        }
        actor_forget(actor, id);
        actor->revokes++;
        return true;
    }
    require(!actor->running); /* of one that lives only what it has is asked back */
    return false;
}

static void on_check(struct transport *transport) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running && actor->ready && actor->checks && actor->has_count == 0);
    actor->deep_checks++;
    actor->checking = true;
}

static void on_cancel(struct transport *transport, uint64_t id) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running && actor_has(actor, id));
    actor->cancels++;
    actor->cancelled_id = id;
}

static void on_ping(struct transport *transport, uint64_t id) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running && actor->ready && id == actor->ping_id + 1);
    actor->pings++;
    actor->ping_id = id;
}

static void on_shutdown(struct transport *transport) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running && actor->ready && actor->has_count == 0 && !actor->shut_down);
    actor->shutdowns++;
    actor->shut_down = true;
}

static void on_signal(struct transport *transport, int signal_number) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running && (signal_number == SIGTERM || signal_number == SIGKILL));
    if (signal_number == SIGTERM) {
        actor->terms++;
        actor->termed = true;
    } else {
        actor->kills++;
        actor->killed = true;
    }
}

static void on_measure(struct transport *transport) {
    struct actor *actor = (struct actor *)transport;
    require(actor->running);
    actor->measures++;
}

static const struct transport_calls actor_calls = {.start = on_start,
                                                   .send = on_send,
                                                   .revoke = on_revoke,
                                                   .check = on_check,
                                                   .cancel = on_cancel,
                                                   .ping = on_ping,
                                                   .shutdown = on_shutdown,
                                                   .signal = on_signal,
                                                   .measure = on_measure};

#endif
