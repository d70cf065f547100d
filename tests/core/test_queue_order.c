/* queue_order: ageing and its bound, fair shares of run time, tenants and what is remembered of them. */
#include "tests/core/queue_stage.h"
#include "tests/support/suite.h"

#include <stdio.h>

#define TENANTS 1000

static char names[TENANTS][32];

static void name_tenants(void) {
    for (int i = 0; i < TENANTS; i++) snprintf(names[i], sizeof names[i], "tenant-%d", i);
}

/* --- ageing ----------------------------------------------------------------------------------------------- */

static void tune(uint64_t aging_ns, bool fair) {
    request_queue_tune(&queue, &(struct queue_options){.aging_ns = aging_ns, .fair = fair});
}

START_TEST(each_full_second_of_waiting_promotes_one_class) {
    open_queue();
    const struct request *request = add(PRIORITY_BATCH);
    for (int steps = 0; steps < 6; steps++) {
        int expected = steps < 4 ? PRIORITY_BATCH - steps : PRIORITY_CRITICAL;
        int before = expected < PRIORITY_BATCH && steps < 5 ? expected + 1 : expected;
        uint64_t at_ns = 1 + (uint64_t)steps * CLOCK_S;
        request_queue_first(&queue, at_ns - (steps > 0));
        ck_assert_int_eq(request->effective, before);
        request_queue_first(&queue, at_ns);
        ck_assert_int_eq(request->effective, expected);
        ck_assert_int_eq(request->priority, PRIORITY_BATCH);
        ck_assert_uint_eq(queue.by_priority[PRIORITY_BATCH], 1);
        ck_assert_uint_eq(queue.by_effective[expected], 1);
    }
    close_queue();
}
END_TEST

START_TEST(a_long_silence_promotes_everybody_at_once) {
    open_queue();
    for (int i = 0; i < 1000; i++) add((enum priority)(i % PRIORITY_COUNT));
    request_queue_first(&queue, now_ns + 100 * CLOCK_S);
    ck_assert_uint_eq(queue.by_effective[PRIORITY_CRITICAL], 1000);
    for (int i = 0; i < 1000; i++) ck_assert_ptr_eq(take_first(), &requests[i]);
    close_queue();
}
END_TEST

START_TEST(without_ageing_nobody_is_promoted) {
    open_queue_with(&(struct queue_options){.room = 10, .batch_max = 1});
    const struct request *low = add(PRIORITY_LOW);
    request_queue_first(&queue, CLOCK_NEVER);
    ck_assert_int_eq(low->effective, PRIORITY_LOW);
    close_queue();
}
END_TEST

START_TEST(an_ageing_without_end_never_comes_due) {
    open_queue_with(
        &(struct queue_options){.room = 10, .aging_ns = UINT64_MAX / 2, .batch_max = 1});
    const struct request *batch = add(PRIORITY_BATCH);
    request_queue_first(&queue, UINT64_MAX / 2 - 1);
    ck_assert_int_eq(batch->effective, PRIORITY_BATCH);
    close_queue();
}
END_TEST

START_TEST(other_numbers_count_from_the_beginning_of_the_wait) {
    open_queue();
    const struct request *first = add_for("a", PRIORITY_LOW);
    now_ns += 2 * CLOCK_S;
    const struct request *second = add_for("b", PRIORITY_LOW);
    request_queue_first(&queue, now_ns);
    ck_assert_int_eq(first->effective, PRIORITY_HIGH);
    tune(2 * CLOCK_S, false);
    request_queue_first(&queue, now_ns);
    ck_assert_int_eq(first->effective, PRIORITY_NORMAL);
    ck_assert_int_eq(second->effective, PRIORITY_LOW);
    ck_assert_uint_eq(request_queue_place(&queue, second), 1);
    tune(0, true);
    request_queue_first(&queue, now_ns);
    ck_assert_int_eq(first->effective, PRIORITY_LOW);
    tune(0, false);
    ck_assert_uint_eq(request_queue_place(&queue, second), 2); /* of everybody's line */
    ck_assert_uint_eq(queue.by_effective[PRIORITY_LOW], 2);
    ck_assert_uint_eq(queue.tenants_live, 2);
    close_queue();
}
END_TEST

/* With fair off: among those that still wait when one is taken, nobody may have been added so long before
 * the taken one that ageing put it first. */
START_TEST(nobody_is_overtaken_by_what_came_later_than_its_ageing) {
    struct chance chance = chance_open();
    uint64_t seen = 0;
    open_queue_with(&(struct queue_options){
        .room = STAGE_ROOM, .aging_ns = 100, .fair = false, .batch_max = 1});
    while (made < STAGE_ROOM) {
        now_ns += chance_below(&chance, 20);
        if (chance_percent(&chance, 55))
            add_for(chance_percent(&chance, 50) ? "a" : "b",
                    (enum priority)chance_below(&chance, PRIORITY_COUNT));
        else if (queue.waiting > 0) {
            struct request *taken = take_first();
            if (taken->attempts++ == 0 && chance_percent(&chance, 10))
                request_queue_return(&queue, taken, now_ns);
            for (size_t i = made > 2000 ? made - 2000 : 0; i < made; i++) {
                const struct request *waits = &requests[i];
                if (waits->state != REQUEST_QUEUED || waits == taken) continue;
                require(taken->queued_ns <= waits->queued_ns + waits->priority * UINT64_C(100));
                seen += taken->arrival > waits->arrival;
            }
        }
    }
    ck_assert_uint_gt(seen, 0); /* there was overtaking within the bound */
    close_queue();
}
END_TEST

/* --- fairness --------------------------------------------------------------------------------------------- */

static int number_of(const struct request *request) {
    return (int)strtol(request->tenant + strlen("tenant-"), NULL, 10);
}

/* As it is, or nine times a tenth of it and then ten times as much. */
static uint64_t run_of(struct chance *chance, uint64_t run_ns) {
    if (chance == NULL) return run_ns;
    return chance_percent(chance, 90) ? run_ns / 10 : run_ns * 10;
}

/* Tenants that always have work, each with its own run time; says each one's run time in a window. */
static void run_window(int tenants, const uint64_t *run_ns, const int *demand, int slots,
                       struct chance *chance, uint64_t window_ns, uint64_t *served_ns) {
    struct request *at[16] = {NULL};
    uint64_t end_ns[16] = {0}, took_ns[16] = {0}, total_ns = 0;
    memset(served_ns, 0, (size_t)tenants * sizeof *served_ns);
    open_queue();
    tune(0, true);
    for (int i = 0; i < tenants; i++)
        for (int j = 0; j < demand[i]; j++) add_for(names[i], PRIORITY_NORMAL);
    while (total_ns < window_ns) {
        int next = 0;
        for (int i = 0; i < slots; i++) {
            if (at[i] == NULL) {
                at[i] = take_first();
                took_ns[i] = run_of(chance, run_ns[number_of(at[i])]);
                end_ns[i] = now_ns + took_ns[i];
            }
            if (end_ns[i] < end_ns[next]) next = i;
        }
        struct request *done = at[next];
        int tenant = number_of(done);
        now_ns = end_ns[next];
        request_queue_finish(&queue, done, took_ns[next], now_ns);
        served_ns[tenant] += took_ns[next];
        total_ns += took_ns[next];
        at[next] = NULL;
        prepare(done, done->id, names[tenant], PRIORITY_NORMAL); /* it asks again at once */
        require(request_queue_add(&queue, done, now_ns) == OK);
    }
    close_queue();
}

START_TEST(ten_times_the_demand_and_other_run_times_get_the_same_run_time) {
    static const uint64_t runs_ns[][2] = {
        {CLOCK_MS, CLOCK_MS}, {CLOCK_MS, 7 * CLOCK_MS}, {50 * CLOCK_MS, CLOCK_MS}, {100, CLOCK_MS}};
    name_tenants();
    for (size_t i = 0; i < sizeof runs_ns / sizeof runs_ns[0]; i++)
        for (int slots = 1; slots <= 4; slots *= 4) {
            uint64_t served_ns[2];
            uint64_t longest_ns = runs_ns[i][0] > runs_ns[i][1] ? runs_ns[i][0] : runs_ns[i][1];
            run_window(2, runs_ns[i], (const int[]){200, 20}, slots, NULL, 200 * longest_ns,
                       served_ns);
            double share = (double)served_ns[0] / (double)(served_ns[0] + served_ns[1]);
            ck_assert_msg(share > 0.45 && share < 0.55, "run times %zu, %d slots: share %.3f", i,
                          slots, share);
        }
}
END_TEST

START_TEST(runs_that_nobody_can_foresee_are_shared_as_well) {
    static const uint64_t runs_ns[][2] = {{CLOCK_MS, CLOCK_MS}, {CLOCK_MS, 20 * CLOCK_MS}};
    struct chance chance = chance_open();
    name_tenants();
    for (int i = 0; i < 2; i++)
        for (int slots = 1; slots <= 16; slots *= 4) {
            uint64_t served_ns[2];
            run_window(2, runs_ns[i], (const int[]){200, 40}, slots, &chance, 200 * CLOCK_S,
                       served_ns);
            double share = (double)served_ns[0] / (double)(served_ns[0] + served_ns[1]);
            ck_assert_msg(share > 0.45 && share < 0.55, "run times %d, %d slots: share %.3f", i,
                          slots, share);
        }
}
END_TEST

START_TEST(a_thousand_tenants_with_wildly_different_runs_share_equally) {
    static uint64_t run_ns[TENANTS], served_ns[TENANTS];
    static int demand[TENANTS];
    name_tenants();
    for (int i = 0; i < TENANTS; i++) {
        run_ns[i] = (uint64_t)(1 + i % 100) * CLOCK_MS;
        demand[i] = 8;
    }
    run_window(TENANTS, run_ns, demand, 4, NULL, TENANTS * 3 * CLOCK_S, served_ns);
    for (int i = 0; i < TENANTS; i++)
        ck_assert_msg(served_ns[i] > 2700 * CLOCK_MS && served_ns[i] < 3300 * CLOCK_MS,
                      "tenant %d: %.3f s", i, (double)served_ns[i] / 1e9);
}
END_TEST

START_TEST(ten_thousand_requests_of_one_do_not_delay_the_single_one_of_another) {
    for (int before = 0; before < 50; before += 7) {
        open_queue();
        for (int i = 0; i < 10000; i++) add_for("greedy", PRIORITY_NORMAL);
        for (int i = 0; i < before; i++) serve_first(CLOCK_MS);
        const struct request *single = add_for("modest", PRIORITY_NORMAL);
        ck_assert_uint_le(request_queue_ahead(&queue, "stranger", PRIORITY_NORMAL), 2);
        int waited = 0;
        while (serve_first(CLOCK_MS) != single) waited++;
        ck_assert_int_le(waited, 1);
        close_queue();
    }
}
END_TEST

/* A tenant that is alone takes far ahead and gives all back: that is no credit against a newcomer. */
START_TEST(what_is_taken_back_is_no_credit) {
    open_queue();
    for (int i = 0; i < 300; i++) add_for("greedy", PRIORITY_NORMAL);
    for (int i = 0; i < 10; i++) serve_first(CLOCK_MS);
    struct request *staged[256];
    for (int i = 0; i < 256; i++) staged[i] = take_first();
    for (int i = 0; i < 256; i++) request_queue_return(&queue, staged[i], now_ns);
    const struct request *single = add_for("modest", PRIORITY_NORMAL);
    int waited = 0;
    while (take_first() != single) waited++;
    ck_assert_int_le(waited, 2);
    close_queue();
}
END_TEST

START_TEST(a_run_that_was_lost_with_its_slot_is_paid_for) {
    open_queue();
    for (int i = 0; i < 40; i++) add_for(i % 2 ? "b" : "a", PRIORITY_NORMAL);
    for (int i = 0; i < 4; i++) serve_first(CLOCK_MS); /* both take a millisecond */
    struct request *lost = take_first();
    const char *loser = lost->tenant;
    now_ns += 10 * CLOCK_MS;
    request_queue_retry(&queue, lost, 10 * CLOCK_MS, now_ns);
    for (int i = 0; i < 8; i++) ck_assert_str_ne(serve_first(CLOCK_MS)->tenant, loser);
    close_queue();
}
END_TEST

START_TEST(a_return_costs_a_tenant_nothing) {
    open_queue();
    for (int i = 0; i < 4; i++) add_for(i % 2 ? "b" : "a", PRIORITY_NORMAL);
    ck_assert_ptr_eq(take_first(), &requests[0]);
    request_queue_return(&queue, &requests[0], now_ns);
    ck_assert_ptr_eq(take_first(), &requests[1]); /* of the same turn, and it sat there before */
    ck_assert_ptr_eq(take_first(), &requests[0]);
    close_queue();
}
END_TEST

START_TEST(a_debt_outlives_an_empty_line_and_credit_does_not) {
    open_queue();
    for (int i = 0; i < 3; i++) { /* both are known to run a millisecond */
        add_for("a", PRIORITY_NORMAL);
        add_for("b", PRIORITY_NORMAL);
        serve_first(CLOCK_MS);
        serve_first(CLOCK_MS);
    }
    for (int i = 0; i < 20; i++) add_for("b", PRIORITY_NORMAL);
    add_for("a", PRIORITY_NORMAL);
    struct request *first = take_first();
    if (first->tenant[0] != 'a') {
        request_queue_finish(&queue, first, CLOCK_MS, now_ns);
        first = take_first();
    }
    ck_assert_str_eq(first->tenant, "a");
    request_queue_finish(&queue, first, 10 * CLOCK_MS, now_ns); /* ten times what was thought */
    ck_assert_ptr_eq(request_queue_find(&queue, first->id), NULL);
    struct request *again = add_for("a", PRIORITY_NORMAL);
    int others = 0;
    while (serve_first(CLOCK_MS) != again) others++;
    ck_assert_int_ge(others, 8);
    ck_assert_int_le(others, 11);
    for (int i = 0; i < 40; i++) add_for("b", PRIORITY_NORMAL);
    for (int i = 0; i < 30; i++) serve_first(CLOCK_MS); /* a asks for nothing meanwhile */
    for (int i = 0; i < 6; i++) add_for("a", PRIORITY_NORMAL);
    int had = 0;
    for (int i = 0; i < 10; i++) had += serve_first(CLOCK_MS)->tenant[0] == 'a';
    ck_assert_int_ge(had, 4);
    ck_assert_int_le(had, 6);
    close_queue();
}
END_TEST

START_TEST(with_fair_off_arrival_decides_and_tenants_are_still_counted) {
    struct tenant_facts facts[4];
    open_queue();
    tune(CLOCK_S, false);
    for (int i = 0; i < 10; i++) add_for(i < 8 ? "a" : "b", PRIORITY_NORMAL);
    ck_assert_uint_eq(request_queue_place(&queue, &requests[9]), 10);
    for (int i = 0; i < 9; i++) ck_assert_ptr_eq(take_first(), &requests[i]);
    request_queue_finish(&queue, &requests[0], CLOCK_MS, now_ns);
    ck_assert_uint_eq(request_queue_tenants(&queue, facts, 4, now_ns), 2);
    ck_assert_str_eq(facts[0].name, "a");
    ck_assert_uint_eq(facts[0].waiting, 0);
    ck_assert_uint_eq(facts[0].out, 7);
    ck_assert_uint_eq(facts[0].served_ns, CLOCK_MS);
    ck_assert_uint_eq(facts[1].waiting, 1);
    ck_assert_uint_eq(facts[1].out, 1);
    close_queue();
}
END_TEST

/* --- tenants ------------------------------------------------------------------------------------------------ */

START_TEST(shares_add_up_and_halve_every_ten_seconds) {
    struct tenant_facts facts[4];
    open_queue();
    now_ns = 3 * CLOCK_S;
    for (int i = 0; i < 8; i++) add_for(i < 6 ? "big" : "small", PRIORITY_NORMAL);
    for (int i = 0; i < 4; i++) {
        struct request *first = take_first();
        request_queue_finish(&queue, first, first->tenant[0] == 'b' ? 3000 : 1000, now_ns);
    }
    ck_assert_uint_eq(request_queue_tenants(&queue, facts, 4, now_ns), queue.tenants_live);
    uint64_t before_ns = facts[0].served_ns;
    double shares = 0;
    for (uint32_t i = 0; i < queue.tenants_live; i++) shares += facts[i].share;
    if (queue.tenants_live == 2) ck_assert_double_eq_tol(shares, 1, 1e-9);
    request_queue_tenants(&queue, facts, 4, 12 * CLOCK_S);
    ck_assert_uint_eq(facts[0].served_ns, before_ns / 2);
    request_queue_tenants(&queue, facts, 4, 3600 * CLOCK_S);
    ck_assert_uint_eq(facts[0].served_ns, 0);
    ck_assert_double_eq_tol(facts[0].share, 0, 1e-9);
    close_queue();
}
END_TEST

START_TEST(the_tenants_with_the_most_are_listed_first) {
    struct tenant_facts facts[10];
    name_tenants();
    open_queue();
    for (int i = 0; i < 100; i++)
        for (int j = 0; j <= i * 37 % 100; j++) add_for(names[i], PRIORITY_LOW);
    ck_assert_uint_eq(queue.tenants_live, 100);
    ck_assert_uint_eq(request_queue_tenants(&queue, facts, 10, now_ns), 10);
    for (uint32_t i = 0; i < 10; i++) ck_assert_uint_eq(facts[i].waiting, 100 - i);
    ck_assert_uint_eq(request_queue_tenants(&queue, facts, 0, now_ns), 0);
    close_queue();
}
END_TEST

START_TEST(no_more_tenants_are_remembered_than_agreed) {
    char name[2][32];
    open_queue();
    for (int i = 0; i < 5000; i++) {
        snprintf(name[0], sizeof name[0], "stranger-%d", i);
        struct request *request = &requests[0];
        prepare(request, 1, name[0], PRIORITY_NORMAL);
        ck_assert_int_eq(request_queue_add(&queue, request, now_ns), OK);
        request_queue_finish(&queue, request, 0, now_ns);
        ck_assert_uint_le(queue.order->tenants.remembered_count, TENANTS_REMEMBERED);
    }
    ck_assert_uint_eq(queue.order->tenants.remembered_count, TENANTS_REMEMBERED);
    ck_assert_ptr_nonnull(tenants_find(&queue.order->tenants, "stranger-4999"));
    ck_assert_ptr_nonnull(tenants_find(&queue.order->tenants, "stranger-3976"));
    ck_assert_ptr_null(tenants_find(&queue.order->tenants, "stranger-3975"));
    close_queue();
}
END_TEST

START_TEST(names_are_cut_and_hold_any_byte) {
    static char longer[2][300];
    for (int i = 0; i < 2; i++) memset(longer[i], 'x', sizeof longer[i] - 1);
    longer[1][TENANT_NAME_BYTES] = 'y'; /* differs only beyond */
    open_queue();
    add_for(longer[0], PRIORITY_NORMAL);
    add_for(longer[1], PRIORITY_NORMAL);
    ck_assert_uint_eq(queue.tenants_live, 1);
    add_for("\xff\x80\n", PRIORITY_NORMAL);
    add_for("", PRIORITY_NORMAL);
    ck_assert_uint_eq(queue.tenants_live, 3);
    close_queue();
}
END_TEST

START_TEST(ahead_counts_better_classes_and_the_turns_of_others) {
    open_queue();
    for (int i = 0; i < 3; i++) add_for("a", PRIORITY_HIGH);
    for (int i = 0; i < 10; i++) add_for("a", PRIORITY_NORMAL);
    for (int i = 0; i < 2; i++) add_for("b", PRIORITY_NORMAL);
    add_for("b", PRIORITY_LOW);
    ck_assert_uint_eq(request_queue_ahead(&queue, NULL, PRIORITY_NORMAL), 15);
    ck_assert_uint_eq(request_queue_ahead(&queue, NULL, PRIORITY_BATCH), 16);
    ck_assert_uint_eq(request_queue_ahead(&queue, "a", PRIORITY_CRITICAL), 0);
    ck_assert_uint_eq(request_queue_ahead(&queue, "c", PRIORITY_NORMAL), 3 + 2);
    ck_assert_uint_eq(request_queue_ahead(&queue, "b", PRIORITY_NORMAL), 3 + 2 + 3);
    ck_assert_uint_eq(request_queue_ahead(&queue, "a", PRIORITY_NORMAL), 15); /* no more wait */
    tune(CLOCK_S, false);
    ck_assert_uint_eq(request_queue_ahead(&queue, "c", PRIORITY_NORMAL), 15);
    close_queue();
}
END_TEST

START_TEST(a_newcomer_waits_for_less_of_others_the_more_it_weighs) {
    static const struct tenant_weight weights[] = {{"heavy", 4}, {"two", 2}};
    open_queue_with(&(struct queue_options){
        .room = STAGE_ROOM, .fair = true, .batch_max = 1, .weights = weights, .weights_count = 2});
    for (int i = 0; i < 100; i++) add_for("two", PRIORITY_NORMAL);
    for (int i = 0; i < 10; i++) add_for("heavy", PRIORITY_NORMAL);
    ck_assert_uint_eq(request_queue_ahead(&queue, "heavy", PRIORITY_NORMAL), 10 + 6);
    ck_assert_uint_eq(request_queue_ahead(&queue, "light", PRIORITY_NORMAL), 6);
    close_queue();
}
END_TEST

/* Runs of one length: turns, counted. */
START_TEST(other_weights_hold_for_all_who_are_known) {
    static const struct tenant_weight weights[] = {{"a", 3}};
    int of_a = 0;
    open_queue();
    for (int i = 0; i < 2000; i++) add_for(i % 2 ? "a" : "b", PRIORITY_NORMAL);
    for (int i = 0; i < 100; i++) of_a += serve_first(CLOCK_MS)->tenant[0] == 'a';
    ck_assert_int_eq(of_a, 50);
    const struct queue_options heavier = {
        .aging_ns = queue.options.aging_ns, .fair = true, .weights = weights, .weights_count = 1};
    request_queue_tune(&queue, &heavier);
    for (int i = 0; i < 400; i++) of_a += serve_first(CLOCK_MS)->tenant[0] == 'a';
    ck_assert_int_ge(of_a, 50 + 299);
    ck_assert_int_le(of_a, 50 + 301);
    tune(queue.options.aging_ns, true);
    for (int i = 0; i < 100; i++) of_a += serve_first(CLOCK_MS)->tenant[0] == 'a';
    ck_assert_int_ge(of_a, 350 + 49);
    ck_assert_int_le(of_a, 350 + 51);
    close_queue();
}
END_TEST

SUITE("core/queue_order", 60, each_full_second_of_waiting_promotes_one_class,
      a_long_silence_promotes_everybody_at_once, without_ageing_nobody_is_promoted,
      an_ageing_without_end_never_comes_due, other_numbers_count_from_the_beginning_of_the_wait,
      nobody_is_overtaken_by_what_came_later_than_its_ageing,
      ten_times_the_demand_and_other_run_times_get_the_same_run_time,
      runs_that_nobody_can_foresee_are_shared_as_well,
      a_thousand_tenants_with_wildly_different_runs_share_equally,
      ten_thousand_requests_of_one_do_not_delay_the_single_one_of_another,
      what_is_taken_back_is_no_credit, a_run_that_was_lost_with_its_slot_is_paid_for,
      a_return_costs_a_tenant_nothing, a_debt_outlives_an_empty_line_and_credit_does_not,
      with_fair_off_arrival_decides_and_tenants_are_still_counted,
      shares_add_up_and_halve_every_ten_seconds, the_tenants_with_the_most_are_listed_first,
      no_more_tenants_are_remembered_than_agreed, names_are_cut_and_hold_any_byte,
      ahead_counts_better_classes_and_the_turns_of_others,
      a_newcomer_waits_for_less_of_others_the_more_it_weighs,
      other_weights_hold_for_all_who_are_known)
