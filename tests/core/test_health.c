/* health: the truth table of a pool, row by row, and then every small pool there is. */
#include "core/policy/health.h"
#include "tests/support/suite.h"

#define H HEALTH_HEALTHY
#define D HEALTH_DEGRADED
#define U HEALTH_UNHEALTHY

enum load { QUIET, BACKING_OFF };

/* able: of the three states that can serve; coming: spawning or loading. */
static const struct row {
    const char *what;
    uint32_t min, able, coming, failed, evicting, dead;
    enum wish wish;
    enum load load;
    enum health health;
} rows[] = {
    {"all that it needs", 2, 2, 0, 0, 0, 0, WISH_RUN, QUIET, H},
    {"more than it needs", 1, 4, 0, 0, 0, 0, WISH_RUN, QUIET, H},
    {"one more is coming", 1, 1, 1, 0, 0, 0, WISH_RUN, QUIET, H},
    {"one is being stopped", 1, 1, 0, 0, 1, 0, WISH_RUN, QUIET, H},
    {"a cold pool that needs none", 0, 0, 0, 0, 0, 2, WISH_RUN, QUIET, H},
    {"a cold pool that loads on demand", 0, 0, 1, 0, 0, 1, WISH_RUN, QUIET, H},
    {"one of two serves", 2, 1, 0, 0, 0, 1, WISH_RUN, QUIET, D},
    {"one of two serves, the other is coming", 2, 1, 1, 0, 0, 0, WISH_RUN, QUIET, D},
    {"one has failed", 1, 1, 0, 1, 0, 0, WISH_RUN, QUIET, D},
    {"a failed one in a cold pool", 0, 0, 0, 1, 0, 1, WISH_RUN, QUIET, D},
    {"the first is on its way", 1, 0, 1, 0, 0, 0, WISH_RUN, QUIET, D},
    {"paused", 1, 1, 0, 0, 0, 0, WISH_PAUSE, QUIET, D},
    {"draining", 1, 1, 0, 0, 0, 0, WISH_DRAIN, QUIET, D},
    {"unloaded", 0, 0, 0, 0, 0, 1, WISH_UNLOAD, QUIET, D},
    {"nothing serves, nothing comes", 1, 0, 0, 0, 0, 1, WISH_RUN, QUIET, U},
    {"all have failed", 2, 0, 0, 2, 0, 0, WISH_RUN, QUIET, U},
    {"the only one is being stopped", 1, 0, 0, 0, 1, 0, WISH_RUN, QUIET, U},
    {"loading backs off", 1, 0, 0, 0, 0, 1, WISH_RUN, BACKING_OFF, U},
    {"loading backs off in a cold pool", 0, 0, 0, 0, 0, 1, WISH_RUN, BACKING_OFF, U},
    {"backing off, but one serves", 1, 1, 0, 0, 0, 1, WISH_RUN, BACKING_OFF, H},
};

START_TEST(every_row_of_the_table_holds) {
    static const enum worker_state able[] = {WORKER_READY, WORKER_PROCESSING, WORKER_IDLE};
    static const enum worker_state coming[] = {WORKER_SPAWNING, WORKER_LOADING};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        for (size_t j = 0; j < 6; j++) { /* whichever state the able and the coming ones are in */
            uint32_t by_state[WORKER_STATE_COUNT] = {[WORKER_FAILED] = row->failed,
                                                     [WORKER_EVICTING] = row->evicting,
                                                     [WORKER_DEAD] = row->dead};
            by_state[able[j % 3]] = row->able;
            by_state[coming[j / 3]] = row->coming;
            enum health health =
                health_of_pool(by_state, row->min, row->wish, row->load == BACKING_OFF);
            ck_assert_msg(health == row->health, "%s: %s", row->what, health_name(health));
        }
    }
}
END_TEST

/* The three sentences of the header, said once more. */
static enum health expected(const uint32_t by_state[WORKER_STATE_COUNT], uint32_t min,
                            enum wish wish, bool backing_off) {
    bool serves = by_state[WORKER_READY] + by_state[WORKER_PROCESSING] + by_state[WORKER_IDLE] > 0;
    bool enough =
        by_state[WORKER_READY] + by_state[WORKER_PROCESSING] + by_state[WORKER_IDLE] >= min;
    bool comes = by_state[WORKER_SPAWNING] + by_state[WORKER_LOADING] > 0;
    if (!serves && ((min > 0 && !comes) || backing_off)) return U;
    return enough && by_state[WORKER_FAILED] == 0 && wish == WISH_RUN ? H : D;
}

START_TEST(every_pool_of_up_to_two_in_each_state_agrees) {
    for (int code = 0; code < 6561; code++) { /* 3 to the power of 8 */
        uint32_t by_state[WORKER_STATE_COUNT];
        for (int i = 0, rest = code; i < WORKER_STATE_COUNT; i++, rest /= 3)
            by_state[i] = (uint32_t)(rest % 3);
        for (uint32_t min = 0; min < 4; min++)
            for (enum wish wish = WISH_RUN; wish <= WISH_UNLOAD; wish++)
                for (int backing_off = 0; backing_off < 2; backing_off++)
                    if (health_of_pool(by_state, min, wish, backing_off) !=
                        expected(by_state, min, wish, backing_off))
                        ck_abort_msg("code %d, min %u, wish %d", code, min, (int)wish);
    }
}
END_TEST

START_TEST(the_worst_counts) {
    for (enum health a = H; a <= U; a++)
        for (enum health b = H; b <= U; b++)
            ck_assert_int_eq(health_worst(a, b), a == U || b == U ? U : a == D || b == D ? D : H);
}
END_TEST

START_TEST(names_are_those_of_the_contract) {
    ck_assert_str_eq(health_name(H), "healthy");
    ck_assert_str_eq(health_name(D), "degraded");
    ck_assert_str_eq(health_name(U), "unhealthy");
    ck_assert_str_eq(health_name((enum health)3), "?");
    ck_assert_str_eq(wish_name(WISH_RUN), "run");
    ck_assert_str_eq(wish_name(WISH_PAUSE), "pause");
    ck_assert_str_eq(wish_name(WISH_DRAIN), "drain");
    ck_assert_str_eq(wish_name(WISH_UNLOAD), "unload");
    ck_assert_str_eq(wish_name((enum wish)4), "?");
}
END_TEST

SUITE("core/health", 30, every_row_of_the_table_holds, every_pool_of_up_to_two_in_each_state_agrees,
      the_worst_counts, names_are_those_of_the_contract)
