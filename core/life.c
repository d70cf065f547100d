#include "core/life.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/policy/backoff.h"
#include "core/work.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define SHUTDOWN_GRACE_NS CLOCK_S /* from the polite request to TERM */
#define MEASURE_NS        CLOCK_S

static void signal_worker(struct pool *pool, struct slot *slot, int signal_number) {
    struct transport *transport = pool->transports[slot->index];
    transport->calls->signal(transport, signal_number);
}

static void move(struct pool *pool, struct slot *slot, enum worker_state to, enum reason why,
                 uint64_t now_ns) {
    bool moved = worker_state_move(&slot->record, to, why, now_ns);
    assert(moved);
    if (pool_able(pool) == 0) pool->able_ns = 0;
    char name[96];
    snprintf(name, sizeof name, "%s/%u", pool->options->name, slot->index);
    enum log_level level = to == WORKER_FAILED ? LOG_WARN : LOG_INFO;
    log_event(to == WORKER_IDLE ? LOG_DEBUG : level, "slot", LOG_STR("slot", name),
              LOG_STR("state", worker_state_name(to)), LOG_STR("why", reason_name(why)),
              LOG_INT("pid", slot->pid),
              LOG_STR(to == WORKER_FAILED ? "error" : NULL, slot->last_error));
}

bool life_alive(const struct slot *slot) {
    enum worker_state state = slot->record.state;
    return worker_state_can_serve(state) || state == WORKER_SPAWNING || state == WORKER_LOADING;
}

static bool is_load_failure(enum reason why) {
    return why == REASON_SPAWN_FAILED || why == REASON_LOAD_FAILED || why == REASON_LOAD_TIMEOUT;
}

bool life_backs_off(const struct slot *slot, uint64_t now_ns) {
    if (!is_load_failure(slot->failed_why)) return false;
    return slot->record.state == WORKER_FAILED ||
           (slot->record.state == WORKER_DEAD && slot->respawn_ns > now_ns);
}

/* Nothing is awaited of its worker any more but its end. */
static void forget_moments(struct slot *slot) {
    slot->ready_ns = 0;
    slot->load_deadline_ns = slot->quiet_ns = slot->ping_ns = slot->pong_deadline_ns = CLOCK_NEVER;
    slot->stable_ns = slot->term_ns = slot->measure_ns = CLOCK_NEVER;
}

/* The worker is of no use any more: failed, its moments over. Its work is not touched here. */
static void fail(struct pool *pool, struct slot *slot, enum reason why, uint64_t now_ns) {
    forget_moments(slot);
    slot->failed_why = why;
    slot->failures++;
    move(pool, slot, WORKER_FAILED, why, now_ns);
}

/* A worker that cannot be reached or trusted: failed, its work lost, the process killed at once. */
static void condemn(struct pool *pool, struct slot *slot, enum reason why, enum blame blame,
                    uint64_t now_ns) {
    fail(pool, slot, why, now_ns);
    signal_worker(pool, slot, SIGKILL);
    work_lost(pool, slot, blame, slot->last_error, now_ns);
}

/* --- start and load -------------------------------------------------------------------------------- */

static void ended(struct pool *pool, struct slot *slot, uint32_t random, uint64_t now_ns);

void life_start(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    slot_reset(slot);
    slot->started_ns = now_ns;
    slot->load_deadline_ns = clock_add(now_ns, pool->options->timeouts.load_ns);
    if (slot->failed_why != REASON_START) {
        slot->restarts++;
        pool->restarts++;
        pool->restarts_by_reason[slot->failed_why]++;
    }
    slot->failed_why = REASON_START;
    move(pool, slot, WORKER_SPAWNING, REASON_START, now_ns);
    struct transport *transport = pool->transports[slot->index];
    enum outcome outcome = transport->calls->start(transport);
    if (outcome == OK) return;
    slot_blame(slot, "out of memory or descriptors");
    fail(pool, slot, REASON_SPAWN_FAILED, now_ns);
    ended(pool, slot, UINT32_MAX / 2, now_ns);
}

static void became_ready(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    slot->cold_ns = now_ns - slot->started_ns;
    slot->ready_ns = now_ns;
    slot->ever_ready = true;
    slot->load_deadline_ns = CLOCK_NEVER;
    slot->stable_ns = now_ns + BACKOFF_STABLE_NS;
    slot->quiet_ns = now_ns + SLOT_QUIET_NS;
    slot->ping_ns = clock_add(now_ns, pool->options->health.interval_ns);
    slot->measure_ns = now_ns;
    move(pool, slot, WORKER_READY, REASON_LOADED, now_ns);
    if (pool->able_ns == 0) pool->able_ns = now_ns;
    if (pool_able(pool) >= pool->options->slots_min) pool->reached_min = true;
    pool->backoff_until_ns = 0;
}

static void loaded(struct pool *pool, struct slot *slot, const char *error, uint64_t now_ns) {
    if (slot->record.state == WORKER_SPAWNING)
        move(pool, slot, WORKER_LOADING, REASON_STARTED, now_ns);
    if (slot->record.state != WORKER_LOADING) return;
    if (*error == '\0') {
        became_ready(pool, slot, now_ns);
        return;
    }
    slot_blame(slot, error);
    condemn(pool, slot, REASON_LOAD_FAILED, BLAME_NOBODY, now_ns);
}

/* --- the end ------------------------------------------------------------------------------------------ */

/* A load has failed. With no other slot able or coming, those who wait are told now, not later. */
static void give_up_on_load(struct pool *pool, const struct slot *slot, uint64_t now_ns) {
    pool->load_outcome = slot->failed_why == REASON_LOAD_TIMEOUT ? SPAWN_TIMEOUT : SPAWN_FAILED;
    if (pool_able(pool) > 0 || pool_coming(pool) > 0) return;
    pool->backoff_until_ns = slot->respawn_ns;
    work_refuse_waiting(pool, pool->load_outcome, slot->last_error, now_ns);
}

/* The process is reaped (or never was): the slot is dead, and may live again after its back-off. */
static void ended(struct pool *pool, struct slot *slot, uint32_t random, uint64_t now_ns) {
    bool failed = slot->record.state == WORKER_FAILED;
    enum reason why = slot->failed_why;
    slot_reset(slot);
    move(pool, slot, WORKER_DEAD, REASON_REAPED, now_ns);
    slot->respawn_ns = failed ? now_ns + backoff_delay(slot->failures, random) : now_ns;
    if (failed && is_load_failure(why)) give_up_on_load(pool, slot, now_ns);
    if (pool_is_given_up(pool))
        work_refuse_waiting(pool, NO_WORKERS, "too many of its threads hang", now_ns);
}

static void describe_exit(const struct transport_event *event, char text[SLOT_ERROR_BYTES]) {
    const char *last = *event->text != '\0' ? "; last words: " : "";
    if (event->exit_kind == EXIT_STATUS)
        snprintf(text, SLOT_ERROR_BYTES, "the worker ended with exit status %d%s%s",
                 event->exit_value, last, event->text);
    else if (event->exit_kind == EXIT_ABANDONED)
        snprintf(text, SLOT_ERROR_BYTES, "%s", event->text);
    else if (event->exit_kind == EXIT_NEVER_STARTED)
        snprintf(text, SLOT_ERROR_BYTES, "the worker could not be started: %s", event->text);
    else
        snprintf(text, SLOT_ERROR_BYTES, "the worker was ended by signal %d (%s)%s%s",
                 event->exit_value, strsignal(event->exit_value), last, event->text);
}

static enum reason exit_reason(const struct slot *slot, const struct transport_event *event) {
    if (event->exit_kind == EXIT_NEVER_STARTED) return REASON_SPAWN_FAILED;
    if (!worker_state_can_serve(slot->record.state)) return REASON_LOAD_FAILED;
    return event->exit_kind == EXIT_STATUS ? REASON_EXITED : REASON_CRASHED;
}

static void exited(struct pool *pool, struct slot *slot, const struct transport_event *event,
                   uint32_t random, uint64_t now_ns) {
    if (event->exit_kind == EXIT_ABANDONED) {
        pool->abandoned++;
        char text[SLOT_ERROR_BYTES];
        snprintf(text, sizeof text, "%.140s; its thread was left behind", slot->last_error);
        slot_blame(slot, text);
        log_event(LOG_ERROR, "thread_abandoned", LOG_STR("pool", pool->options->name),
                  LOG_UINT("slot", slot->index), LOG_UINT("abandoned", pool->abandoned));
    }
    if (life_alive(slot)) { /* nobody asked it to end */
        char text[SLOT_ERROR_BYTES];
        describe_exit(event, text);
        slot_blame(slot, text);
        fail(pool, slot, exit_reason(slot, event), now_ns);
        work_lost(pool, slot, event->exit_kind == EXIT_OTHER_SIGNAL ? BLAME_NOBODY : BLAME_REQUEST,
                  slot->last_error, now_ns);
    }
    ended(pool, slot, random, now_ns);
}

void life_stop(struct pool *pool, struct slot *slot, enum reason why, uint64_t now_ns) {
    if (!life_alive(slot)) return;
    assert(slot->inflight == 0);
    bool listens = worker_state_can_serve(slot->record.state);
    forget_moments(slot);
    move(pool, slot, WORKER_EVICTING, why, now_ns);
    struct transport *transport = pool->transports[slot->index];
    if (listens) transport->calls->shutdown(transport);
    slot->term_ns = listens ? now_ns + SHUTDOWN_GRACE_NS : now_ns;
}

void life_kill(struct pool *pool, struct slot *slot, enum reason why, uint64_t now_ns) {
    if (life_alive(slot)) {
        forget_moments(slot);
        move(pool, slot, WORKER_EVICTING, why, now_ns);
    } else if (slot->term_ns == CLOCK_NEVER && slot->kill_ns == CLOCK_NEVER) {
        return; /* dead, or killed already */
    }
    work_lost(pool, slot, BLAME_NOBODY, "the gateway stops", now_ns);
    slot->term_ns = CLOCK_NEVER;
    slot->kill_ns = now_ns;
}

/* --- care ------------------------------------------------------------------------------------------------ */

/* A request was given up and the worker still has it. If the worker is likely to finish before a new one
 * could be loaded, it may: a client that connects and leaves must not cost a model load. */
static bool may_finish(const struct pool *pool, const struct slot *slot,
                       struct assignment *assignment, uint64_t now_ns) {
    uint64_t median_ns = recent_percentiles(&pool->stats.run_recent).p50_ns;
    uint64_t ran_ns = now_ns - assignment->began_ns;
    if (ran_ns >= median_ns || median_ns - ran_ns >= slot->cold_ns) return false;
    assignment->stop_ns = assignment->began_ns + median_ns;
    return true;
}

static void tend_work(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    for (uint32_t i = 0; i < slot->capacity && slot->inflight > 0; i++) {
        struct assignment *assignment = &slot->assignments[i];
        if (assignment->id == 0 || assignment->stop_ns > now_ns) continue;
        if (may_finish(pool, slot, assignment, now_ns)) continue;
        enum reason why = assignment->stop_why;
        slot_blame(slot, why == REASON_DEADLINE ? "stopped: still busy after its deadline"
                                                : "stopped: still busy after its cancel");
        fail(pool, slot, why, now_ns);
        signal_worker(pool, slot, SIGTERM);
        slot->kill_ns = clock_add(now_ns, pool->options->timeouts.kill_ns);
        work_lost(pool, slot, BLAME_NOBODY, slot->last_error, now_ns);
        return;
    }
}

static void tend_ping(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    struct transport *transport = pool->transports[slot->index];
    if (slot->pong_deadline_ns <= now_ns) {
        slot->pong_deadline_ns = CLOCK_NEVER;
        if (++slot->pings_missed >= pool->options->health.misses) {
            slot_blame(slot, "did not answer its health pings");
            condemn(pool, slot, REASON_PING_MISSED, BLAME_NOBODY, now_ns);
            return;
        }
    }
    if (slot->ping_ns <= now_ns) {
        transport->calls->ping(transport, ++slot->ping_id);
        slot->pong_deadline_ns = clock_add(now_ns, pool->options->health.timeout_ns);
        slot->ping_ns = clock_add(now_ns, pool->options->health.interval_ns);
        /* The next one only when it is known what became of this one. */
        if (slot->ping_ns < slot->pong_deadline_ns) slot->ping_ns = slot->pong_deadline_ns;
    }
}

static void tend_end(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    if (slot->term_ns <= now_ns) {
        slot->term_ns = CLOCK_NEVER;
        slot->kill_ns = clock_add(now_ns, pool->options->timeouts.kill_ns);
        signal_worker(pool, slot, SIGTERM);
    }
    if (slot->kill_ns <= now_ns) {
        slot->kill_ns = CLOCK_NEVER;
        signal_worker(pool, slot, SIGKILL);
    }
}

void life_tend(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    if (slot_next_ns(slot) > now_ns) return;
    if (slot->load_deadline_ns <= now_ns) {
        slot_blame(slot, "was not ready within timeouts.load");
        condemn(pool, slot, REASON_LOAD_TIMEOUT, BLAME_NOBODY, now_ns);
    }
    if (worker_state_can_serve(slot->record.state)) tend_work(pool, slot, now_ns);
    if (worker_state_can_serve(slot->record.state)) tend_ping(pool, slot, now_ns);
    if (slot->quiet_ns <= now_ns) {
        slot->quiet_ns = CLOCK_NEVER;
        move(pool, slot, WORKER_IDLE, REASON_QUIET, now_ns);
    }
    if (slot->stable_ns <= now_ns) {
        slot->stable_ns = CLOCK_NEVER;
        slot->failures = 0;
    }
    if (slot->measure_ns <= now_ns) {
        struct transport *transport = pool->transports[slot->index];
        slot->measure_ns = now_ns + MEASURE_NS;
        transport->calls->measure(transport);
    }
    tend_end(pool, slot, now_ns);
}

/* --- what the transport reports -------------------------------------------------------------------------- */

void life_event(struct pool *pool, struct slot *slot, const struct transport_event *event,
                uint32_t random, uint64_t now_ns) {
    switch (event->kind) {
    case TRANSPORT_STARTED: slot->pid = event->pid; return;
    case TRANSPORT_LOADING:
        if (slot->record.state == WORKER_SPAWNING)
            move(pool, slot, WORKER_LOADING, REASON_STARTED, now_ns);
        return;
    case TRANSPORT_READY: loaded(pool, slot, event->text, now_ns); return;
    case TRANSPORT_REPLY:
    case TRANSPORT_ERROR:
        if (!worker_state_can_serve(slot->record.state)) return; /* its work was taken from it */
        if (work_replied(pool, slot, event, now_ns)) return;
        slot_blame(slot, "answered a request that it did not have");
        condemn(pool, slot, REASON_PROTOCOL, BLAME_REQUEST, now_ns);
        return;
    case TRANSPORT_PONG:
        if (event->id != slot->ping_id) return;
        slot->pings_missed = 0;
        slot->pong_deadline_ns = CLOCK_NEVER;
        return;
    case TRANSPORT_BROKEN:
        if (!life_alive(slot)) return;
        slot_blame(slot, event->text);
        condemn(pool, slot,
                worker_state_can_serve(slot->record.state) ? REASON_PROTOCOL : REASON_LOAD_FAILED,
                BLAME_REQUEST, now_ns);
        return;
    case TRANSPORT_MEASURED: slot->resident_bytes = event->resident_bytes; return;
    case TRANSPORT_EXITED: exited(pool, slot, event, random, now_ns); return;
    }
}
