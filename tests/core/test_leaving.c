/* Pools that come, are tuned and leave: reload.h on virtual time. */
#include "core/reload.h"
#include "tests/core/stage.h"
#include "tests/support/suite.h"

#define OLD (&stage.actors[0][0])
#define NEW (&stage.actors[1][0])

static struct pool_options *const options = stage.options;

static void open_warm(void) {
    options[0] = plain_pool("pool");
    stage_open(1, 1);
    settle();
    load(OLD);
}

/* Pool 0 gets these options, or leaves (count 0), or another takes its name at place 1. */
static void reload(const struct pool_options *wanted, size_t count) {
    const struct named_pool named = {
        .options = stage_pool(0)->options, .built = &options[0], .place = 0};
    struct reload *reload;
    ck_assert_int_eq(reload_make(&reload, &named, 1, wanted, count, 1, stage.now_ns), OK);
    ck_assert_int_eq(reload_take_places(reload, &stage.orchestrator), OK);
    for (uint32_t i = 0; reload->added + reload->replaced > 0 && i < wanted->slots_max; i++) {
        struct actor *actor = &stage.actors[1][i];
        *actor = (struct actor){.pool = 1, .slot = i, .max_batch = 1};
        actor->transport.calls = &actor_calls;
        stage_pool(1)->transports[i] = &actor->transport;
        stage.pools_count = 2;
    }
    reload_apply(reload, &stage.orchestrator, stage.now_ns);
    reload_free(reload);
    settle();
}

static void replace(void) {
    options[1] = plain_pool("pool");
    options[1].inflight = 2;
    reload(&options[1], 1);
}

static struct pool *gone(void) {
    size_t at = 0;
    return orchestrator_gone(&stage.orchestrator, &at);
}

START_TEST(a_pool_that_leaves_finishes_what_it_has_and_stops) {
    open_warm();
    uint64_t running = submit(), waiting = submit();
    replace();
    ck_assert_uint_eq(stage.orchestrator.listed_count, 1);
    ck_assert_ptr_eq(stage.orchestrator.listed[0], stage_pool(1));
    load(NEW);
    ck_assert_uint_eq(OLD->shutdowns, 0);
    reply(OLD, running);
    reply(OLD, waiting);
    ck_assert_int_eq(ending(waiting)->outcome, OK);
    ck_assert_uint_eq(OLD->shutdowns, 1);
    ck_assert_ptr_null(gone());
    leave(OLD, EXIT_STATUS, 0);
    ck_assert_ptr_eq(gone(), stage_pool(0));
    stage_close();
}
END_TEST

START_TEST(who_holds_a_pool_that_has_left_is_served_at_once) {
    open_warm();
    atomic_fetch_add(stage_pool(0)->holds, 1);
    replace();
    pass(2 * CLOCK_S);
    ck_assert_uint_eq(OLD->shutdowns, 0);
    uint64_t late = submit();
    ck_assert_uint_eq(OLD->sent_id, late);
    reply(OLD, late);
    ck_assert_int_eq(ending(late)->outcome, OK);
    atomic_fetch_sub(stage_pool(0)->holds, 1);
    pass(CLOCK_S);
    ck_assert_uint_eq(OLD->shutdowns, 1);
    stage_close();
}
END_TEST

START_TEST(who_holds_it_too_long_has_a_worker_started_again) {
    open_warm();
    atomic_fetch_add(stage_pool(0)->holds, 1);
    replace();
    pass(6 * CLOCK_S);
    ck_assert_uint_eq(OLD->shutdowns, 1);
    leave(OLD, EXIT_STATUS, 0);
    ck_assert_ptr_null(gone()); /* it is still held */
    uint64_t late = submit();
    load(OLD);
    reply(OLD, late);
    ck_assert_int_eq(ending(late)->outcome, OK);
    stage_close();
}
END_TEST

START_TEST(a_pool_is_gone_only_when_nothing_refers_to_it) {
    open_warm();
    replace();
    leave(OLD, EXIT_STATUS, 0);
    struct pool *old = stage_pool(0);
    ck_assert_ptr_eq(gone(), old);
    atomic_fetch_add(old->holds, 1);
    ck_assert_ptr_null(gone());
    atomic_fetch_sub(old->holds, 1);
    ck_assert_int_eq(admission_charge(&old->admission, 1), OK);
    ck_assert_ptr_null(gone());
    admission_uncharge(&old->admission, 1);
    const struct admission_ask ask = {.tenant = "", .deadline_ns = CLOCK_NEVER};
    ck_assert_int_eq(admission_take(&old->admission, &ask), OK); /* its request is in the channel */
    ck_assert_ptr_null(gone());
    admission_give_back(&old->admission, "");
    ck_assert_ptr_eq(gone(), old);
    orchestrator_let_go(&stage.orchestrator, old);
    ck_assert_ptr_null(stage_pool(0));
    const struct event late = {.kind = EVENT_CANCEL, .pool = 0, .id = 1};
    orchestrator_handle(&stage.orchestrator, &late, stage.now_ns);
    orchestrator_settle(&stage.orchestrator, stage.now_ns);
    stage_close();
}
END_TEST

START_TEST(a_free_place_is_used_again) {
    open_warm();
    replace();
    leave(OLD, EXIT_STATUS, 0);
    orchestrator_let_go(&stage.orchestrator, gone());
    struct reload *reload;
    const struct named_pool named = {&options[1], &options[1], 1};
    options[2] = plain_pool("other");
    ck_assert_int_eq(reload_make(&reload, &named, 1, &options[2], 1, 1, stage.now_ns), OK);
    ck_assert_uint_eq(reload->added, 1);
    ck_assert_uint_eq(reload->removed, 1);
    ck_assert_int_eq(reload_take_places(reload, &stage.orchestrator), OK);
    ck_assert_uint_eq(reload->items[0].fresh->place, 0);
    reload_leave_places(reload, &stage.orchestrator);
    ck_assert_ptr_null(stage_pool(0));
    reload_free(reload);
    stage_close();
}
END_TEST

START_TEST(when_all_places_are_taken_nothing_is) {
    static struct pool_options many[ORCHESTRATOR_POOLS];
    static char names[ORCHESTRATOR_POOLS][8];
    for (size_t i = 0; i < ORCHESTRATOR_POOLS; i++) {
        snprintf(names[i], sizeof names[i], "p%zu", i);
        many[i] = plain_pool(names[i]);
    }
    open_warm();
    struct reload *reload;
    const struct named_pool named = {&options[0], &options[0], 0};
    ck_assert_int_eq(reload_make(&reload, &named, 1, many, ORCHESTRATOR_POOLS, 1, stage.now_ns),
                     OK);
    ck_assert_int_eq(reload_take_places(reload, &stage.orchestrator), QUEUE_FULL);
    for (size_t i = 1; i < stage.orchestrator.places; i++)
        ck_assert_ptr_null(stage.orchestrator.pools[i]);
    reload_free(reload);
    settle();
    stage_close();
}
END_TEST

START_TEST(a_paused_pool_that_leaves_runs_what_it_has_and_its_heir_is_paused) {
    open_warm();
    wish_for(0, WISH_PAUSE);
    uint64_t waiting = submit();
    ck_assert_uint_eq(OLD->sends, 0);
    replace();
    ck_assert_uint_eq(OLD->sent_id, waiting);
    ck_assert_int_eq(stage_pool(1)->wish, WISH_PAUSE);
    reply(OLD, waiting);
    stage_close();
}
END_TEST

START_TEST(other_numbers_hold_at_once_and_touch_nobody) {
    open_warm();
    uint64_t running = submit();
    struct pool_options wanted = options[0];
    wanted.queue.capacity = 1;
    wanted.queue.reserve = 0;
    wanted.health.interval_ns = CLOCK_S / 2;
    wanted.retry_crashes = 3;
    reload(&wanted, 1);
    ck_assert_ptr_eq(stage_pool(0)->options, &wanted);
    ck_assert_uint_eq(OLD->starts, 1);
    uint64_t waiting = submit();
    ck_assert_uint_eq(submit_to(0, PRIORITY_NORMAL, 0), 0); /* capacity 1 and the one that runs */
    ck_assert_int_eq(stage.refused, QUEUE_FULL);
    pass(CLOCK_S);
    ck_assert_uint_ge(OLD->pings, 1);
    reply(OLD, running);
    reply(OLD, waiting);
    stage_close();
}
END_TEST

START_TEST(limits_of_an_administrator_stay_until_the_configurations_change) {
    options[0] = plain_pool("pool");
    options[0].slots_max = 2;
    options[0].slots_min = 2;
    stage_open(1, 1);
    settle();
    handle(&(struct event){.kind = EVENT_SCALE, .slots_min = 1, .slots_max = 1});
    struct pool_options wanted = options[0];
    wanted.retry_crashes = 5;
    reload(&wanted, 1);
    ck_assert_uint_eq(stage_pool(0)->slots_max, 1);
    wanted.slots_min = 0;
    struct pool_options again = wanted;
    const struct pool_options before = options[0];
    stage_pool(0)->options = &before; /* what it had: only the minimum differs */
    reload(&again, 1);
    ck_assert_uint_eq(stage_pool(0)->slots_min, 0);
    ck_assert_uint_eq(stage_pool(0)->slots_max, 2);
    stage_close();
}
END_TEST

START_TEST(a_drain_waits_for_pools_that_have_left_too) {
    open_warm();
    uint64_t running = submit();
    replace();
    load(NEW);
    begin_drain(CLOCK_S * 10);
    leave(NEW, EXIT_STATUS, 0);
    ck_assert(!drained());
    reply(OLD, running);
    leave(OLD, EXIT_STATUS, 0);
    ck_assert(drained());
    stage_close();
}
END_TEST

SUITE("core/reload on virtual time", 20, a_pool_that_leaves_finishes_what_it_has_and_stops,
      who_holds_a_pool_that_has_left_is_served_at_once,
      who_holds_it_too_long_has_a_worker_started_again,
      a_pool_is_gone_only_when_nothing_refers_to_it, a_free_place_is_used_again,
      when_all_places_are_taken_nothing_is,
      a_paused_pool_that_leaves_runs_what_it_has_and_its_heir_is_paused,
      other_numbers_hold_at_once_and_touch_nobody,
      limits_of_an_administrator_stay_until_the_configurations_change,
      a_drain_waits_for_pools_that_have_left_too)
