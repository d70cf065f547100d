/* circuit_breaker: what opens it, when it tries again, how many probes, and a naive model of it all. */
#include "core/base/clock.h"
#include "core/policy/circuit_breaker.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#define START   (1000 * CLOCK_S)
#define OPEN_NS (60 * CLOCK_S)

static struct circuit_breaker breaker;

static void open_breaker(uint32_t failures, uint32_t probes, uint32_t successes) {
    struct breaker_options options = {
        .failures = failures, .probes = probes, .successes = successes, .open_ns = OPEN_NS};
    breaker_init(&breaker, &options, START);
}

/* One that begins and ends at once. */
static bool one(enum breaker_result result, uint64_t now_ns) {
    return breaker_result(&breaker, breaker_begin(&breaker), result, now_ns);
}

static void half_open(void) {
    while (breaker.state == BREAKER_CLOSED) one(BREAKER_FAILURE, START);
    ck_assert(breaker_tick(&breaker, START + OPEN_NS));
    ck_assert_int_eq(breaker.state, BREAKER_HALF_OPEN);
}

START_TEST(a_new_breaker_is_closed_and_lets_everything_pass) {
    open_breaker(5, 3, 3);
    ck_assert_int_eq(breaker.state, BREAKER_CLOSED);
    ck_assert_uint_eq(breaker.since_ns, START);
    ck_assert_uint_eq(breaker_room(&breaker), UINT32_MAX);
    ck_assert_uint_eq(breaker_next_ns(&breaker), CLOCK_NEVER);
    ck_assert(!breaker_tick(&breaker, CLOCK_NEVER));
    ck_assert_uint_ne(breaker_begin(&breaker), 0); /* no era: that of one that never began */
}
END_TEST

START_TEST(the_states_have_the_contracts_names) {
    ck_assert_str_eq(breaker_state_name(BREAKER_CLOSED), "closed");
    ck_assert_str_eq(breaker_state_name(BREAKER_OPEN), "open");
    ck_assert_str_eq(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
    ck_assert_str_eq(breaker_state_name(BREAKER_STATE_COUNT), "?");
}
END_TEST

START_TEST(it_opens_on_the_last_of_so_many_failures_in_a_row) {
    open_breaker(5, 3, 3);
    for (int i = 0; i < 4; i++) ck_assert(!one(BREAKER_FAILURE, START + 1));
    ck_assert(one(BREAKER_FAILURE, START + 2));
    ck_assert_int_eq(breaker.state, BREAKER_OPEN);
    ck_assert_uint_eq(breaker.since_ns, START + 2);
    ck_assert_uint_eq(breaker.opened, 1);
    ck_assert_uint_eq(breaker_room(&breaker), 0);
}
END_TEST

START_TEST(a_success_ends_the_row_and_what_says_nothing_does_not) {
    open_breaker(5, 3, 3);
    for (int i = 0; i < 4; i++) one(BREAKER_FAILURE, START);
    one(BREAKER_SUCCESS, START);
    for (int i = 0; i < 4; i++) one(BREAKER_FAILURE, START);
    for (int i = 0; i < 100; i++) ck_assert(!one(BREAKER_NEUTRAL, START));
    ck_assert_int_eq(breaker.state, BREAKER_CLOSED);
    ck_assert(one(BREAKER_FAILURE, START));
}
END_TEST

START_TEST(half_of_twenty_failed_opens_it_and_less_does_not) {
    open_breaker(1000, 3, 3);
    for (int i = 0; i < 9; i++) {
        ck_assert(!one(BREAKER_FAILURE, START));
        ck_assert(!one(BREAKER_SUCCESS, START));
    }
    ck_assert(!one(BREAKER_FAILURE, START)); /* 10 of 19: too few to judge */
    ck_assert(one(BREAKER_FAILURE, START));  /* 11 of 20 */

    open_breaker(1000, 3, 3);
    for (int i = 0; i < 9; i++) one(BREAKER_FAILURE, START);
    for (int i = 0; i < 11; i++) ck_assert(!one(BREAKER_SUCCESS, START)); /* 9 of 20 */
    ck_assert(!one(BREAKER_FAILURE, START));                              /* 10 of 21 */
    ck_assert(one(BREAKER_FAILURE, START));                               /* 11 of 22: half */
}
END_TEST

START_TEST(results_that_say_nothing_are_no_part_of_the_rate) {
    open_breaker(1000, 3, 3);
    for (int i = 0; i < 19; i++) one(BREAKER_FAILURE, START);
    for (int i = 0; i < 100; i++) ck_assert(!one(BREAKER_NEUTRAL, START));
    ck_assert(one(BREAKER_FAILURE, START));
}
END_TEST

START_TEST(the_window_moves_in_tenths) {
    for (uint64_t age = 0; age <= 11; age++) {
        open_breaker(1000, 3, 3);
        for (int i = 0; i < 19; i++) one(BREAKER_FAILURE, START + CLOCK_S - 1);
        /* START begins a part; the nineteen are in it. */
        bool opened = one(BREAKER_FAILURE, START + age * CLOCK_S);
        ck_assert_int_eq(opened, age < BREAKER_PARTS);
    }
}
END_TEST

START_TEST(an_old_part_is_not_mistaken_for_the_new_one_in_its_place) {
    open_breaker(1000, 3, 3);
    for (int i = 0; i < 19; i++) one(BREAKER_FAILURE, START);
    uint64_t later = START + BREAKER_WINDOW_NS;
    for (int i = 0; i < 19; i++) ck_assert(!one(BREAKER_FAILURE, later));
    ck_assert(one(BREAKER_FAILURE, later));
}
END_TEST

START_TEST(it_says_when_it_will_try_again) {
    open_breaker(1, 3, 3);
    one(BREAKER_FAILURE, START + 7);
    ck_assert_uint_eq(breaker.open_until_ns, START + 7 + OPEN_NS);
    ck_assert_uint_eq(breaker_next_ns(&breaker), START + 7 + OPEN_NS);
    ck_assert(!breaker_tick(&breaker, START + 7 + OPEN_NS - 1));
    ck_assert_uint_eq(breaker_room(&breaker), 0);
    ck_assert(breaker_tick(&breaker, START + 7 + OPEN_NS));
    ck_assert_int_eq(breaker.state, BREAKER_HALF_OPEN);
    ck_assert_uint_eq(breaker.since_ns, START + 7 + OPEN_NS);
    ck_assert_uint_eq(breaker_next_ns(&breaker), CLOCK_NEVER);
    ck_assert(!breaker_tick(&breaker, CLOCK_NEVER));
}
END_TEST

START_TEST(half_open_lets_so_many_probes_through_and_no_more) {
    open_breaker(1, 3, 10);
    half_open();
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(breaker_room(&breaker), 3 - i);
        breaker_begin(&breaker);
    }
    ck_assert_uint_eq(breaker_room(&breaker), 0);
    ck_assert(!breaker_result(&breaker, breaker.era, BREAKER_SUCCESS, START + OPEN_NS));
    ck_assert_uint_eq(breaker_room(&breaker), 1);
}
END_TEST

START_TEST(enough_successes_close_it) {
    open_breaker(2, 1, 3);
    half_open();
    ck_assert(!one(BREAKER_SUCCESS, START + OPEN_NS));
    ck_assert(!one(BREAKER_SUCCESS, START + OPEN_NS));
    ck_assert(one(BREAKER_SUCCESS, START + OPEN_NS + 9));
    ck_assert_int_eq(breaker.state, BREAKER_CLOSED);
    ck_assert_uint_eq(breaker.since_ns, START + OPEN_NS + 9);
    ck_assert_uint_eq(breaker_room(&breaker), UINT32_MAX);
    ck_assert(!one(BREAKER_FAILURE, START + OPEN_NS + 9)); /* the old row is over */
    ck_assert(one(BREAKER_FAILURE, START + OPEN_NS + 9));
    ck_assert_uint_eq(breaker.opened, 2);
}
END_TEST

START_TEST(one_failed_probe_opens_it_for_the_whole_time_again) {
    open_breaker(1, 3, 3);
    half_open();
    one(BREAKER_SUCCESS, START + OPEN_NS);
    one(BREAKER_SUCCESS, START + OPEN_NS);
    ck_assert(one(BREAKER_FAILURE, START + OPEN_NS + 5));
    ck_assert_int_eq(breaker.state, BREAKER_OPEN);
    ck_assert_uint_eq(breaker_next_ns(&breaker), START + 2 * OPEN_NS + 5);
    ck_assert_uint_eq(breaker.opened, 2);
    ck_assert(breaker_tick(&breaker, START + 2 * OPEN_NS + 5));
    for (int i = 0; i < 2; i++) ck_assert(!one(BREAKER_SUCCESS, START + 3 * OPEN_NS));
    ck_assert(one(BREAKER_SUCCESS, START + 3 * OPEN_NS)); /* the two of before do not count */
}
END_TEST

START_TEST(a_probe_that_says_nothing_only_gives_its_place_back) {
    open_breaker(1, 2, 1);
    half_open();
    uint64_t first = breaker_begin(&breaker), second = breaker_begin(&breaker);
    ck_assert_uint_eq(breaker_room(&breaker), 0);
    ck_assert(!breaker_result(&breaker, first, BREAKER_NEUTRAL, START + OPEN_NS));
    ck_assert_uint_eq(breaker_room(&breaker), 1);
    ck_assert(!breaker_result(&breaker, second, BREAKER_NEUTRAL, START + OPEN_NS));
    ck_assert_uint_eq(breaker_room(&breaker), 2);
    ck_assert_int_eq(breaker.state, BREAKER_HALF_OPEN);
}
END_TEST

START_TEST(fewer_probes_than_are_under_way_leave_no_room) {
    open_breaker(1, 3, 3);
    half_open();
    uint64_t probe = breaker_begin(&breaker);
    breaker_begin(&breaker);
    breaker.options.probes = 1; /* a reload */
    ck_assert_uint_eq(breaker_room(&breaker), 0);
    breaker_result(&breaker, probe, BREAKER_NEUTRAL, START + OPEN_NS);
    ck_assert_uint_eq(breaker_room(&breaker), 0);
    breaker_result(&breaker, probe, BREAKER_NEUTRAL, START + OPEN_NS);
    ck_assert_uint_eq(breaker_room(&breaker), 1);
}
END_TEST

START_TEST(what_began_before_the_last_change_says_nothing) {
    open_breaker(1, 2, 2);
    uint64_t from_closed[3];
    for (int i = 0; i < 3; i++) from_closed[i] = breaker_begin(&breaker);
    one(BREAKER_FAILURE, START);
    ck_assert(!breaker_result(&breaker, from_closed[0], BREAKER_FAILURE, START + 30));
    ck_assert_uint_eq(breaker_next_ns(&breaker), START + OPEN_NS); /* not pushed back */
    half_open();
    uint64_t probe = breaker_begin(&breaker);
    for (int i = 1; i < 3; i++) {
        enum breaker_result result = i == 1 ? BREAKER_FAILURE : BREAKER_SUCCESS;
        ck_assert(!breaker_result(&breaker, from_closed[i], result, START + OPEN_NS));
        ck_assert_int_eq(breaker.state, BREAKER_HALF_OPEN);
        ck_assert_uint_eq(breaker_room(&breaker), 1); /* and gives no place back */
    }
    one(BREAKER_FAILURE, START + OPEN_NS);
    breaker_tick(&breaker, START + 2 * OPEN_NS);
    breaker_begin(&breaker);
    ck_assert(!breaker_result(&breaker, probe, BREAKER_SUCCESS, START + 2 * OPEN_NS));
    ck_assert_uint_eq(breaker_room(&breaker), 1);
    ck_assert(!breaker_result(&breaker, 0, BREAKER_FAILURE, START + 2 * OPEN_NS));
}
END_TEST

/* --- against a model that remembers every result and counts anew each time ----------------------- */

#define LIVE  32
#define STEPS 300000

struct result {
    uint64_t at_ns;
    bool good;
};
static struct result results[STEPS + 64];

struct world {
    struct circuit_breaker breaker;
    uint64_t now_ns;
    enum breaker_state state; /* the model's own */
    uint64_t period, since_ns;
    size_t first, count; /* the results of this period */
    struct {
        uint64_t era, period;
    } live[LIVE];
    size_t live_count;
};

static void model_enter(struct world *world, enum breaker_state state) {
    world->state = state;
    world->period++;
    world->since_ns = world->now_ns;
    world->first = world->count;
}

static bool model_opens(const struct world *world) {
    uint64_t all = 0, bad = 0, row = 0;
    for (size_t i = world->first; i < world->count; i++) {
        row = results[i].good ? 0 : row + 1;
        if (results[i].at_ns / CLOCK_S + 10 <= world->now_ns / CLOCK_S) continue;
        all++;
        bad += !results[i].good;
    }
    return row >= world->breaker.options.failures || (all >= 20 && 2 * bad >= all);
}

static void model_result(struct world *world, uint64_t period, enum breaker_result result) {
    if (period != world->period || result == BREAKER_NEUTRAL) return;
    bool good = result == BREAKER_SUCCESS;
    results[world->count++] = (struct result){.at_ns = world->now_ns, .good = good};
    if (world->state == BREAKER_CLOSED) {
        if (model_opens(world)) model_enter(world, BREAKER_OPEN);
    } else if (!good) {
        model_enter(world, BREAKER_OPEN);
    } else if (world->count - world->first >= world->breaker.options.successes) {
        model_enter(world, BREAKER_CLOSED);
    }
}

static void compare(const struct world *world) {
    uint32_t under_way = 0, probes = world->breaker.options.probes;
    for (size_t i = 0; i < world->live_count; i++)
        under_way += world->live[i].period == world->period;
    uint64_t until_ns = world->since_ns + world->breaker.options.open_ns;
    require(world->breaker.state == world->state);
    require(world->breaker.since_ns == world->since_ns);
    if (world->state == BREAKER_HALF_OPEN) require(under_way <= probes);
    require(breaker_room(&world->breaker) == (world->state == BREAKER_CLOSED ? UINT32_MAX
                                              : world->state == BREAKER_OPEN ? 0
                                                                             : probes - under_way));
    require(breaker_next_ns(&world->breaker) ==
            (world->state == BREAKER_OPEN ? until_ns : CLOCK_NEVER));
}

static void begin(struct world *world) {
    if (breaker_room(&world->breaker) == 0 || world->live_count == LIVE) return;
    world->live[world->live_count].era = breaker_begin(&world->breaker);
    world->live[world->live_count++].period = world->period;
}

static void end(struct world *world, size_t i, enum breaker_result result) {
    uint64_t era = world->live[i].era, period = world->live[i].period, before = world->period;
    world->live[i] = world->live[--world->live_count];
    model_result(world, period, result);
    bool changed = breaker_result(&world->breaker, era, result, world->now_ns);
    require(changed == (world->period != before));
}

static void pass(struct world *world, uint64_t ns) {
    world->now_ns += ns;
    bool due = world->state == BREAKER_OPEN &&
               world->now_ns >= world->since_ns + world->breaker.options.open_ns;
    if (due) model_enter(world, BREAKER_HALF_OPEN);
    require(breaker_tick(&world->breaker, world->now_ns) == due);
}

static void create(struct world *world, struct breaker_options options) {
    *world = (struct world){.now_ns = START, .since_ns = START};
    breaker_init(&world->breaker, &options, START);
}

static uint64_t walked;

/* Every event that can come next: one begins, the oldest or the newest ends in any way, time passes. */
static void walk(const struct world *from, int depth) {
    walked++;
    if (depth == 0) return;
    for (int event = 0; event < 8; event++) {
        struct world world = *from;
        bool ends = event >= 2;
        if (ends && (world.live_count == 0 || (event >= 5 && world.live_count == 1))) continue;
        if (event == 0) begin(&world);
        if (event == 1) pass(&world, world.breaker.options.open_ns / 2);
        if (ends)
            end(&world, event < 5 ? 0 : world.live_count - 1,
                (enum breaker_result)((event - 2) % 3));
        compare(&world);
        walk(&world, depth - 1);
    }
}

START_TEST(every_sequence_of_nine_events_agrees_with_the_model) {
    static const struct breaker_options all[] = {
        {.failures = 1, .probes = 1, .successes = 1, .open_ns = 2 * CLOCK_S},
        {.failures = 1, .probes = 2, .successes = 1, .open_ns = 2 * CLOCK_S},
        {.failures = 2, .probes = 2, .successes = 3, .open_ns = CLOCK_S},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct world world;
        create(&world, all[i]);
        walk(&world, 9);
        /* And from half-open, while one that began before is still under way. */
        create(&world, all[i]);
        for (int j = 0; j < 3; j++) begin(&world);
        for (int j = 0; j < 2; j++) end(&world, 0, BREAKER_FAILURE);
        pass(&world, all[i].open_ns);
        compare(&world);
        ck_assert_int_eq(world.state, BREAKER_HALF_OPEN);
        walk(&world, 9);
    }
    ck_assert_uint_gt(walked, 1000000);
}
END_TEST

START_TEST(random_events_agree_with_the_model) {
    struct chance chance = chance_open();
    uint64_t periods = 0, full = 0;
    for (uint64_t i = 0, bad = 50; i < STEPS; i++) {
        static struct world world;
        if (i % 10000 == 0) {
            periods += world.period;
            create(&world,
                   (struct breaker_options){.failures = 1 + chance_below(&chance, 30),
                                            .probes = 1 + chance_below(&chance, 5),
                                            .successes = 1 + chance_below(&chance, 5),
                                            .open_ns = chance_below(&chance, 5000) * CLOCK_MS});
        }
        if (i % 100 == 0) bad = chance_below(&chance, 100);
        uint32_t roll = chance_below(&chance, 10);
        if (roll < 4) begin(&world);
        if (roll >= 4 && roll < 9 && world.live_count > 0)
            end(&world, chance_below(&chance, (uint32_t)world.live_count),
                chance_percent(&chance, 10)              ? BREAKER_NEUTRAL
                : chance_percent(&chance, (uint32_t)bad) ? BREAKER_FAILURE
                                                         : BREAKER_SUCCESS);
        if (roll == 9) pass(&world, chance_below(&chance, 2000) * CLOCK_MS);
        compare(&world);
        full += world.state == BREAKER_HALF_OPEN && breaker_room(&world.breaker) == 0;
    }
    ck_assert_uint_gt(periods, 1000);
    ck_assert_uint_gt(full,
                      1000); /* half-open was full often enough for the test to mean something */
}
END_TEST

SUITE("core/circuit_breaker", 60, a_new_breaker_is_closed_and_lets_everything_pass,
      the_states_have_the_contracts_names, it_opens_on_the_last_of_so_many_failures_in_a_row,
      a_success_ends_the_row_and_what_says_nothing_does_not,
      half_of_twenty_failed_opens_it_and_less_does_not,
      results_that_say_nothing_are_no_part_of_the_rate, the_window_moves_in_tenths,
      an_old_part_is_not_mistaken_for_the_new_one_in_its_place, it_says_when_it_will_try_again,
      half_open_lets_so_many_probes_through_and_no_more, enough_successes_close_it,
      one_failed_probe_opens_it_for_the_whole_time_again,
      a_probe_that_says_nothing_only_gives_its_place_back,
      fewer_probes_than_are_under_way_leave_no_room, what_began_before_the_last_change_says_nothing,
      every_sequence_of_nine_events_agrees_with_the_model, random_events_agree_with_the_model)
