#include "core/policy/pool_change.h"
#include "tests/support/suite.h"

#include <string.h>

static struct pool_options built, now, wanted;

static void arrange(void) {
    static const char *const pass[] = {"PATH", "LANG"};
    static const struct pair args[] = {{"language", "eng"}};
    built = (struct pool_options){.name = "ocr",
                                  .capability = "text",
                                  .worker = {.plugin = "ocr",
                                             .args = args,
                                             .args_count = 1,
                                             .env_pass = pass,
                                             .env_pass_count = 2},
                                  .slots_min = 1,
                                  .slots_max = 4,
                                  .inflight = 1,
                                  .staged = 1,
                                  .cpus = "any",
                                  .memory_bytes = 100,
                                  .queue = {.capacity = 100, .reserve = 10, .batch_max = 1}};
    now = wanted = built;
}

static enum pool_change change(void) {
    return pool_change_of(&built, &now, &wanted);
}

START_TEST(texts_and_lists_are_compared_by_what_they_say) {
    arrange();
    char name[] = "ocr", plugin[] = "ocr", path[] = "PATH", lang[] = "LANG", key[] = "language";
    const char *const pass[] = {path, lang};
    const struct pair args[] = {{key, "eng"}};
    wanted.name = name;
    wanted.worker.plugin = plugin;
    wanted.worker.env_pass = pass;
    wanted.worker.args = args;
    wanted.chaos = "";
    ck_assert_int_eq(change(), POOL_SAME);
}
END_TEST

START_TEST(whatever_a_worker_is_made_of_makes_another_pool) {
    static const char *const one[] = {"PATH"}, *const other[] = {"PATH", "HOME"};
    static const char *const command[] = {"worker", NULL}, *const longer[] = {"worker", "-v", NULL};
    static const struct pair args[] = {{"language", "deu"}};
#define MAKES_ANOTHER(change_it)                                                                   \
    arrange();                                                                                     \
    change_it;                                                                                     \
    ck_assert_msg(change() == POOL_REPLACED, "%s", #change_it)
    MAKES_ANOTHER(wanted.worker.plugin = "echo");
    MAKES_ANOTHER(wanted.worker.args = args);
    MAKES_ANOTHER(wanted.worker.args_count = 0);
    MAKES_ANOTHER(wanted.worker.env_pass = other);
    MAKES_ANOTHER((wanted.worker.env_pass = one, wanted.worker.env_pass_count = 1));
    MAKES_ANOTHER((wanted.worker.env_set = args, wanted.worker.env_set_count = 1));
    MAKES_ANOTHER(wanted.worker.command = command);
    MAKES_ANOTHER((now.worker.command = command, wanted.worker.command = longer));
    MAKES_ANOTHER(wanted.isolation = ISOLATION_THREAD);
    MAKES_ANOTHER(wanted.inflight = 2);
    MAKES_ANOTHER(wanted.staged = 0);
    MAKES_ANOTHER(wanted.cpus = "0-1");
    MAKES_ANOTHER(wanted.queue.batch_max = 8);
    MAKES_ANOTHER(wanted.chaos = "crash=5%");
    MAKES_ANOTHER(wanted.max_reply_bytes = 1);
}
END_TEST

START_TEST(numbers_that_are_read_each_time_are_tuned) {
#define IS_TUNED(change_it)                                                                        \
    arrange();                                                                                     \
    wanted.change_it;                                                                              \
    ck_assert_msg(change() == POOL_TUNED, "%s", #change_it)
    IS_TUNED(capability = "other");
    IS_TUNED(slots_min = 2);
    IS_TUNED(slots_max = 3);
    IS_TUNED(memory_bytes = 200);
    IS_TUNED(queue.capacity = 50);
    IS_TUNED(queue.reserve = 5);
    IS_TUNED(queue.bytes = 7);
    IS_TUNED(queue.aging_ns = 7);
    IS_TUNED(queue.fair = true);
    IS_TUNED(queue.overload = OVERLOAD_NONE);
    IS_TUNED(queue.batch_delay_ns = 7);
    IS_TUNED(timeouts.load_ns = 7);
    IS_TUNED(timeouts.request_ns = 7);
    IS_TUNED(timeouts.max_ns = 7);
    IS_TUNED(timeouts.idle_ns = 7);
    IS_TUNED(timeouts.cancel_ns = 7);
    IS_TUNED(timeouts.kill_ns = 7);
    IS_TUNED(required = true);
    IS_TUNED(health.interval_ns = 7);
    IS_TUNED(health.timeout_ns = 7);
    IS_TUNED(health.misses = 7);
    IS_TUNED(health.deep_ns = 7);
    IS_TUNED(breaker.failures = 7);
    IS_TUNED(breaker.probes = 7);
    IS_TUNED(breaker.successes = 7);
    IS_TUNED(breaker.open_ns = 7);
    IS_TUNED(recycle.requests = 7);
    IS_TUNED(recycle.memory_bytes = 7);
    IS_TUNED(scale.policy = SCALE_ADAPTIVE);
    IS_TUNED(scale.interval_ns = 7);
    IS_TUNED(retry_crashes = 7);
}
END_TEST

START_TEST(what_was_built_is_the_bound_of_what_can_be_tuned) {
    arrange();
    now.slots_max = 2; /* an earlier reload has lowered it */
    wanted.slots_max = 4;
    ck_assert_int_eq(change(), POOL_TUNED);
    wanted.slots_max = 5;
    ck_assert_int_eq(change(), POOL_REPLACED);
    arrange();
    wanted.queue.capacity = 110, wanted.queue.reserve = 0;
    ck_assert_int_eq(change(), POOL_TUNED);
    wanted.queue.reserve = 1;
    ck_assert_int_eq(change(), POOL_REPLACED);
    arrange();
    wanted.queue.dedup_ns = 7; /* it has no table for that */
    ck_assert_int_eq(change(), POOL_REPLACED);
    built.queue.dedup_ns = now.queue.dedup_ns = 5;
    ck_assert_int_eq(change(), POOL_TUNED);
    wanted.queue.dedup_ns = 0;
    ck_assert_int_eq(change(), POOL_TUNED);
}
END_TEST

SUITE("core/pool_change", 20, texts_and_lists_are_compared_by_what_they_say,
      whatever_a_worker_is_made_of_makes_another_pool, numbers_that_are_read_each_time_are_tuned,
      what_was_built_is_the_bound_of_what_can_be_tuned)
