/* gate_stage - the whole core with real workers, and who waits for its answers.
 * thread: the test's own. One gate at a time. owns: the gate and the last answer. fails: the test ends. */
#ifndef TESTS_CORE_GATE_STAGE_H
#define TESTS_CORE_GATE_STAGE_H

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/gate.h"
#include "workers/host/thread_host.h"

#include <check.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_S 20 /* how long a test waits for something that must happen */

struct collector {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t answered, by_outcome[OUTCOME_COUNT];
    struct request *last; /* of those that were kept */
    bool drained;
};

static struct collector collector;
static struct gate *gate;
static struct pool_options pools[5];

static inline void on_done(struct request *request) {
    pthread_mutex_lock(&collector.lock);
    collector.answered++;
    collector.by_outcome[request->outcome]++;
    request_free(collector.last);
    collector.last = request;
    pthread_cond_broadcast(&collector.changed);
    pthread_mutex_unlock(&collector.lock);
}

static inline void on_drained(void *owner) {
    (void)owner;
    pthread_mutex_lock(&collector.lock);
    collector.drained = true;
    pthread_cond_broadcast(&collector.changed);
    pthread_mutex_unlock(&collector.lock);
}

static inline struct timespec limit(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LIMIT_S;
    return until;
}

static inline void wait_for_answers(uint32_t count) {
    struct timespec until = limit();
    pthread_mutex_lock(&collector.lock);
    while (collector.answered < count)
        ck_assert_int_eq(pthread_cond_timedwait(&collector.changed, &collector.lock, &until), 0);
    pthread_mutex_unlock(&collector.lock);
}

static inline struct pool_options echo_pool(const char *name, uint32_t slots) {
    static const char *const pass[] = {"PATH"};
    return (struct pool_options){
        .name = name,
        .capability = "test",
        .worker = {.plugin = "echo", .env_pass = pass, .env_pass_count = 1},
        .slots_min = slots,
        .slots_max = slots,
        .inflight = 1,
        .queue = {.capacity = 1000, .reserve = 100, .bytes = 1 << 30},
        .timeouts = {.load_ns = 10 * CLOCK_S,
                     .idle_ns = 300 * CLOCK_S,
                     .cancel_ns = 30 * CLOCK_S,
                     .kill_ns = CLOCK_S},
        .required = true,
        .memory_bytes = 1 << 20,
        .breaker = {.failures = 1000, .open_ns = CLOCK_S, .probes = 1, .successes = 1},
        .health = {.interval_ns = 10 * CLOCK_S, .timeout_ns = CLOCK_S, .misses = 3},
        .scale = {.policy = SCALE_FIXED, .interval_ns = CLOCK_S},
        .retry_crashes = 1,
        .max_reply_bytes = 64 << 20};
}

static inline struct pool_options thread_pool(uint32_t slots) {
    struct pool_options pool = echo_pool("thread", slots);
    pool.isolation = ISOLATION_THREAD;
    return pool;
}

static inline void open_gate(size_t count) {
    memset(&collector, 0, sizeof collector);
    pthread_mutex_init(&collector.lock, NULL);
    pthread_cond_init(&collector.changed, NULL);
    struct gate_options options = {.pools = pools,
                                   .pools_count = count,
                                   .worker_program = TEST_BUILD_FOLDER "/poolgate-worker",
                                   .plugin_folder = TEST_BUILD_FOLDER "/workers",
                                   .thread_worker = thread_host_run};
    ck_assert_int_eq(gate_open(&gate, &options), OK);
}

static inline void close_gate(void) {
    gate_drain(gate, 10 * CLOCK_S, on_drained, NULL);
    struct timespec until = limit();
    pthread_mutex_lock(&collector.lock);
    while (!collector.drained)
        ck_assert_int_eq(pthread_cond_timedwait(&collector.changed, &collector.lock, &until), 0);
    pthread_mutex_unlock(&collector.lock);
    gate_close(gate);
    request_free(collector.last);
}

static inline struct request *make_request(uint32_t pool, const char *operation, const void *data,
                                           size_t bytes) {
    struct request *request;
    struct request_texts texts = {
        .request_id = "test", .content_type = "text/plain", .operation = operation};
    ck_assert_int_eq(request_create(&request, &texts), OK);
    ck_assert_int_eq(body_create(&request->body, bytes), OK);
    ck_assert_int_eq(body_append(request->body, data, bytes), OK);
    ck_assert_int_eq(body_seal(request->body), OK);
    request->pool = pool;
    request->arrived_ns = clock_now_ns();
    request->deadline_ns = request->arrived_ns + LIMIT_S * CLOCK_S;
    request->done = on_done;
    return request;
}

static inline uint64_t submit(struct request *request) {
    uint64_t id, retry_after_ns;
    ck_assert_int_eq(gate_submit(gate, request, &id, &retry_after_ns), OK);
    return id;
}

/* Asks the snapshot until the pool's count of slots in a state is as wanted. */
static inline void wait_for_state(uint32_t pool, enum worker_state state, uint32_t count) {
    uint64_t until_ns = clock_now_ns() + LIMIT_S * CLOCK_S;
    uint32_t seen;
    do {
        ck_assert_uint_lt(clock_now_ns(), until_ns);
        usleep(1000);
        const struct snapshot *snapshot = gate_snapshot(gate);
        seen = snapshot->pools[pool].by_state[state];
        gate_snapshot_release(gate, snapshot);
    } while (seen != count);
}

static inline pid_t worker_pid(uint32_t pool, uint32_t slot) {
    const struct snapshot *snapshot = gate_snapshot(gate);
    pid_t pid = snapshot->pools[pool].slots[slot].pid;
    gate_snapshot_release(gate, snapshot);
    return pid;
}

#endif
