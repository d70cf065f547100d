#include "core/base/clock.h"
#include "gateway/http/state.h"
#include "tests/support/suite.h"

#include <string.h>

#define NOW (UINT64_C(5000) * CLOCK_S)

static struct slot_snapshot slots[2];
static struct pool_snapshot pool;
static json_t *made;

static void arrange(void) {
    slots[1].index = 1;
    pool = (struct pool_snapshot){
        .name = "ocr", .capability = "vision", .slots_max = 2, .slots_count = 2, .slots = slots};
}

static json_t *pool_now(void) {
    json_decref(made);
    made = state_pool(&pool, NOW);
    ck_assert_ptr_nonnull(made);
    return made;
}

static json_t *checks_now(void) {
    json_decref(made);
    made = state_slots(&pool, NOW);
    ck_assert_ptr_nonnull(made);
    return json_object_get(json_array_get(json_object_get(made, "slots"), 0), "checks");
}

/* The member's text, without spaces. */
static void is(json_t *object, const char *member, const char *wanted) {
    char *text = json_dumps(json_object_get(object, member), JSON_COMPACT | JSON_ENCODE_ANY);
    ck_assert_msg(text != NULL && strcmp(text, wanted) == 0, "%s is %s, not %s", member, text,
                  wanted);
    free(text);
}

static void end(void) {
    json_decref(made);
    made = NULL;
}

START_TEST(a_closed_breaker_is_open_for_null) {
    arrange();
    is(pool_now(), "breaker",
       "{\"state\":\"closed\",\"open_for_ms\":null,\"opened\":0,\"rejections\":0}");
    end();
}
END_TEST

START_TEST(an_open_breaker_says_how_long_it_stays_so) {
    arrange();
    pool.breaker = BREAKER_OPEN;
    pool.breaker_until_ns = NOW + 1500 * CLOCK_MS;
    pool.breaker_opened = 2;
    pool.breaker_rejections = 41;
    is(pool_now(), "breaker",
       "{\"state\":\"open\",\"open_for_ms\":1500.0,\"opened\":2,\"rejections\":41}");
    pool.breaker_until_ns = NOW - 1; /* an old snapshot: it is due */
    is(json_object_get(pool_now(), "breaker"), "open_for_ms", "0.0");
    pool.breaker = BREAKER_HALF_OPEN;
    is(json_object_get(pool_now(), "breaker"), "state", "\"half_open\"");
    is(json_object_get(made, "breaker"), "open_for_ms", "null");
    end();
}
END_TEST

START_TEST(tenants_are_listed_with_what_they_have) {
    arrange();
    pool.tenants_count = 2;
    pool.tenants_live = 40;
    pool.tenants[0] = (struct tenant_snapshot){
        .name = "alice", .waiting = 7, .out = 2, .share = 0.75, .weight = 3};
    pool.tenants[1] =
        (struct tenant_snapshot){.name = "", .waiting = 1, .share = 0.25, .weight = 1};
    json_t *queue = json_object_get(pool_now(), "queue");
    is(queue, "tenants",
       "{\"alice\":{\"waiting\":7,\"running\":2,\"share\":0.75,\"weight\":3},"
       "\"\":{\"waiting\":1,\"running\":0,\"share\":0.25,\"weight\":1}}");
    is(queue, "tenants_live", "40");
    end();
}
END_TEST

START_TEST(a_tenant_named_by_garbage_does_not_break_the_page) {
    arrange();
    pool.tenants_count = 1;
    pool.tenants[0] = (struct tenant_snapshot){.name = "m\xfcller", .waiting = 1};
    is(json_object_get(pool_now(), "queue"), "tenants",
       "{\"m?ller\":{\"waiting\":1,\"running\":0,\"share\":0.0,\"weight\":0}}");
    end();
}
END_TEST

START_TEST(totals_and_rates_are_the_snapshots) {
    arrange();
    pool.service_rate = 12.5;
    pool.answered = 1, pool.retried = 2, pool.crashed = 3, pool.restarts = 4, pool.cancelled = 5;
    pool.expired = 6, pool.abandoned = 7, pool.unmeetable = 8, pool.shed = 9;
    pool.deduplicated = 10, pool.evictions = 11, pool.recycled = 12, pool.quarantined = 13;
    pool.staged_back = 14, pool.batches = 15, pool.batched = 16, pool.alarms = 17;
    is(pool_now(), "totals",
       "{\"answered\":1,\"retried\":2,\"crashed\":3,\"restarts\":4,\"cancelled\":5,\"expired\":6,"
       "\"abandoned\":7,\"unmeetable\":8,\"shed\":9,\"deduplicated\":10,\"evictions\":11,"
       "\"recycled\":12,\"quarantined\":13,\"staged_back\":14,\"batches\":15,\"batched\":16,"
       "\"alarms\":17}");
    is(json_object_get(made, "queue"), "service_rate", "12.5");
    end();
}
END_TEST

START_TEST(checks_that_were_not_made_say_null) {
    arrange();
    slots[0].checks.pings_missed = 1; /* before the first pong */
    json_t *checks = checks_now();
    is(checks, "ping", "{\"at\":null,\"rtt_ms\":null,\"busy_ms\":null,\"missed\":1}");
    is(checks, "deep", "{\"at\":null,\"sound\":null}");
    is(checks, "memory", "{\"sound\":null}");
    is(checks, "latency", "{\"p50_ms\":null,\"p99_ms\":null}");
    end();
}
END_TEST

START_TEST(checks_say_what_they_found_and_when) {
    arrange();
    slots[0].staged = 3;
    slots[0].resident_bytes = 1;
    slots[0].checks = (struct slot_checks){.pong_ns = NOW,
                                           .ping_rtt_ns = 250 * CLOCK_US,
                                           .pings_missed = 2,
                                           .busy_ns = 40 * CLOCK_MS,
                                           .deep_ns = NOW,
                                           .deep_sound = true,
                                           .memory_sound = false,
                                           .run_p50_ns = 2 * CLOCK_MS,
                                           .run_p99_ns = 9 * CLOCK_MS};
    char at[CLOCK_TEXT_BYTES], wanted[160];
    json_t *checks = checks_now();
    clock_text(NOW, at);
    snprintf(wanted, sizeof wanted, "{\"at\":\"%s\",\"rtt_ms\":0.25,\"busy_ms\":40.0,\"missed\":2}",
             at);
    is(checks, "ping", wanted);
    snprintf(wanted, sizeof wanted, "{\"at\":\"%s\",\"sound\":true}", at);
    is(checks, "deep", wanted);
    is(checks, "memory", "{\"sound\":false}");
    is(checks, "latency", "{\"p50_ms\":2.0,\"p99_ms\":9.0}");
    json_t *listed = json_object_get(made, "slots");
    is(json_array_get(listed, 0), "staged", "3");
    is(json_array_get(listed, 1), "staged", "0");
    end();
}
END_TEST

START_TEST(memory_of_the_health_report_is_the_governors) {
    struct snapshot snapshot = {.memory = {.limit_bytes = 1000,
                                           .used_bytes = 900,
                                           .utilization = 0.9,
                                           .pressure = PRESSURE_CRITICAL}};
    made = state_health(&snapshot, NOW);
    is(made, "memory",
       "{\"used_bytes\":900,\"limit_bytes\":1000,\"available_bytes\":100,\"pressure\":\"critical\","
       "\"utilization\":0.90000000000000002}");
    is(made, "status", "\"healthy\"");
    end();
}
END_TEST

SUITE("gateway/http/state", 10, a_closed_breaker_is_open_for_null,
      an_open_breaker_says_how_long_it_stays_so, tenants_are_listed_with_what_they_have,
      a_tenant_named_by_garbage_does_not_break_the_page, totals_and_rates_are_the_snapshots,
      checks_that_were_not_made_say_null, checks_say_what_they_found_and_when,
      memory_of_the_health_report_is_the_governors)
