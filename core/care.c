#include "core/care.h"

#include "core/base/clock.h"
#include "core/dispatch.h"
#include "core/life.h"

#include <signal.h>
#include <stdio.h>

/* A look at what a worker holds costs the kernel some 11 ms per GiB: the larger, the less often. */
#define MEASURE_NS          CLOCK_S
#define MEASURE_SELDOM_NS   (30 * CLOCK_S)
#define MEASURE_NS_PER_BYTE 4
#define CHECK_AGAIN         CLOCK_S /* a check that was due while there was work is tried again then */

static void signal_worker(struct pool *pool, struct slot *slot, int signal_number) {
    struct transport *transport = pool->transports[slot->index];
    transport->calls->signal(transport, signal_number);
}

void care_begin(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    slot->ping_ns = clock_add(now_ns, pool->options->health.interval_ns);
    slot->measure_ns = now_ns;
    uint64_t deep_ns = pool->options->health.deep_ns;
    if (slot->checks && deep_ns > 0) slot->check_ns = clock_add(now_ns, deep_ns);
}

static uint64_t sooner(uint64_t at_ns, uint64_t now_ns, uint64_t interval_ns) {
    uint64_t next_ns = clock_add(now_ns, interval_ns);
    return at_ns < next_ns ? at_ns : next_ns;
}

void care_tune(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    uint64_t deep_ns = pool->options->health.deep_ns;
    if (!worker_state_can_serve(slot->record.state)) return;
    slot->ping_ns = sooner(slot->ping_ns, now_ns, pool->options->health.interval_ns);
    if (slot->pong_deadline_ns != CLOCK_NEVER && slot->ping_ns < slot->pong_deadline_ns)
        slot->ping_ns = slot->pong_deadline_ns;
    if (!slot->checks || slot->checking) return;
    slot->check_ns = deep_ns > 0 ? sooner(slot->check_ns, now_ns, deep_ns) : CLOCK_NEVER;
}

/* --- work that nobody waits for ------------------------------------------------------------------------- */

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
    for (uint32_t i = 0; i < slot->places && slot->given_up > 0; i++) {
        struct assignment *assignment = &slot->assignments[i];
        if (assignment->id == 0 || assignment->stop_ns > now_ns) continue;
        if (may_finish(pool, slot, assignment, now_ns)) continue;
        enum reason why = assignment->stop_why;
        slot_blame(slot, why == REASON_DEADLINE ? "stopped: still busy after its deadline"
                                                : "stopped: still busy after its cancel");
        life_terminate(pool, slot, why, now_ns);
        return;
    }
}

/* --- pings ---------------------------------------------------------------------------------------------------- */

static void tend_ping(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    struct transport *transport = pool->transports[slot->index];
    if (slot->pong_deadline_ns <= now_ns) {
        slot->pong_deadline_ns = CLOCK_NEVER;
        if (++slot->pings_missed >= pool->options->health.misses) {
            slot_blame(slot, "did not answer its health pings");
            life_condemn(pool, slot, REASON_PING_MISSED, BLAME_NOBODY, now_ns);
            return;
        }
    }
    if (slot->ping_ns <= now_ns) {
        slot->pinged_ns = now_ns;
        transport->calls->ping(transport, ++slot->ping_id);
        slot->pong_deadline_ns = clock_add(now_ns, pool->options->health.timeout_ns);
        slot->ping_ns = clock_add(now_ns, pool->options->health.interval_ns);
        /* The next one only when it is known what became of this one. */
        if (slot->ping_ns < slot->pong_deadline_ns) slot->ping_ns = slot->pong_deadline_ns;
    }
}

void care_pong(struct slot *slot, const struct transport_event *event, uint64_t now_ns) {
    if (event->id != slot->ping_id) return;
    slot->pings_missed = 0;
    slot->pong_deadline_ns = CLOCK_NEVER;
    slot->pong_ns = now_ns;
    slot->ping_rtt_ns = now_ns - slot->pinged_ns;
    slot->busy_ns = event->busy_ns;
}

/* --- deep checks ------------------------------------------------------------------------------------------------ */

static void unsound(struct pool *pool, struct slot *slot, const char *why, uint64_t now_ns) {
    char text[SLOT_ERROR_BYTES];
    snprintf(text, sizeof text, "its check failed: %s", why);
    slot_blame(slot, text);
    slot->deep_ns = now_ns;
    slot->deep_sound = false;
    life_condemn(pool, slot, REASON_CHECK_FAILED, BLAME_NOBODY, now_ns);
}

static void tend_check(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    if (slot->check_deadline_ns <= now_ns) {
        unsound(pool, slot, "it did not end", now_ns);
        return;
    }
    if (slot->check_ns > now_ns) return;
    if (!slot_vacant(slot) || pool->queue.waiting > 0) {
        slot->check_ns = now_ns + CHECK_AGAIN;
        return;
    }
    slot->check_ns = CLOCK_NEVER;
    slot->checking = true;
    slot->check_deadline_ns = clock_add(now_ns, pool->options->timeouts.load_ns);
    struct transport *transport = pool->transports[slot->index];
    transport->calls->check(transport);
}

void care_checked(struct pool *pool, struct slot *slot, const struct transport_event *event,
                  uint64_t now_ns) {
    if (!slot->checking) return;
    slot->checking = false;
    slot->check_deadline_ns = CLOCK_NEVER;
    if (*event->text != '\0') {
        unsound(pool, slot, event->text, now_ns);
        return;
    }
    slot->deep_ns = now_ns;
    slot->deep_sound = true;
    uint64_t deep_ns =
        pool->options->health.deep_ns; /* 0: a reload has switched it off meanwhile */
    if (deep_ns > 0) slot->check_ns = clock_add(now_ns, deep_ns);
}

/* --- memory and age ------------------------------------------------------------------------------------------------ */

void care_measured(struct pool *pool, struct slot *slot, uint64_t resident_bytes) {
    slot->resident_bytes = resident_bytes;
    if (life_alive(slot)) governor_measured(pool->governor, &slot->guard, resident_bytes);
}

static bool is_worn(const struct pool *pool, const struct slot *slot) {
    uint64_t requests = pool->options->recycle.requests;
    uint64_t bytes = pool->options->recycle.memory_bytes;
    return (requests > 0 && slot->run_requests >= requests) ||
           (bytes > 0 && slot->resident_bytes > bytes);
}

void care_recycle(struct pool *pool, uint64_t now_ns) {
    if (pool->options->recycle.requests == 0 && pool->options->recycle.memory_bytes == 0) return;
    struct slot *worn = NULL;
    for (uint32_t i = 0; i < pool->slots_count; i++) {
        struct slot *slot = &pool->slots[i];
        if (!worker_state_can_serve(slot->record.state)) continue;
        if (slot->retiring || (worn == NULL && is_worn(pool, slot))) worn = slot;
        if (slot->retiring) break;
    }
    if (worn == NULL) return;
    if (!worn->retiring) {
        /* Until the last one's successor has come. */
        if (pool_coming(pool) > 0 || pool->census.by_state[WORKER_EVICTING] > 0) return;
        worn->retiring = true;
        pool->totals.recycled++;
        dispatch_recall(pool, worn, now_ns);
    }
    if (slot_vacant(worn) && !worn->checking) life_stop(pool, worn, REASON_RECYCLE, now_ns);
}

/* --- all moments ------------------------------------------------------------------------------------------------------ */

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

static uint64_t measure_interval_ns(const struct slot *slot) {
    uint64_t interval_ns = slot->resident_bytes * MEASURE_NS_PER_BYTE;
    if (interval_ns < MEASURE_NS) return MEASURE_NS;
    return interval_ns > MEASURE_SELDOM_NS ? MEASURE_SELDOM_NS : interval_ns;
}

static void tend_rest(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    if (slot->quiet_ns <= now_ns) {
        slot->quiet_ns = CLOCK_NEVER;
        pool_move(pool, slot, WORKER_IDLE, REASON_QUIET, now_ns);
    }
    if (slot->stable_ns <= now_ns) {
        slot->stable_ns = CLOCK_NEVER;
        slot->failures = 0;
    }
    if (slot->measure_ns <= now_ns) {
        struct transport *transport = pool->transports[slot->index];
        slot->measure_ns = now_ns + measure_interval_ns(slot);
        transport->calls->measure(transport);
    }
}

void care_tend(struct pool *pool, struct slot *slot, uint64_t now_ns) {
    if (slot_next_ns(slot) > now_ns) return;
    if (slot->load_deadline_ns <= now_ns) {
        slot_blame(slot, "was not ready within timeouts.load");
        life_condemn(pool, slot, REASON_LOAD_TIMEOUT, BLAME_NOBODY, now_ns);
    }
    if (worker_state_can_serve(slot->record.state)) tend_work(pool, slot, now_ns);
    if (worker_state_can_serve(slot->record.state)) tend_ping(pool, slot, now_ns);
    if (worker_state_can_serve(slot->record.state)) tend_check(pool, slot, now_ns);
    tend_rest(pool, slot, now_ns);
    tend_end(pool, slot, now_ns);
}
