#include "core/life.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/care.h"
#include "core/policy/backoff.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define SHUTDOWN_GRACE_NS CLOCK_S /* from the polite request to TERM */

static void signal_worker(struct pool *pool, struct slot *slot, int signal_number) {
    struct transport *transport = pool->transports[slot->index];
    transport->calls->signal(transport, signal_number);
}

bool life_alive(const struct slot *slot) {
    enum worker_state state = slot->record.state;
    return worker_state_can_serve(state) || state == WORKER_SPAWNING || state == WORKER_LOADING;
}

static bool is_load_failure(enum reason why) {
    return why == REASON_SPAWN_FAILED || why == REASON_LOAD_FAILED || why == REASON_LOAD_TIMEOUT;
}

/* The gateway stopped a sound worker: that is no crash, the next may come at once. */
static bool is_stop(enum reason why) {
    return why == REASON_DEADLINE || why == REASON_CANCEL || why == REASON_DRAIN ||
           why == REASON_UNLOAD;
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
    slot->check_ns = slot->check_deadline_ns = CLOCK_NEVER;
    slot->checking = slot->retiring = false;
}

/* The worker is of no use any more: failed, its moments over. Its work is not touched here. */
static void fail(struct pool *pool, struct slot *slot, enum reason why, uint64_t now_ns) {
    forget_moments(slot);
    slot->failed_why = why;
    if (!is_stop(why)) slot->failures++;
    pool_move(pool, slot, WORKER_FAILED, why, now_ns);
}

void life_condemn(struct pool *pool, struct slot *slot, enum reason why, enum blame blame,
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
        pool->totals.restarts++;
        pool->totals.restarts_by_reason[slot->failed_why]++;
    }
    slot->failed_why = REASON_START;
    pool_move(pool, slot, WORKER_SPAWNING, REASON_START, now_ns);
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
    slot->load_deadline_ns = CLOCK_NEVER;
    slot->stable_ns = now_ns + BACKOFF_STABLE_NS;
    slot->quiet_ns = now_ns + SLOT_QUIET_NS;
    care_begin(pool, slot, now_ns);
    pool_move(pool, slot, WORKER_READY, REASON_LOADED, now_ns);
    if (pool->able_ns == 0) pool->able_ns = now_ns;
    if (pool_able(pool) >= pool->slots_min) pool->reached_min = true;
    pool->backoff_until_ns = 0;
}

/* How many it takes at once, and whether it can check itself. */
static void learn(struct pool *pool, struct slot *slot, const struct transport_event *event) {
    uint32_t wanted = pool->options->queue.batch_max;
    slot->max_batch = event->max_batch < wanted ? event->max_batch : wanted;
    if (slot->max_batch == 0) slot->max_batch = 1;
    if (slot->max_batch > pool->batch_most) pool->batch_most = slot->max_batch;
    slot->checks = event->checks;
}

static void loaded(struct pool *pool, struct slot *slot, const struct transport_event *event,
                   uint64_t now_ns) {
    if (slot->record.state == WORKER_SPAWNING)
        pool_move(pool, slot, WORKER_LOADING, REASON_STARTED, now_ns);
    if (slot->record.state != WORKER_LOADING) return;
    if (*event->text == '\0') {
        learn(pool, slot, event);
        became_ready(pool, slot, now_ns);
        return;
    }
    slot_blame(slot, event->text);
    life_condemn(pool, slot, REASON_LOAD_FAILED, BLAME_NOBODY, now_ns);
}

/* --- the end ------------------------------------------------------------------------------------------ */

/* A load has failed. With no other slot able or coming, those who wait are told now, not later. */
static void give_up_on_load(struct pool *pool, const struct slot *slot, uint64_t now_ns) {
    enum outcome outcome = slot->failed_why == REASON_LOAD_TIMEOUT ? SPAWN_TIMEOUT : SPAWN_FAILED;
    if (pool_able(pool) > 0 || pool_coming(pool) > 0) return;
    pool->backoff_until_ns = slot->respawn_ns;
    work_refuse_waiting(pool, outcome, slot->last_error, slot->respawn_ns, now_ns);
}

/* What the worker had held is free again. */
static void give_room_back(struct pool *pool, struct slot *slot, enum reason why, uint64_t now_ns) {
    uint64_t bytes = governor_release(pool->governor, &slot->guard);
    if (why != REASON_MEMORY) return;
    pool->totals.evictions++;
    pool_tell(
        pool,
        &(struct pool_news){
            .kind = HAPPENING_EVICTION, .slot = slot, .why = reason_name(why), .number = bytes},
        now_ns);
}

/* The process is reaped (or never was): the slot is dead, and may live again after its back-off. */
static void ended(struct pool *pool, struct slot *slot, uint32_t random, uint64_t now_ns) {
    bool failed = slot->record.state == WORKER_FAILED;
    enum reason why = slot->failed_why;
    give_room_back(pool, slot, failed ? why : slot->stopped_why, now_ns);
    slot_reset(slot);
    pool_move(pool, slot, WORKER_DEAD, REASON_REAPED, now_ns);
    bool crashed = failed && !is_stop(why);
    slot->respawn_ns = crashed ? now_ns + backoff_delay(slot->failures, random) : now_ns;
    if (failed && is_load_failure(why)) give_up_on_load(pool, slot, now_ns);
    if (pool_is_given_up(pool))
        work_refuse_waiting(pool, NO_WORKERS, "too many of its threads hang", 0, now_ns);
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
    assert(slot_vacant(slot));
    bool listens = worker_state_can_serve(slot->record.state);
    forget_moments(slot);
    slot->stopped_why = why;
    pool_move(pool, slot, WORKER_EVICTING, why, now_ns);
    struct transport *transport = pool->transports[slot->index];
    if (listens) transport->calls->shutdown(transport);
    slot->term_ns = listens ? now_ns + SHUTDOWN_GRACE_NS : now_ns;
}

void life_kill(struct pool *pool, struct slot *slot, enum reason why, uint64_t now_ns) {
    if (slot->record.state == WORKER_PROCESSING) {
        slot_blame(slot, "killed at work: the pool ends");
        fail(pool, slot, why, now_ns);
    } else if (life_alive(slot)) {
        forget_moments(slot);
        slot->stopped_why = why;
        pool_move(pool, slot, WORKER_EVICTING, why, now_ns);
    } else if (slot->term_ns == CLOCK_NEVER && slot->kill_ns == CLOCK_NEVER) {
        return; /* dead, or killed already */
    }
    work_lost(pool, slot, BLAME_NOBODY, "the gateway stops", now_ns);
    slot->term_ns = CLOCK_NEVER;
    slot->kill_ns = now_ns;
}

void life_terminate(struct pool *pool, struct slot *slot, enum reason why, uint64_t now_ns) {
    fail(pool, slot, why, now_ns);
    signal_worker(pool, slot, SIGTERM);
    slot->kill_ns = clock_add(now_ns, pool->options->timeouts.kill_ns);
    work_lost(pool, slot, BLAME_NOBODY, slot->last_error, now_ns);
}

/* --- what the transport reports -------------------------------------------------------------------------- */

void life_event(struct pool *pool, struct slot *slot, const struct transport_event *event,
                uint32_t random, uint64_t now_ns) {
    switch (event->kind) {
    case TRANSPORT_STARTED: slot->pid = event->pid; return;
    case TRANSPORT_LOADING:
        if (slot->record.state == WORKER_SPAWNING)
            pool_move(pool, slot, WORKER_LOADING, REASON_STARTED, now_ns);
        return;
    case TRANSPORT_READY: loaded(pool, slot, event, now_ns); return;
    case TRANSPORT_REPLY:
    case TRANSPORT_ERROR:
        if (!worker_state_can_serve(slot->record.state)) return; /* its work was taken from it */
        if (work_replied(pool, slot, event, now_ns)) return;
        slot_blame(slot, "answered a request that it did not have");
        life_condemn(pool, slot, REASON_PROTOCOL, BLAME_REQUEST, now_ns);
        return;
    case TRANSPORT_PONG: care_pong(slot, event, now_ns); return;
    case TRANSPORT_CHECKED: care_checked(pool, slot, event, now_ns); return;
    case TRANSPORT_BROKEN:
        if (!life_alive(slot)) return;
        slot_blame(slot, event->text);
        life_condemn(pool, slot,
                     worker_state_can_serve(slot->record.state) ? REASON_PROTOCOL
                                                                : REASON_LOAD_FAILED,
                     BLAME_REQUEST, now_ns);
        return;
    case TRANSPORT_MEASURED: care_measured(pool, slot, event->resident_bytes); return;
    case TRANSPORT_EXITED: exited(pool, slot, event, random, now_ns); return;
    }
}
