/* Reloads through the gate, with real worker processes and threads. */
#include "core/base/clock.h"
#include "core/gate.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"
#include "workers/host/thread_host.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_S 20
#define POOLS   6
#define ROUNDS  40
#define CALLERS 3

static struct gate *gate;
static sem_t ended;
static struct gate_reloaded result;
static _Atomic uint32_t submitted, answered, wrong;
static struct pool_options first[POOLS];

static struct pool_options echo_pool(const char *name) {
    return (struct pool_options){
        .name = name,
        .capability = "test",
        .worker = {.plugin = "echo"},
        .isolation = ISOLATION_THREAD,
        .slots_min = 1,
        .slots_max = 1,
        .inflight = 1,
        .queue = {.capacity = 1000, .reserve = 100, .bytes = 1 << 30},
        .timeouts = {.load_ns = 10 * CLOCK_S,
                     .idle_ns = 300 * CLOCK_S,
                     .cancel_ns = 30 * CLOCK_S,
                     .kill_ns = CLOCK_S},
        .health = {.interval_ns = 10 * CLOCK_S, .timeout_ns = CLOCK_S, .misses = 3},
        .breaker = {.failures = 1000000, .open_ns = CLOCK_S, .probes = 1, .successes = 1},
        .scale = {.policy = SCALE_FIXED, .interval_ns = CLOCK_S},
        .max_reply_bytes = 1 << 20};
}

static struct pool_options process_pool(const char *name) {
    struct pool_options pool = echo_pool(name);
    pool.isolation = ISOLATION_PROCESS;
    return pool;
}

static void wait_for(sem_t *semaphore) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LIMIT_S;
    ck_assert_int_eq(sem_timedwait(semaphore, &until), 0);
}

static void open_gate(size_t count) {
    sem_init(&ended, 0, 0);
    submitted = answered = wrong = 0;
    const struct gate_options options = {.pools = first,
                                         .pools_count = count,
                                         .worker_program = TEST_BUILD_FOLDER "/poolgate-worker",
                                         .plugin_folder = TEST_BUILD_FOLDER "/workers",
                                         .thread_worker = thread_host_run};
    ck_assert_int_eq(gate_open(&gate, &options), OK);
}

static void on_drained(void *owner) {
    sem_post(owner);
}

static void close_gate(void) {
    gate_drain(gate, 10 * CLOCK_S, on_drained, &ended);
    wait_for(&ended);
    gate_close(gate);
    ck_assert_uint_eq(answered, submitted);
    ck_assert_uint_eq(wrong, 0);
}

static void on_reloaded(void *owner, const struct gate_reloaded *what) {
    result = *what;
    sem_post(owner);
}

/* Options that live as long as the gate: the end of the test. */
static void reload(const struct pool_options *pools, size_t count) {
    gate_reload(gate, pools, count, on_reloaded, &ended);
    wait_for(&ended);
    ck_assert_int_eq(result.outcome, OK);
}

static void on_done(struct request *request) {
    if (request->outcome != OK) atomic_fetch_add(&wrong, 1);
    gate_let_go_pool(gate, request->pool);
    request_free(request);
    atomic_fetch_add(&answered, 1);
}

/* As a front end does it. False: there is no such pool. */
static bool call(const char *name, const char *operation) {
    uint32_t pool;
    if (!gate_hold_pool(gate, name, &pool)) return false;
    struct request *request;
    const struct request_texts texts = {.request_id = "test", .operation = operation};
    require(strcmp(gate_pool(gate, pool)->name, name) == 0);
    require(request_create(&request, &texts) == OK);
    request->pool = pool;
    request->arrived_ns = clock_now_ns();
    request->deadline_ns = CLOCK_NEVER;
    request->done = on_done;
    uint64_t id, retry_after_ns;
    require(gate_submit(gate, request, &id, &retry_after_ns) == OK);
    atomic_fetch_add(&submitted, 1);
    return true;
}

static void wait_for_answers(void) {
    uint64_t until_ns = clock_now_ns() + LIMIT_S * CLOCK_S;
    while (answered < submitted) {
        ck_assert_uint_lt(clock_now_ns(), until_ns);
        usleep(500);
    }
}

static void expect_names(const struct pool_options *pools, size_t count) {
    const struct snapshot *snapshot = gate_snapshot(gate);
    ck_assert_uint_eq(snapshot->pools_count, count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(snapshot->pools[i].name, pools[i].name);
        ck_assert_ptr_eq(snapshot_find(snapshot, pools[i].name), &snapshot->pools[i]);
    }
    gate_snapshot_release(gate, snapshot);
    ck_assert_uint_eq(gate_pools_count(gate), count);
}

static pid_t pid_of(const char *name) {
    pid_t pid = 0;
    for (int i = 0; pid == 0 && i < LIMIT_S * 1000; i++) {
        usleep(1000);
        const struct snapshot *snapshot = gate_snapshot(gate);
        pid = snapshot_find(snapshot, name)->slots[0].pid;
        gate_snapshot_release(gate, snapshot);
    }
    return pid;
}

START_TEST(the_same_pools_again_keep_nothing) {
    first[0] = process_pool("a");
    open_gate(1);
    const struct pool_options again = process_pool("a");
    reload(&again, 1);
    ck_assert_uint_eq(result.unchanged, 1);
    ck_assert(!result.kept);
    close_gate();
}
END_TEST

START_TEST(a_changed_pool_gets_another_worker_and_the_others_keep_theirs) {
    static const struct pair args[] = {{"load_ms", "1"}};
    static struct pool_options next[3];
    first[0] = process_pool("a");
    first[1] = process_pool("b");
    open_gate(2);
    pid_t a = pid_of("a"), b = pid_of("b");
    next[0] = process_pool("c");
    next[1] = first[0];
    next[2] = first[1];
    next[2].worker.args = args;
    next[2].worker.args_count = 1;
    reload(next, 3);
    ck_assert(result.kept);
    ck_assert_uint_eq(result.added, 1);
    ck_assert_uint_eq(result.changed, 1);
    ck_assert_uint_eq(result.restarted, 1);
    ck_assert_uint_eq(result.unchanged, 1);
    expect_names(next, 3);
    ck_assert_int_eq(pid_of("a"), a);
    ck_assert_int_ne(pid_of("b"), b);
    for (int i = 0; i < 3; i++) ck_assert(call(next[i].name, ""));
    wait_for_answers();
    close_gate();
}
END_TEST

START_TEST(a_number_is_a_pools_own_until_it_is_let_go) {
    static struct pool_options next[2];
    first[0] = echo_pool("a");
    open_gate(1);
    uint32_t a, c, again;
    ck_assert(gate_hold_pool(gate, "a", &a));
    next[0] = echo_pool("b");
    next[1] = echo_pool("c");
    reload(&next[0], 1);
    ck_assert(!gate_hold_pool(gate, "a", &again));
    ck_assert_str_eq(gate_pool(gate, a)->name, "a");
    reload(&next[1], 1);
    ck_assert(gate_hold_pool(gate, "c", &c));
    ck_assert_uint_ne(c, a);
    gate_let_go_pool(gate, a);
    gate_let_go_pool(gate, c);
    /* Sooner or later the number of the first is used again. */
    uint64_t until_ns = clock_now_ns() + LIMIT_S * CLOCK_S;
    int turn = 0;
    for (again = c; again != a;) {
        ck_assert_uint_lt(clock_now_ns(), until_ns);
        usleep(20000);
        reload(&next[turn], 1);
        ck_assert(gate_hold_pool(gate, next[turn].name, &again));
        gate_let_go_pool(gate, again);
        turn = 1 - turn;
    }
    close_gate();
}
END_TEST

START_TEST(what_has_not_begun_when_the_drain_does_is_refused) {
    static struct pool_options next;
    first[0] = echo_pool("a");
    open_gate(1);
    next = echo_pool("b");
    sem_t drained;
    sem_init(&drained, 0, 0);
    gate_drain(gate, CLOCK_S, on_drained, &drained);
    gate_reload(gate, &next, 1, on_reloaded, &ended);
    wait_for(&ended);
    ck_assert_int_eq(result.outcome, SHUTTING_DOWN);
    ck_assert(!result.kept);
    wait_for(&drained);
    gate_close(gate);
}
END_TEST

/* --- at random, under load --------------------------------------------------------------------------------- */

static _Atomic bool over;
static const char *const names[POOLS] = {"a", "b", "c", "d", "e", "f"};

static void *caller(void *argument) {
    struct chance chance = {.state = (uintptr_t)argument};
    while (!over) {
        call(names[chance_below(&chance, POOLS)], chance_percent(&chance, 10) ? "delay:3" : "");
        if (atomic_load(&submitted) - atomic_load(&answered) > 100) usleep(200);
    }
    return NULL;
}

/* A new list of pools: each there or not, with another argument, other numbers, or as it was. */
static size_t draw(struct chance *chance, const struct pool_options *last, size_t last_count,
                   struct pool_options *out) {
    static const struct pair args[] = {{"load_ms", "1"}, {"load_ms", "2"}, {"load_ms", "3"}};
    size_t count = 0;
    uint32_t turn = chance_below(chance, POOLS);
    for (uint32_t i = 0; i < POOLS; i++) {
        const char *name = names[(i + turn) % POOLS];
        if (chance_percent(chance, 20) && (count > 0 || i + 1 < POOLS)) continue;
        struct pool_options pool = echo_pool(name);
        for (size_t j = 0; j < last_count; j++)
            if (last[j].name == name) pool = last[j];
        if (chance_percent(chance, 20)) {
            pool.worker.args = &args[chance_below(chance, 3)];
            pool.worker.args_count = 1;
        }
        if (chance_percent(chance, 20)) pool.queue.capacity = 500 + chance_below(chance, 500);
        if (chance_percent(chance, 20)) pool.queue.fair = !pool.queue.fair;
        if (chance_percent(chance, 10)) pool.slots_max = 1 + chance_below(chance, 2);
        if (pool.slots_min > pool.slots_max) pool.slots_min = pool.slots_max;
        out[count++] = pool;
    }
    return count;
}

START_TEST(whatever_is_reloaded_under_load_every_request_is_answered_well) {
    static struct pool_options lists[ROUNDS + 1][POOLS];
    struct chance chance = chance_open();
    pthread_t threads[CALLERS];
    size_t count = POOLS;
    for (size_t i = 0; i < POOLS; i++) first[i] = lists[0][i] = echo_pool(names[i]);
    open_gate(POOLS);
    over = false;
    for (uintptr_t i = 0; i < CALLERS; i++)
        pthread_create(&threads[i], NULL, caller, (void *)(chance_next(&chance) | 1));
    for (size_t round = 1; round <= ROUNDS; round++) {
        size_t before = count;
        count = draw(&chance, lists[round - 1], before, lists[round]);
        reload(lists[round], count);
        ck_assert_uint_eq(result.added + result.changed + result.unchanged, count);
        ck_assert_uint_eq(before + result.added - result.removed, count);
        usleep(chance_below(&chance, 10000));
        expect_names(lists[round], count);
    }
    over = true;
    for (size_t i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
    wait_for_answers();
    ck_assert_uint_gt(answered, 100);
    close_gate();
}
END_TEST

SUITE("core/reload", 60, the_same_pools_again_keep_nothing,
      a_changed_pool_gets_another_worker_and_the_others_keep_theirs,
      a_number_is_a_pools_own_until_it_is_let_go, what_has_not_begun_when_the_drain_does_is_refused,
      whatever_is_reloaded_under_load_every_request_is_answered_well)
