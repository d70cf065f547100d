/* worker_state: the legal moves against a table written by hand, the census, the history. */
#include "core/policy/worker_state.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

#define STEPS   100000
#define WORKERS 7

/* From the row to the column, both in the order of the names. */
static const char *const names[WORKER_STATE_COUNT] = {"spawning", "loading",  "ready", "processing",
                                                      "idle",     "evicting", "dead",  "failed"};
static const char *const expected[WORKER_STATE_COUNT] = {
    /* slrpiedf */
    ".x...x.x", /* spawning */
    "..x..x.x", /* loading */
    "...xxx.x", /* ready */
    "..x..x.x", /* processing */
    "..x..x.x", /* idle */
    "......x.", /* evicting */
    "x.......", /* dead */
    "......x.", /* failed */
};

static bool may(enum worker_state from, enum worker_state to) {
    return expected[from][to] == 'x';
}

/* A record that went the shortest legal way to a state; its census counts it alone. */
static void make_record(struct worker_record *record, struct worker_census *census,
                        enum worker_state state) {
    static const enum worker_state way[] = {WORKER_SPAWNING, WORKER_LOADING, WORKER_READY};
    static const size_t steps[WORKER_STATE_COUNT] = {
        [WORKER_SPAWNING] = 1, [WORKER_LOADING] = 2,  [WORKER_READY] = 3, [WORKER_PROCESSING] = 3,
        [WORKER_IDLE] = 3,     [WORKER_EVICTING] = 3, [WORKER_DEAD] = 0,  [WORKER_FAILED] = 3};
    memset(census, 0, sizeof *census);
    worker_state_init(record, census, 1);
    for (size_t i = 0; i < steps[state]; i++)
        ck_assert(worker_state_move(record, way[i], REASON_START, 2));
    if (record->state != state) ck_assert(worker_state_move(record, state, REASON_START, 2));
}

static uint32_t counted(const struct worker_census *census) {
    uint32_t sum = 0;
    for (int i = 0; i < WORKER_STATE_COUNT; i++) sum += census->by_state[i];
    return sum;
}

START_TEST(a_slot_begins_dead_and_counted) {
    struct worker_record record;
    struct worker_census census = {0};
    worker_state_init(&record, &census, 42);
    ck_assert_int_eq(record.state, WORKER_DEAD);
    ck_assert_uint_eq(record.since_ns, 42);
    ck_assert_uint_eq(record.moved, 0);
    ck_assert_ptr_eq(record.census, &census);
    ck_assert_uint_eq(census.by_state[WORKER_DEAD], 1);
    ck_assert_uint_eq(counted(&census), 1);
}
END_TEST

START_TEST(every_pair_of_states_is_as_the_table_says) {
    for (enum worker_state from = 0; from < WORKER_STATE_COUNT; from++) {
        for (enum worker_state to = 0; to < WORKER_STATE_COUNT; to++) {
            struct worker_record record;
            struct worker_census census;
            make_record(&record, &census, from);
            ck_assert_msg(worker_state_legal(from, to) == may(from, to), "%s to %s", names[from],
                          names[to]);
            ck_assert_int_eq(worker_state_move(&record, to, REASON_DRAIN, 99), may(from, to));
        }
    }
}
END_TEST

START_TEST(a_refused_move_changes_nothing) {
    for (enum worker_state from = 0; from < WORKER_STATE_COUNT; from++) {
        for (enum worker_state to = 0; to < WORKER_STATE_COUNT; to++) {
            if (may(from, to)) continue;
            struct worker_record record, before;
            struct worker_census census, counts;
            make_record(&record, &census, from);
            memcpy(&before, &record, sizeof record);
            memcpy(&counts, &census, sizeof census);
            ck_assert(!worker_state_move(&record, to, REASON_DRAIN, 99));
            ck_assert_mem_eq(&record, &before, sizeof record);
            ck_assert_mem_eq(&census, &counts, sizeof census);
        }
    }
}
END_TEST

START_TEST(a_legal_move_is_counted_and_recorded) {
    for (enum worker_state from = 0; from < WORKER_STATE_COUNT; from++) {
        for (enum worker_state to = 0; to < WORKER_STATE_COUNT; to++) {
            if (!may(from, to)) continue;
            struct worker_record record;
            struct worker_census census;
            struct transition history[WORKER_TRANSITIONS];
            make_record(&record, &census, from);
            uint64_t moved = record.moved, moves = census.moves[from][to];
            ck_assert(worker_state_move(&record, to, REASON_DRAIN, 99));
            ck_assert_int_eq(record.state, to);
            ck_assert_uint_eq(record.since_ns, 99);
            ck_assert_uint_eq(record.moved, moved + 1);
            ck_assert_uint_eq(census.moves[from][to], moves + 1);
            ck_assert_uint_eq(census.by_state[from], 0);
            ck_assert_uint_eq(census.by_state[to], 1);
            const struct transition *last = &history[worker_state_history(&record, history) - 1];
            ck_assert_int_eq(last->from, from);
            ck_assert_int_eq(last->to, to);
            ck_assert_int_eq(last->why, REASON_DRAIN);
            ck_assert_uint_eq(last->at_ns, 99);
        }
    }
}
END_TEST

START_TEST(a_state_out_of_range_is_never_legal) {
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++) {
        ck_assert(!worker_state_legal(state, WORKER_STATE_COUNT));
        ck_assert(!worker_state_legal(WORKER_STATE_COUNT, state));
        ck_assert(!worker_state_legal(state, (enum worker_state)1000000));
        ck_assert(!worker_state_legal((enum worker_state) - 1, state));
    }
}
END_TEST

START_TEST(three_states_can_serve) {
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++)
        ck_assert_int_eq(worker_state_can_serve(state), state == WORKER_READY ||
                                                            state == WORKER_PROCESSING ||
                                                            state == WORKER_IDLE);
}
END_TEST

START_TEST(names_are_those_of_the_contract) {
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++)
        ck_assert_str_eq(worker_state_name(state), names[state]);
    ck_assert_str_eq(worker_state_name(WORKER_STATE_COUNT), "?");
    ck_assert_str_eq(reason_name(REASON_START), "start");
    ck_assert_str_eq(reason_name(REASON_PING_MISSED), "ping_missed");
    ck_assert_str_eq(reason_name(REASON_REAPED), "reaped");
    ck_assert_str_eq(reason_name(REASON_COUNT), "?");
}
END_TEST

START_TEST(every_reason_has_a_name_of_its_own) {
    for (enum reason a = 0; a < REASON_COUNT; a++)
        for (enum reason b = a + 1; b < REASON_COUNT; b++)
            ck_assert_str_ne(reason_name(a), reason_name(b));
}
END_TEST

START_TEST(the_history_keeps_the_last_32_in_order) {
    struct worker_record record;
    struct worker_census census;
    struct transition history[WORKER_TRANSITIONS];
    make_record(&record, &census, WORKER_READY);
    ck_assert_uint_eq(worker_state_history(&record, history), 3);
    ck_assert_int_eq(history[0].to, WORKER_SPAWNING);
    ck_assert_int_eq(history[2].to, WORKER_READY);
    for (uint64_t i = 0; i < 101; i++) {
        enum worker_state to = i % 2 == 0 ? WORKER_PROCESSING : WORKER_READY;
        ck_assert(worker_state_move(&record, to, REASON_REQUEST, 1000 + i));
    }
    ck_assert_uint_eq(worker_state_history(&record, history), WORKER_TRANSITIONS);
    for (uint64_t i = 0; i < WORKER_TRANSITIONS; i++) {
        ck_assert_uint_eq(history[i].at_ns, 1000 + 101 - WORKER_TRANSITIONS + i);
        if (i > 0) ck_assert_int_eq(history[i].from, history[i - 1].to);
    }
    ck_assert_int_eq(history[WORKER_TRANSITIONS - 1].to, WORKER_PROCESSING);
}
END_TEST

START_TEST(a_random_walk_keeps_the_census_true) {
    struct chance chance = chance_open();
    struct worker_census census = {0};
    struct worker_record records[WORKERS];
    uint64_t moved = 0, counted_moves = 0;
    for (size_t i = 0; i < WORKERS; i++) worker_state_init(&records[i], &census, 0);
    for (uint64_t step = 1; step <= STEPS; step++) {
        struct worker_record *record = &records[chance_below(&chance, WORKERS)];
        enum worker_state from = record->state;
        enum worker_state to = (enum worker_state)chance_below(&chance, WORKER_STATE_COUNT);
        bool done = worker_state_move(record, to, REASON_START, step);
        require(done == may(from, to));
        require(record->state == (done ? to : from));
        moved += done;
        uint32_t really[WORKER_STATE_COUNT] = {0};
        for (size_t i = 0; i < WORKERS; i++) really[records[i].state]++;
        require(memcmp(really, census.by_state, sizeof really) == 0);
    }
    for (enum worker_state from = 0; from < WORKER_STATE_COUNT; from++)
        for (enum worker_state to = 0; to < WORKER_STATE_COUNT; to++) {
            ck_assert_int_eq(census.moves[from][to] > 0, may(from, to));
            counted_moves += census.moves[from][to];
        }
    ck_assert_uint_eq(counted_moves, moved);
}
END_TEST

SUITE("core/worker_state", 60, a_slot_begins_dead_and_counted,
      every_pair_of_states_is_as_the_table_says, a_refused_move_changes_nothing,
      a_legal_move_is_counted_and_recorded, a_state_out_of_range_is_never_legal,
      three_states_can_serve, names_are_those_of_the_contract, every_reason_has_a_name_of_its_own,
      the_history_keeps_the_last_32_in_order, a_random_walk_keeps_the_census_true)
