/* memory_governor: who has the room, how pressing it is, and who must go. */
#include "core/policy/memory_governor.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#define GIB (UINT64_C(1) << 30)

static struct memory_governor governor;
static struct memory_guard guards[4];

static void open_governor(uint64_t limit_bytes) {
    governor_init(&governor, limit_bytes);
    for (size_t i = 0; i < 4; i++) guards[i] = (struct memory_guard){0};
}

/* The machine is all the limit's, and nothing stalls. */
static void weigh(uint64_t used_bytes, uint64_t gateway_bytes) {
    governor_weighed(&governor, governor.limit_bytes, used_bytes, gateway_bytes, -1);
}

START_TEST(a_new_governor_holds_nothing) {
    open_governor(100);
    ck_assert_uint_eq(governor.guards + governor.charged_bytes + governor_used(&governor), 0);
    ck_assert(governor.stall_percent < 0);
    ck_assert_int_eq(governor_pressure(&governor), PRESSURE_LOW);
    ck_assert_uint_eq(governor_excess(&governor), 0);
}
END_TEST

START_TEST(room_is_given_to_the_last_byte_and_not_beyond) {
    open_governor(100);
    ck_assert_int_eq(governor_reserve(&governor, &guards[0], 60), OK);
    ck_assert_uint_eq(governor_missing(&governor, 41), 1);
    ck_assert_int_eq(governor_reserve(&governor, &guards[1], 41), MEMORY_EXHAUSTED);
    ck_assert_uint_eq(guards[1].declared_bytes, 0);
    ck_assert_uint_eq(governor.charged_bytes, 60);
    ck_assert_uint_eq(governor.guards, 1);
    ck_assert_uint_eq(governor_missing(&governor, 40), 0);
    ck_assert_int_eq(governor_reserve(&governor, &guards[1], 40), OK);
    ck_assert_uint_eq(governor_missing(&governor, 0), 0);
    ck_assert_uint_eq(governor_missing(&governor, 1), 1);
    ck_assert_uint_eq(governor_missing(&governor, UINT64_MAX), UINT64_MAX - 100);
}
END_TEST

START_TEST(without_a_limit_everything_fits) {
    open_governor(0);
    ck_assert_int_eq(governor_reserve(&governor, &guards[0], 900 * GIB), OK);
    governor_weighed(&governor, 10 * GIB, 9 * GIB, GIB, -1);
    ck_assert_uint_eq(governor_missing(&governor, 900 * GIB), 0);
    ck_assert_int_eq(governor_reserve(&governor, &guards[1], 900 * GIB), OK);
    ck_assert_int_eq(governor_pressure(&governor), PRESSURE_LOW);
    ck_assert_uint_eq(governor_excess(&governor), 0);
    governor_weighed(&governor, 10 * GIB, 9 * GIB, GIB, GOVERNOR_STALL_CRITICAL);
    ck_assert_int_eq(governor_pressure(&governor), PRESSURE_CRITICAL);
    ck_assert_uint_eq(governor_excess(&governor), 0);
}
END_TEST

START_TEST(a_slot_is_charged_the_larger_of_declared_and_measured) {
    open_governor(1000);
    governor_reserve(&governor, &guards[0], 200);
    governor_measured(&governor, &guards[0], 50);
    ck_assert_uint_eq(governor.charged_bytes, 200);
    ck_assert_uint_eq(governor_used(&governor), 50);
    governor_measured(&governor, &guards[0], 700);
    ck_assert_uint_eq(governor.charged_bytes, 700);
    ck_assert_uint_eq(governor_used(&governor), 700);
    ck_assert_uint_eq(governor_missing(&governor, 301), 1);
    governor_measured(&governor, &guards[0], 150);
    ck_assert_uint_eq(governor.charged_bytes, 200);
    governor_measured(&governor, &guards[0], 0); /* could not be read */
    ck_assert_uint_eq(guards[0].measured_bytes, 150);
}
END_TEST

START_TEST(a_slot_that_was_not_measured_holds_what_was_declared) {
    open_governor(1000);
    governor_reserve(&governor, &guards[0], 200);
    ck_assert_uint_eq(governor_used(&governor), 200);
    ck_assert_uint_eq(governor_release(&governor, &guards[0]), 200);
    ck_assert_uint_eq(governor_used(&governor), 0);
}
END_TEST

START_TEST(a_release_says_what_was_really_held_and_leaves_an_empty_guard) {
    open_governor(1000);
    governor_reserve(&governor, &guards[0], 200);
    governor_measured(&governor, &guards[0], 120);
    ck_assert_uint_eq(governor_release(&governor, &guards[0]), 120);
    ck_assert_uint_eq(guards[0].declared_bytes + guards[0].measured_bytes, 0);
    ck_assert_uint_eq(governor.charged_bytes + governor.guards, 0);
    ck_assert_uint_eq(governor_release(&governor, &guards[0]), 0);
}
END_TEST

START_TEST(an_empty_guard_is_not_measured) {
    open_governor(1000);
    governor_measured(&governor, &guards[0], 500);
    ck_assert_uint_eq(governor.charged_bytes + governor.held_bytes + guards[0].measured_bytes, 0);
    ck_assert_int_eq(governor_reserve(&governor, &guards[0], 0), OK);
    ck_assert_uint_eq(governor.guards, 0);
}
END_TEST

START_TEST(what_the_gateway_holds_is_not_there_for_workers) {
    open_governor(1000);
    weigh(300, 300);
    ck_assert_uint_eq(governor_missing(&governor, 701), 1);
    ck_assert_int_eq(governor_reserve(&governor, &guards[0], 700), OK);
}
END_TEST

START_TEST(room_that_others_took_is_not_there) {
    open_governor(1000);
    weigh(600, 0);
    ck_assert_uint_eq(governor_missing(&governor, 401), 1);
    /* Two loads at once: the machine has seen neither. */
    ck_assert_int_eq(governor_reserve(&governor, &guards[0], 300), OK);
    ck_assert_int_eq(governor_reserve(&governor, &guards[1], 300), MEMORY_EXHAUSTED);
    ck_assert_int_eq(governor_reserve(&governor, &guards[1], 100), OK);
    ck_assert_uint_eq(governor_release(&governor, &guards[0]), 300); /* it did not load */
    ck_assert_uint_eq(governor_missing(&governor, 300), 0);
    ck_assert_uint_eq(governor_missing(&governor, 301), 1);
}
END_TEST

START_TEST(a_load_under_way_is_not_counted_twice) {
    open_governor(1000);
    governor_reserve(&governor, &guards[0], 600);
    weigh(590, 0); /* nearly loaded, not measured */
    ck_assert_uint_eq(governor_missing(&governor, 400), 0);
    ck_assert_uint_eq(governor_missing(&governor, 401), 1);
}
END_TEST

START_TEST(after_a_release_there_is_room_before_the_next_weighing) {
    open_governor(1000);
    governor_reserve(&governor, &guards[0], 500);
    governor_measured(&governor, &guards[0], 650);
    weigh(900, 50);
    ck_assert_uint_eq(governor_missing(&governor, 500), 400);
    ck_assert_int_eq(governor_pressure(&governor), PRESSURE_CRITICAL);
    ck_assert_uint_eq(governor_release(&governor, &guards[0]), 650);
    ck_assert_uint_eq(governor_missing(&governor, 750), 0);
    ck_assert_uint_eq(governor_used(&governor), 250);
    ck_assert_int_eq(governor_pressure(&governor), PRESSURE_LOW);
}
END_TEST

START_TEST(others_count_only_as_far_as_they_leave_less_room) {
    open_governor(800);
    governor_weighed(&governor, 6400, 2000, 10, -1); /* 4,400 free: more than the limit */
    ck_assert_uint_eq(governor_used(&governor), 10);
    governor_weighed(&governor, 6400, 6100, 10, -1); /* 300 free */
    ck_assert_uint_eq(governor_used(&governor), 500);
    ck_assert_uint_eq(governor_missing(&governor, 301), 1);
    governor_weighed(&governor, 6400, 6500, 10, -1); /* none */
    ck_assert_uint_eq(governor_missing(&governor, 1), 1);
    governor_weighed(&governor, 0, 0, 10, -1); /* it does not say */
    ck_assert_uint_eq(governor_used(&governor), 10);
}
END_TEST

START_TEST(a_limit_above_the_machines_is_lowered) {
    open_governor(5000);
    governor_weighed(&governor, 1000, 400, 0, -1);
    ck_assert_uint_eq(governor.limit_bytes, 1000);
    ck_assert_uint_eq(governor_used(&governor), 400);
    ck_assert_int_eq(governor_pressure(&governor), PRESSURE_LOW);
}
END_TEST

START_TEST(the_levels_begin_at_50_70_and_85_percent) {
    static const struct {
        uint64_t used;
        enum pressure pressure;
    } rows[] = {{0, PRESSURE_LOW},        {499, PRESSURE_LOW},       {500, PRESSURE_NORMAL},
                {699, PRESSURE_NORMAL},   {700, PRESSURE_HIGH},      {849, PRESSURE_HIGH},
                {850, PRESSURE_CRITICAL}, {1000, PRESSURE_CRITICAL}, {2000, PRESSURE_CRITICAL}};
    for (uint64_t unit = 1; unit <= 1000003; unit += 999) {
        open_governor(1000 * unit);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            weigh(rows[i].used * unit, 0);
            require(governor_pressure(&governor) == rows[i].pressure);
        }
    }
}
END_TEST

START_TEST(room_that_is_kept_is_no_pressure) {
    open_governor(1000);
    governor_reserve(&governor, &guards[0], 950);
    governor_measured(&governor, &guards[0], 100);
    weigh(150, 20);
    ck_assert_int_eq(governor_pressure(&governor), PRESSURE_LOW);
    ck_assert_double_eq_tol(governor_utilization(&governor), 0.15, 1e-9);
    ck_assert_uint_eq(governor_excess(&governor), 0);
}
END_TEST

START_TEST(the_kernels_pressure_raises_the_level_and_never_lowers_it) {
    static const struct {
        uint64_t used;
        double stall;
        enum pressure pressure;
    } rows[] = {{0, -1, PRESSURE_LOW},        {0, 9.99, PRESSURE_LOW},
                {0, 10, PRESSURE_HIGH},       {0, 39.99, PRESSURE_HIGH},
                {0, 40, PRESSURE_CRITICAL},   {600, 0, PRESSURE_NORMAL},
                {600, 10, PRESSURE_HIGH},     {900, 0, PRESSURE_CRITICAL},
                {900, 12, PRESSURE_CRITICAL}, {900, -1, PRESSURE_CRITICAL}};
    open_governor(1000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        governor_weighed(&governor, 1000, rows[i].used, 0, rows[i].stall);
        ck_assert_int_eq(governor_pressure(&governor), rows[i].pressure);
    }
}
END_TEST

START_TEST(at_critical_pressure_so_much_must_go_that_a_tenth_is_free) {
    open_governor(1000);
    weigh(849, 0);
    ck_assert_uint_eq(governor_excess(&governor), 0);
    weigh(880, 0); /* critical, with more than a tenth free */
    ck_assert_uint_eq(governor_excess(&governor), 0);
    weigh(960, 0);
    ck_assert_uint_eq(governor_excess(&governor), 60);
    weigh(1200, 0);
    ck_assert_uint_eq(governor_excess(&governor), 100);
    open_governor(1000);
    governor_reserve(&governor, &guards[0], 100);
    governor_measured(&governor, &guards[0], 1300);
    ck_assert_uint_eq(governor_excess(&governor), 400);
}
END_TEST

START_TEST(the_levels_have_names) {
    ck_assert_str_eq(pressure_name(PRESSURE_LOW), "low");
    ck_assert_str_eq(pressure_name(PRESSURE_NORMAL), "normal");
    ck_assert_str_eq(pressure_name(PRESSURE_HIGH), "high");
    ck_assert_str_eq(pressure_name(PRESSURE_CRITICAL), "critical");
}
END_TEST

/* --- who goes ---------------------------------------------------------------------------------- */

static struct eviction_candidate idle(uint32_t pool, uint64_t last_used_ns) {
    return (struct eviction_candidate){.pool = pool,
                                       .idle = true,
                                       .pool_able = 1,
                                       .pool_min = 0,
                                       .last_used_ns = last_used_ns,
                                       .bytes = 10};
}

START_TEST(the_one_used_longest_ago_goes_first) {
    struct eviction_candidate candidates[] = {idle(0, 30), idle(1, 10), idle(2, 20)};
    ck_assert_uint_eq(governor_victim(candidates, 3, UINT32_MAX), 1);
    candidates[1].idle = false;
    ck_assert_uint_eq(governor_victim(candidates, 3, UINT32_MAX), 2);
    candidates[2].idle = false;
    ck_assert_uint_eq(governor_victim(candidates, 3, UINT32_MAX), 0);
    candidates[0].idle = false; /* a busy one never */
    ck_assert_uint_eq(governor_victim(candidates, 3, UINT32_MAX), SIZE_MAX);
    ck_assert_uint_eq(governor_victim(candidates, 0, UINT32_MAX), SIZE_MAX);
}
END_TEST

START_TEST(among_equals_the_one_that_holds_most_goes) {
    struct eviction_candidate candidates[] = {idle(0, 10), idle(1, 10), idle(2, 10)};
    candidates[1].bytes = 11;
    ck_assert_uint_eq(governor_victim(candidates, 3, UINT32_MAX), 1);
    candidates[1].bytes = 10;
    ck_assert_uint_eq(governor_victim(candidates, 3, UINT32_MAX), 0);
}
END_TEST

START_TEST(a_pool_does_not_make_room_for_itself) {
    struct eviction_candidate candidates[] = {idle(0, 10), idle(1, 20)};
    ck_assert_uint_eq(governor_victim(candidates, 2, 0), 1);
    ck_assert_uint_eq(governor_victim(candidates, 1, 0), SIZE_MAX);
    candidates[0].pool = UINT32_MAX;
    ck_assert_uint_eq(governor_victim(candidates, 1, UINT32_MAX), 0); /* that is no pool */
}
END_TEST

START_TEST(a_pool_with_work_keeps_its_min) {
    struct eviction_candidate candidate = idle(0, 10);
    candidate.pool_has_work = true;
    candidate.pool_able = candidate.pool_min = 2;
    ck_assert_uint_eq(governor_victim(&candidate, 1, UINT32_MAX), SIZE_MAX);
    candidate.pool_able = 3;
    ck_assert_uint_eq(governor_victim(&candidate, 1, UINT32_MAX), 0);
    candidate.pool_able = 2;
    candidate.pool_has_work = false;
    ck_assert_uint_eq(governor_victim(&candidate, 1, UINT32_MAX), 0);
}
END_TEST

/* --- at random ------------------------------------------------------------------------------------ */

#define SLOTS 24
#define STEPS 300000

/* The machine as it is: what each worker holds, and what others do. */
static struct {
    struct memory_guard guards[SLOTS];
    uint64_t measured[SLOTS], declared[SLOTS];
} model;

static void assert_sums(void) {
    uint64_t charged = 0, held = 0, count = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        uint64_t declared = model.declared[i], measured = model.measured[i];
        charged += declared > measured ? declared : measured;
        held += measured != 0 ? measured : declared;
        count += declared != 0;
        require(model.guards[i].declared_bytes == declared);
    }
    require(governor.charged_bytes == charged && governor.held_bytes == held);
    require(governor.guards == count);
    require(governor_used(&governor) >= held + governor.gateway_bytes);
}

static void change(struct chance *chance, size_t i) {
    struct memory_guard *guard = &model.guards[i];
    uint64_t bytes = 1 + chance_below(chance, 300);
    if (model.declared[i] == 0) {
        uint64_t missing = governor_missing(&governor, bytes);
        enum outcome outcome = governor_reserve(&governor, guard, bytes);
        require((outcome == OK) == (missing == 0));
        if (outcome != OK) return;
        model.declared[i] = bytes;
        require(governor.charged_bytes + governor.gateway_bytes <= governor.limit_bytes);
    } else if (chance_percent(chance, 40)) {
        governor_measured(&governor, guard, bytes);
        model.measured[i] = bytes;
    } else {
        uint64_t held = model.measured[i] != 0 ? model.measured[i] : model.declared[i];
        require(governor_release(&governor, guard) == held);
        model.declared[i] = model.measured[i] = 0;
    }
}

START_TEST(whatever_happens_the_guards_add_up) {
    struct chance chance = chance_open();
    uint64_t refused = 0;
    open_governor(2000);
    for (uint32_t step = 0; step < STEPS; step++) {
        if (chance_percent(&chance, 10)) {
            uint64_t used = chance_below(&chance, 3200), gateway = chance_below(&chance, 100);
            governor_weighed(&governor, 3000, used, gateway, chance_below(&chance, 50) - 1.0);
            uint64_t left = used < 3000 ? 3000 - used : 0;
            if (left > 0) require(governor_missing(&governor, left + 1) > 0);
            require(governor.promised_bytes == 0);
        }
        change(&chance, chance_below(&chance, SLOTS));
        refused += governor_missing(&governor, 100) > 0;
        assert_sums();
    }
    ck_assert(refused > STEPS / 100 && refused < STEPS); /* both ways were gone */
    for (size_t i = 0; i < SLOTS; i++) governor_release(&governor, &model.guards[i]);
    ck_assert_uint_eq(governor.charged_bytes + governor.held_bytes + governor.guards, 0);
    ck_assert_uint_eq(governor.promised_bytes, 0);
}
END_TEST

/* A victim is always one that may go, and no other that may was used longer ago. */
START_TEST(whatever_stands_there_the_victim_is_the_right_one) {
    struct chance chance = chance_open();
    struct eviction_candidate all[12];
    for (uint32_t step = 0; step < 100000; step++) {
        size_t count = chance_below(&chance, 12);
        uint32_t except = chance_percent(&chance, 30) ? UINT32_MAX : chance_below(&chance, 4);
        for (size_t i = 0; i < count; i++)
            all[i] = (struct eviction_candidate){.pool = chance_below(&chance, 4),
                                                 .idle = chance_percent(&chance, 50),
                                                 .pool_has_work = chance_percent(&chance, 50),
                                                 .pool_able = chance_below(&chance, 4),
                                                 .pool_min = chance_below(&chance, 3),
                                                 .last_used_ns = chance_below(&chance, 9)};
        size_t victim = governor_victim(all, count, except);
        for (size_t i = 0; i < count; i++) {
            bool kept = !all[i].idle || all[i].pool == except ||
                        (all[i].pool_has_work && all[i].pool_able <= all[i].pool_min);
            if (i == victim)
                require(!kept);
            else if (!kept)
                require(victim != SIZE_MAX && all[victim].last_used_ns <= all[i].last_used_ns);
        }
        require(victim == SIZE_MAX || victim < count);
    }
}
END_TEST

SUITE("core/memory_governor", 60, a_new_governor_holds_nothing,
      room_is_given_to_the_last_byte_and_not_beyond, without_a_limit_everything_fits,
      a_slot_is_charged_the_larger_of_declared_and_measured,
      a_slot_that_was_not_measured_holds_what_was_declared,
      a_release_says_what_was_really_held_and_leaves_an_empty_guard, an_empty_guard_is_not_measured,
      what_the_gateway_holds_is_not_there_for_workers, room_that_others_took_is_not_there,
      a_load_under_way_is_not_counted_twice, after_a_release_there_is_room_before_the_next_weighing,
      others_count_only_as_far_as_they_leave_less_room, a_limit_above_the_machines_is_lowered,
      the_levels_begin_at_50_70_and_85_percent, room_that_is_kept_is_no_pressure,
      the_kernels_pressure_raises_the_level_and_never_lowers_it,
      at_critical_pressure_so_much_must_go_that_a_tenth_is_free, the_levels_have_names,
      the_one_used_longest_ago_goes_first, among_equals_the_one_that_holds_most_goes,
      a_pool_does_not_make_room_for_itself, a_pool_with_work_keeps_its_min,
      whatever_happens_the_guards_add_up, whatever_stands_there_the_victim_is_the_right_one)
