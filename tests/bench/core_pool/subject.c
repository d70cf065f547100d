#include "tests/bench/core_pool/subject.h"

#include "core/base/clock.h"
#include "workers/host/thread_host.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOAD_WITHIN_NS (20 * CLOCK_S)

void pause_ns(uint64_t ns) {
    struct timespec left = {.tv_sec = (time_t)(ns / CLOCK_S), .tv_nsec = (long)(ns % CLOCK_S)};
    nanosleep(&left, NULL);
}

/* The configuration's own defaults, but for what the plan says. */
static struct pool_options options_of(const struct plan *plan, uint32_t capacity) {
    return (struct pool_options){
        .name = "echo",
        .capability = "",
        .worker = {.plugin = "echo"},
        .isolation = plan->isolation,
        .slots_min = plan->slots,
        .slots_max = plan->slots,
        .inflight = 1,
        .memory_bytes = UINT64_C(16) << 20,
        .queue = {.capacity = capacity,
                  .reserve = capacity / 10,
                  .bytes = UINT64_C(1) << 30,
                  .aging_ns = plan->aging_ns,
                  .dedup_ns = plan->dedup_ns,
                  .fair = plan->fair,
                  .overload = plan->overload,
                  .batch_max = 1},
        .staged = plan->staged,
        .cpus = "any",
        .breaker = {.failures = 5, .probes = 3, .successes = 3, .open_ns = 60 * CLOCK_S},
        .timeouts = {.load_ns = 30 * CLOCK_S,
                     .request_ns = 60 * CLOCK_S,
                     .max_ns = 3600 * CLOCK_S,
                     .idle_ns = 300 * CLOCK_S,
                     .cancel_ns = 30 * CLOCK_S,
                     .kill_ns = 5 * CLOCK_S},
        .required = true,
        .health = {.interval_ns = 10 * CLOCK_S, .timeout_ns = CLOCK_S, .misses = 3},
        .scale = {.policy = SCALE_ADAPTIVE, .interval_ns = CLOCK_S},
        .retry_crashes = 1,
        .max_reply_bytes = UINT64_C(64) << 20,
    };
}

static uint32_t able(struct subject *subject) {
    const struct snapshot *snapshot = gate_snapshot(subject->gate);
    const uint32_t *by_state = snapshot->pools[0].by_state;
    uint32_t able = by_state[WORKER_READY] + by_state[WORKER_IDLE] + by_state[WORKER_PROCESSING];
    gate_snapshot_release(subject->gate, snapshot);
    return able;
}

uint32_t subject_waiting(struct subject *subject) {
    const struct snapshot *snapshot = gate_snapshot(subject->gate);
    uint32_t waiting = snapshot->pools[0].waiting;
    gate_snapshot_release(subject->gate, snapshot);
    return waiting;
}

static void name_files(struct subject *subject, const char *build) {
    int program = snprintf(subject->worker_program, PATH_MAX, "%s/poolgate-worker", build);
    int folder = snprintf(subject->plugin_folder, PATH_MAX, "%s/workers", build);
    if (program >= PATH_MAX || folder >= PATH_MAX) invalid("the path of the build is too long");
}

void subject_open(struct subject *subject, const struct plan *plan, uint32_t capacity) {
    *subject = (struct subject){.pool = options_of(plan, capacity)};
    name_files(subject, plan->build);
    if (plan->work_ms > 0) {
        snprintf(subject->work_ms, sizeof subject->work_ms, "%" PRIu64, plan->work_ms);
        subject->args[0] = (struct pair){.name = "delay_ms", .value = subject->work_ms};
        subject->pool.worker.args = subject->args;
        subject->pool.worker.args_count = 1;
    }
    const struct gate_options options = {.pools = &subject->pool,
                                         .pools_count = 1,
                                         .worker_program = subject->worker_program,
                                         .plugin_folder = subject->plugin_folder,
                                         .thread_worker = thread_host_run};
    enum outcome outcome = gate_open(&subject->gate, &options);
    if (outcome != OK) invalid("the gate did not open: %s", outcome_code(outcome));
    uint64_t until_ns = clock_now_ns() + LOAD_WITHIN_NS;
    while (able(subject) < plan->slots) {
        if (clock_now_ns() > until_ns) invalid("the slots are not ready after 20 s");
        pause_ns(5 * CLOCK_MS);
    }
}

static void on_drained(void *owner) {
    struct subject *subject = owner;
    atomic_store(&subject->drained, 1);
}

void subject_drain(struct subject *subject) {
    gate_drain(subject->gate, 0, on_drained, subject);
    while (atomic_load(&subject->drained) == 0) pause_ns(CLOCK_MS);
}

void subject_close(struct subject *subject) {
    if (atomic_load(&subject->drained) == 0) subject_drain(subject);
    gate_close(subject->gate);
}
