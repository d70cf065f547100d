#include "core/policy/chaos.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

#define DRAWS 200000

static struct chaos_options options_of(const char *text) {
    struct chaos_options options;
    char error[CHAOS_ERROR_BYTES];
    enum outcome outcome = chaos_parse(&options, text, error);
    ck_assert_msg(outcome == OK, "%s: %s", text, error);
    ck_assert_str_eq(error, "");
    return options;
}

static struct chaos chaos_of(const char *text, uint32_t slot, uint32_t run) {
    struct chaos_options options = options_of(text);
    struct chaos chaos;
    chaos_open(&chaos, &options, slot, run);
    return chaos;
}

START_TEST(a_text_names_the_seed_and_for_each_fault_its_rate_and_amount) {
    struct chaos_options options =
        options_of("seed=42 crash=5% hang=0.25% delay=10%:50ms garbage=0.0001%  balloon=1%:64MiB "
                   "slow-load=100%:2s");
    ck_assert_uint_eq(options.seed, 42);
    ck_assert(options.seeded);
    ck_assert_uint_eq(options.faults[CHAOS_CRASH].rate, 50000);
    ck_assert_uint_eq(options.faults[CHAOS_HANG].rate, 2500);
    ck_assert_uint_eq(options.faults[CHAOS_DELAY].rate, 100000);
    ck_assert_uint_eq(options.faults[CHAOS_DELAY].amount, 50 * CLOCK_MS);
    ck_assert_uint_eq(options.faults[CHAOS_GARBAGE].rate, 1);
    ck_assert_uint_eq(options.faults[CHAOS_BALLOON].amount, UINT64_C(64) << 20);
    ck_assert_uint_eq(options.faults[CHAOS_SLOW_LOAD].rate, CHAOS_MILLION);
    ck_assert_uint_eq(options.faults[CHAOS_SLOW_LOAD].amount, 2 * CLOCK_S);
}
END_TEST

START_TEST(nothing_is_asked_for_by_an_empty_text) {
    struct chaos_options options = options_of("");
    ck_assert(!options.seeded);
    for (int i = 0; i < CHAOS_NONE; i++) ck_assert_uint_eq(options.faults[i].rate, 0);
    options = options_of("   ");
    ck_assert(!options.seeded);
}
END_TEST

START_TEST(what_is_wrong_is_named_with_what_is_allowed) {
#define RATE "a rate from 0% to 100% such as 0.5%"
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"crsh=5%",
         "\"crsh=5%\" is not a fault, allowed are seed=, crash=, hang=, delay=, garbage=, "
         "balloon= and slow-load="},
        {"crash", "\"crash\" is not a fault, allowed are seed=, crash=, hang=, delay=, garbage=, "
                  "balloon= and slow-load="},
        {"crash=5", "\"crash=5\" has no rate, allowed is crash= and " RATE},
        {"crash=", "\"crash=\" has no rate, allowed is crash= and " RATE},
        {"crash=-1%", "\"crash=-1%\" has no rate, allowed is crash= and " RATE},
        {"crash=101%", "\"crash=101%\" has no rate, allowed is crash= and " RATE},
        {"crash=100.1%", "\"crash=100.1%\" has no rate, allowed is crash= and " RATE},
        {"crash=0.00001%", "\"crash=0.00001%\" has no rate, allowed is crash= and " RATE},
        {"crash=1.%", "\"crash=1.%\" has no rate, allowed is crash= and " RATE},
        {"crash=99999999999999999999999%",
         "\"crash=99999999999999999999999%\" has no rate, allowed is crash= and " RATE},
        {"crash=5%:3s", "\"crash=5%:3s\" is not a rate, allowed is crash= and " RATE},
        {"delay=5%",
         "\"delay=5%\" has no time, allowed is a rate and a time such as delay=10%:50ms"},
        {"delay=5%:50",
         "\"delay=5%:50\" has no time, allowed is a rate and a time such as delay=10%:50ms"},
        {"slow-load=5%:64MiB",
         "\"slow-load=5%:64MiB\" has no time, allowed is a rate and a time such "
         "as slow-load=10%:50ms"},
        {"balloon=5%:2s",
         "\"balloon=5%:2s\" has no size, allowed is a rate and a size such as balloon=5%:64MiB"},
        {"balloon=5%:99999999999999GiB",
         "\"balloon=5%:99999999999999GiB\" has no size, allowed is a "
         "rate and a size such as balloon=5%:64MiB"},
        {"crash=1% hang=1% crash=2%", "crash is given twice, allowed is once"},
        {"seed=1 seed=1", "seed is given twice, allowed is once"},
        {"seed=x", "\"seed=x\" is not a seed, allowed is a whole number such as seed=42"},
        {"crash=60% hang=40.5%",
         "the rates of what befalls requests add up to 101%, allowed is at most 100%"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chaos_options options;
        char error[CHAOS_ERROR_BYTES];
        ck_assert_msg(chaos_parse(&options, rows[i].text, error) == INVALID_REQUEST, "%s",
                      rows[i].text);
        ck_assert_str_eq(error, rows[i].error);
    }
}
END_TEST

START_TEST(any_text_is_read_or_refused_with_a_reason) {
    static const char bits[] = "crash=5%:. seed0129delay-loadMiBsm";
    struct chance chance = chance_open();
    for (int i = 0; i < DRAWS; i++) {
        char text[90], error[CHAOS_ERROR_BYTES];
        size_t bytes = chance_below(&chance, sizeof text - 1);
        for (size_t j = 0; j < bytes; j++)
            text[j] = chance_percent(&chance, 95) ? bits[chance_below(&chance, sizeof bits - 1)]
                                                  : (char)(1 + chance_below(&chance, 255));
        text[bytes] = '\0';
        struct chaos_options options;
        enum outcome outcome = chaos_parse(&options, text, error);
        require((outcome == OK) == (error[0] == '\0'));
    }
}
END_TEST

START_TEST(the_rates_are_kept) {
    struct chance chance = chance_open();
    char text[128];
    snprintf(text, sizeof text,
             "seed=%u crash=5%% hang=1%% delay=10%%:1ms garbage=0.5%% balloon=2%%:1MiB "
             "slow-load=25%%:1s",
             chance_below(&chance, 1000000));
    static const double expected[] = {0.05, 0.01, 0.10, 0.005, 0.02, 0, 0.815};
    struct chaos chaos = chaos_of(text, 3, 0);
    unsigned counts[CHAOS_NONE + 1] = {0}, slow = 0;
    for (int i = 0; i < DRAWS; i++) {
        counts[chaos_on_request(&chaos)]++;
        slow += chaos_on_load(&chaos) == CHAOS_SLOW_LOAD;
    }
    for (int i = 0; i <= CHAOS_NONE; i++)
        ck_assert_msg(counts[i] <= expected[i] * DRAWS + 1000 &&
                          counts[i] + 1000 >= expected[i] * DRAWS,
                      "%s: %u", chaos_name((enum chaos_fault)i), counts[i]);
    ck_assert_uint_eq(counts[CHAOS_SLOW_LOAD], 0);
    ck_assert_uint_gt(slow, DRAWS / 4 - 2000);
    ck_assert_uint_lt(slow, DRAWS / 4 + 2000);
}
END_TEST

START_TEST(nothing_happens_at_0_percent_and_always_at_100) {
    struct chaos never = chaos_of("seed=1", 0, 0), always = chaos_of("crash=100%", 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        require(chaos_on_request(&never) == CHAOS_NONE);
        require(chaos_on_load(&never) == CHAOS_NONE);
        require(chaos_on_request(&always) == CHAOS_CRASH);
    }
}
END_TEST

/* Which of the first 64 requests crash, as bits. */
static uint64_t crashes(const char *text, uint32_t slot, uint32_t run) {
    struct chaos chaos = chaos_of(text, slot, run);
    uint64_t bits = 0;
    for (int i = 0; i < 64; i++) bits |= (uint64_t)(chaos_on_request(&chaos) == CHAOS_CRASH) << i;
    return bits;
}

START_TEST(the_same_seed_slot_and_run_decide_the_same_and_others_otherwise) {
    uint64_t first = crashes("seed=42 crash=50%", 1, 1);
    ck_assert_uint_eq(crashes("seed=42 crash=50%", 1, 1), first);
    ck_assert_uint_ne(crashes("seed=43 crash=50%", 1, 1), first);
    ck_assert_uint_ne(crashes("seed=42 crash=50%", 2, 1), first);
    ck_assert_uint_ne(crashes("seed=42 crash=50%", 1, 2), first);
    ck_assert_uint_ne(crashes("seed=42 crash=50%", 2, 1), crashes("seed=42 crash=50%", 1, 2));
}
END_TEST

SUITE("core/chaos", 30, a_text_names_the_seed_and_for_each_fault_its_rate_and_amount,
      nothing_is_asked_for_by_an_empty_text, what_is_wrong_is_named_with_what_is_allowed,
      any_text_is_read_or_refused_with_a_reason, the_rates_are_kept,
      nothing_happens_at_0_percent_and_always_at_100,
      the_same_seed_slot_and_run_decide_the_same_and_others_otherwise)
