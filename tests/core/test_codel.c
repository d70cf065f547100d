/* codel: the control law with the paper's numbers, and a pool under load that it is asked about. */
#include "core/base/clock.h"
#include "core/policy/codel.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#define START (1000 * CLOCK_S)

static struct codel codel;

static void open_codel(void) {
    codel_init(&codel);
}

/* As if somebody asked every microsecond and the oldest had always waited so long: when it drops. */
static size_t drops_between(uint64_t from_ns, uint64_t to_ns, uint64_t sojourn_ns, uint64_t *at_ns,
                            size_t most) {
    size_t count = 0;
    for (uint64_t now_ns = from_ns; now_ns <= to_ns; now_ns += CLOCK_US)
        while (codel_drop(&codel, sojourn_ns, now_ns)) {
            require(count < most);
            at_ns[count++] = now_ns - from_ns;
        }
    return count;
}

START_TEST(target_and_interval_follow_the_service_time) {
    static const struct {
        uint64_t run_ns, target_ns, interval_ns;
    } rows[] = {
        {0, 5 * CLOCK_MS, 100 * CLOCK_MS},
        {CLOCK_US, 5 * CLOCK_MS, 100 * CLOCK_MS},
        {5 * CLOCK_MS, 5 * CLOCK_MS, 100 * CLOCK_MS},
        {5 * CLOCK_MS + 1, 5 * CLOCK_MS + 1, 100 * CLOCK_MS + 20},
        {50 * CLOCK_MS, 50 * CLOCK_MS, CLOCK_S},
        {60 * CLOCK_S, 60 * CLOCK_S, 1200 * CLOCK_S},
        {UINT64_MAX, UINT64_MAX / 1024, UINT64_MAX / 1024 * 20},
    };
    open_codel();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        codel_tune(&codel, rows[i].run_ns);
        ck_assert_uint_eq(codel.target_ns, rows[i].target_ns);
        ck_assert_uint_eq(codel.interval_ns, rows[i].interval_ns);
    }
    codel_init(&codel);
    ck_assert_uint_eq(codel.target_ns, 5 * CLOCK_MS);
    ck_assert_uint_eq(codel.interval_ns, 100 * CLOCK_MS);
}
END_TEST

START_TEST(below_target_nothing_is_ever_dropped) {
    uint64_t at_ns[1];
    open_codel();
    ck_assert_uint_eq(drops_between(START, START + CLOCK_S, 5 * CLOCK_MS - 1, at_ns, 1), 0);
    ck_assert(!codel.overloaded);
}
END_TEST

START_TEST(it_is_silent_until_a_whole_interval_was_above_target) {
    open_codel();
    for (uint64_t ms = 0; ms < 100; ms++) {
        ck_assert(!codel_drop(&codel, CLOCK_S, START + ms * CLOCK_MS));
        ck_assert(!codel.overloaded);
    }
    ck_assert(!codel_drop(&codel, 5 * CLOCK_MS, START + 100 * CLOCK_MS - 1));
    ck_assert(codel_drop(&codel, 5 * CLOCK_MS, START + 100 * CLOCK_MS));
    ck_assert(codel.overloaded);
    ck_assert(!codel_drop(&codel, CLOCK_S, START + 100 * CLOCK_MS)); /* one, and then the law */
}
END_TEST

START_TEST(one_look_below_target_starts_the_interval_anew) {
    open_codel();
    codel_drop(&codel, CLOCK_S, START);
    codel_drop(&codel, 5 * CLOCK_MS - 1, START + 99 * CLOCK_MS);
    codel_drop(&codel, CLOCK_S, START + 99 * CLOCK_MS + 1);
    ck_assert(!codel_drop(&codel, CLOCK_S, START + 199 * CLOCK_MS));
    ck_assert(codel_drop(&codel, CLOCK_S, START + 199 * CLOCK_MS + 1));
}
END_TEST

START_TEST(an_empty_queue_starts_the_interval_anew_and_ends_the_overload) {
    open_codel();
    codel_drop(&codel, CLOCK_S, START);
    codel_empty(&codel);
    ck_assert(!codel_drop(&codel, CLOCK_S, START + 100 * CLOCK_MS));
    ck_assert(codel_drop(&codel, CLOCK_S, START + 200 * CLOCK_MS));
    codel_empty(&codel);
    ck_assert(!codel.overloaded);
    ck_assert(!codel_drop(&codel, CLOCK_S, START + 300 * CLOCK_MS));
}
END_TEST

/* interval / sqrt(n) after the one before: 100, 100, 70.711, 57.735, 50, 44.721, 40.825 ms. */
START_TEST(drops_follow_the_inverse_square_root) {
    static const uint64_t expected_us[] = {100000, 200000, 270711, 328446, 378446, 423168, 463992};
    uint64_t at_ns[7];
    open_codel();
    ck_assert_uint_eq(drops_between(START, START + 470 * CLOCK_MS, CLOCK_S, at_ns, 7), 7);
    for (size_t i = 0; i < 7; i++) ck_assert_uint_eq(at_ns[i], expected_us[i] * CLOCK_US);
    ck_assert_uint_eq(codel.drops, 7);
}
END_TEST

/* The sum of 1 / sqrt(k) for k below n is about 2 * sqrt(n): n grows with the square of the time. */
START_TEST(the_rate_of_drops_grows_with_the_time) {
    static uint64_t at_ns[10000];
    open_codel();
    size_t count = drops_between(START, START + 10 * CLOCK_S, 2 * CLOCK_S, at_ns, 10000);
    ck_assert_uint_ge(count, 2450); /* 99 intervals: (99 / 2) squared */
    ck_assert_uint_le(count, 2550);
}
END_TEST

START_TEST(a_late_look_catches_up_with_what_was_due) {
    open_codel();
    codel_drop(&codel, CLOCK_S, START);
    uint64_t now_ns = START + 100 * CLOCK_MS;
    ck_assert(codel_drop(&codel, CLOCK_S, now_ns));
    now_ns += 400 * CLOCK_MS; /* due after 100, 170.7, 228.4, 278.4, 323.2, 364, then 401.8 */
    for (int i = 0; i < 6; i++) ck_assert(codel_drop(&codel, CLOCK_S, now_ns));
    ck_assert(!codel_drop(&codel, CLOCK_S, now_ns));
    ck_assert(!codel_drop(&codel, CLOCK_S, now_ns + CLOCK_MS));
    ck_assert(codel_drop(&codel, CLOCK_S, now_ns + 2 * CLOCK_MS));
}
END_TEST

START_TEST(the_drops_stop_as_soon_as_the_oldest_is_young_enough) {
    open_codel();
    codel_drop(&codel, CLOCK_S, START);
    ck_assert(codel_drop(&codel, CLOCK_S, START + 100 * CLOCK_MS));
    ck_assert(!codel_drop(&codel, 5 * CLOCK_MS - 1, START + CLOCK_S)); /* many would be due */
    ck_assert(!codel.overloaded);
}
END_TEST

/* Seven drops, below target, and above again: the next episode begins with the rate of the six that
 * came on top of its first. */
START_TEST(an_episode_soon_after_the_last_starts_from_its_rate) {
    uint64_t at_ns[7];
    open_codel();
    drops_between(START, START + 470 * CLOCK_MS, CLOCK_S, at_ns, 7);
    uint64_t due_ns = START + 501800 * CLOCK_US, again_ns = due_ns + 1599 * CLOCK_MS;
    codel_drop(&codel, 0, again_ns - 101 * CLOCK_MS);
    codel_drop(&codel, CLOCK_S, again_ns - 100 * CLOCK_MS);
    ck_assert(codel_drop(&codel, CLOCK_S, again_ns)); /* within 16 intervals */
    ck_assert_uint_eq(codel.drops, 6);
    ck_assert_uint_eq((codel.drop_next_ns - again_ns) / CLOCK_US, 40824);
}
END_TEST

START_TEST(an_episode_long_after_the_last_starts_afresh) {
    uint64_t at_ns[7];
    open_codel();
    drops_between(START, START + 470 * CLOCK_MS, CLOCK_S, at_ns, 7);
    codel_empty(&codel);
    uint64_t again_ns = START + 2102 * CLOCK_MS; /* the next was due at 501.8: 16 intervals ago */
    codel_drop(&codel, CLOCK_S, again_ns - 100 * CLOCK_MS);
    ck_assert(codel_drop(&codel, CLOCK_S, again_ns));
    ck_assert_uint_eq(codel.drops, 1);
    ck_assert_uint_eq(codel.drop_next_ns, again_ns + 100 * CLOCK_MS);
}
END_TEST

/* --- a pool of PLACES that runs each request RUN_NS, asked as the pool asks ----------------------- */

#define PLACES 4
#define RUN_NS (50 * CLOCK_MS) /* target 50 ms, interval 1 s, 80 requests a second */
#define MOST   200000
#define SAYS   2000 /* sojourn times are counted in ms; the last cell has all above */

struct pool {
    uint64_t came_ns[MOST]; /* in order of arrival; who waits is first … first + count */
    size_t first, count, served, dropped, most_waiting;
    uint64_t free_ns[PLACES];
    uint32_t sojourns_ms[SAYS];
    size_t late_from; /* sojourns count from this one served */
    bool asks;        /* or takes the oldest always */
};
static struct pool pool;

static void open_pool(void) {
    pool = (struct pool){.asks = true};
    codel_init(&codel);
    codel_tune(&codel, RUN_NS);
}

static bool take(uint64_t now_ns, uint64_t *came_ns) {
    while (pool.asks && pool.count > 0 &&
           codel_drop(&codel, now_ns - pool.came_ns[pool.first], now_ns)) {
        pool.first++;
        pool.count--;
        pool.dropped++;
    }
    if (pool.count == 0) {
        codel_empty(&codel);
        return false;
    }
    pool.count--;
    bool newest = pool.asks && codel.overloaded;
    *came_ns = newest ? pool.came_ns[pool.first + pool.count] : pool.came_ns[pool.first++];
    return true;
}

static void serve(uint64_t now_ns) {
    uint64_t came_ns;
    for (size_t i = 0; i < PLACES; i++) {
        if (pool.free_ns[i] > now_ns || !take(now_ns, &came_ns)) continue;
        pool.free_ns[i] = now_ns + RUN_NS;
        uint64_t ms = (now_ns - came_ns) / CLOCK_MS;
        if (pool.served++ >= pool.late_from) pool.sojourns_ms[ms < SAYS ? ms : SAYS - 1]++;
    }
}

static void arrive(uint64_t now_ns) {
    require(pool.first + pool.count < MOST);
    pool.came_ns[pool.first + pool.count++] = now_ns;
    if (pool.count > pool.most_waiting) pool.most_waiting = pool.count;
}

/* Arrivals at so many in a thousand seconds, at random times, looked at each millisecond. */
static void run_pool(struct chance *chance, uint64_t from_ns, uint64_t to_ns, uint32_t rate) {
    for (uint64_t now_ns = from_ns; now_ns < to_ns; now_ns += CLOCK_MS) {
        if (chance_below(chance, 1000000) < rate) arrive(now_ns);
        serve(now_ns);
    }
}

static uint64_t sojourn_percentile(uint32_t percent) {
    uint64_t all = 0, seen = 0, ms = 0;
    for (size_t i = 0; i < SAYS; i++) all += pool.sojourns_ms[i];
    while (seen + pool.sojourns_ms[ms] < (all * percent + 99) / 100) seen += pool.sojourns_ms[ms++];
    return ms;
}

START_TEST(under_constant_overload_what_is_served_has_waited_about_the_target_at_most) {
    struct chance chance = chance_open();
    open_pool();
    pool.late_from = 80 * 5;                                 /* after five seconds it has noticed */
    run_pool(&chance, START, START + 300 * CLOCK_S, 160000); /* twice what it can do */
    ck_assert(codel.overloaded);
    ck_assert_uint_le(sojourn_percentile(50), 50);
    ck_assert_uint_le(sojourn_percentile(95), 50);
    ck_assert_uint_le(sojourn_percentile(99), 100);
    ck_assert_uint_ge(pool.served, 300 * 80 - 2 * PLACES); /* and no place was ever free */
    ck_assert_uint_gt(pool.dropped, 10000);
}
END_TEST

START_TEST(without_it_the_same_load_makes_everybody_wait_for_seconds) {
    struct chance chance = chance_open();
    open_pool();
    pool.asks = false;
    pool.late_from = 80 * 5;
    run_pool(&chance, START, START + 300 * CLOCK_S, 160000);
    ck_assert_uint_eq(sojourn_percentile(50), SAYS - 1);
    ck_assert_uint_ge(pool.served, 300 * 80 - 2 * PLACES);
}
END_TEST

START_TEST(the_drops_overtake_the_excess_and_the_queue_goes_down_again) {
    struct chance chance = chance_open();
    open_pool();
    run_pool(&chance, START, START + 70 * CLOCK_S, 120000); /* 40 a second too many: 2,800 */
    size_t waiting = pool.count;                            /* of which (70 / 2)^2 are dropped */
    ck_assert_uint_gt(waiting, 1000);
    run_pool(&chance, START + 70 * CLOCK_S, START + 150 * CLOCK_S, 120000); /* 6,000 and 5,625 */
    ck_assert_uint_lt(pool.count, waiting / 2);
}
END_TEST

START_TEST(after_the_overload_it_is_over_as_soon_as_the_rest_is_served) {
    struct chance chance = chance_open();
    open_pool();
    run_pool(&chance, START, START + 20 * CLOCK_S, 160000);
    ck_assert(codel.overloaded);
    run_pool(&chance, START + 20 * CLOCK_S, START + 80 * CLOCK_S, 20000);
    ck_assert(!codel.overloaded);
    size_t dropped = pool.dropped;
    run_pool(&chance, START + 80 * CLOCK_S, START + 200 * CLOCK_S, 20000);
    ck_assert_uint_eq(pool.dropped, dropped);
    ck_assert_uint_le(pool.count, 2 * PLACES);
}
END_TEST

START_TEST(a_queue_that_drains_loses_nobody) {
    open_pool();
    /* 40 at once each second: 10 rounds of 50 ms, so the last has waited 450 ms; then it is empty. */
    for (uint64_t ms = 0; ms < 60000; ms++) {
        for (int i = 0; ms % 1000 == 0 && i < 40; i++) arrive(START + ms * CLOCK_MS);
        serve(START + ms * CLOCK_MS);
        require(!codel.overloaded);
    }
    ck_assert_uint_eq(pool.dropped, 0);
    ck_assert_uint_eq(pool.served, 60 * 40);
    ck_assert_uint_ge(pool.most_waiting, 40);
    ck_assert_uint_ge(sojourn_percentile(99), 450);
}
END_TEST

SUITE("core/codel", 60, target_and_interval_follow_the_service_time,
      below_target_nothing_is_ever_dropped, it_is_silent_until_a_whole_interval_was_above_target,
      one_look_below_target_starts_the_interval_anew,
      an_empty_queue_starts_the_interval_anew_and_ends_the_overload,
      drops_follow_the_inverse_square_root, the_rate_of_drops_grows_with_the_time,
      a_late_look_catches_up_with_what_was_due,
      the_drops_stop_as_soon_as_the_oldest_is_young_enough,
      an_episode_soon_after_the_last_starts_from_its_rate,
      an_episode_long_after_the_last_starts_afresh,
      under_constant_overload_what_is_served_has_waited_about_the_target_at_most,
      without_it_the_same_load_makes_everybody_wait_for_seconds,
      the_drops_overtake_the_excess_and_the_queue_goes_down_again,
      after_the_overload_it_is_over_as_soon_as_the_rest_is_served, a_queue_that_drains_loses_nobody)
