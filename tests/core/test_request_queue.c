/* request_queue: order among those that wait, ranks that survive a retry, followers and heirs, deadlines. */
#include "tests/core/queue_stage.h"
#include "tests/support/suite.h"

static struct request *add_until(uint64_t deadline_ns) {
    struct request *request = make("", PRIORITY_NORMAL);
    request->deadline_ns = deadline_ns;
    ck_assert_int_eq(request_queue_add(&queue, request, now_ns), OK);
    return request;
}

static struct request *follow(const char *tenant, enum priority priority) {
    struct request *request = make(tenant, priority);
    ck_assert_int_eq(request_queue_follow(&queue, request, now_ns), OK);
    return request;
}

static void finish(struct request *request) {
    request_queue_finish(&queue, request, 0, now_ns);
}

START_TEST(an_empty_queue_has_nobody) {
    open_queue();
    ck_assert_ptr_null(request_queue_first(&queue, now_ns));
    ck_assert_ptr_null(request_queue_oldest(&queue));
    ck_assert_ptr_null(request_queue_find(&queue, 1));
    ck_assert_ptr_null(request_queue_expired(&queue, CLOCK_NEVER));
    ck_assert_uint_eq(request_queue_next_deadline(&queue), CLOCK_NEVER);
    ck_assert_uint_eq(request_queue_ahead(&queue, "", PRIORITY_BATCH), 0);
    close_queue();
}
END_TEST

START_TEST(a_queue_that_was_never_opened_may_be_freed) {
    struct request_queue never = {0};
    request_queue_free(&never);
}
END_TEST

START_TEST(a_class_is_served_in_order_of_arrival) {
    open_queue();
    for (int i = 0; i < 100; i++) add(PRIORITY_NORMAL);
    ck_assert_uint_eq(queue.waiting, 100);
    ck_assert_uint_eq(queue.by_priority[PRIORITY_NORMAL], 100);
    ck_assert_uint_eq(queue.by_effective[PRIORITY_NORMAL], 100);
    for (size_t i = 0; i < 100; i++) {
        ck_assert_uint_eq(request_queue_place(&queue, &requests[i]), 1);
        ck_assert_uint_eq(request_queue_place(&queue, &requests[99]), 100 - i);
        ck_assert_ptr_eq(take_first(), &requests[i]);
        ck_assert_int_eq(requests[i].state, REQUEST_RUNNING);
        ck_assert_uint_eq(request_queue_place(&queue, &requests[i]), 0);
    }
    ck_assert_uint_eq(queue.waiting, 0);
    ck_assert_uint_eq(queue.live, 100);
    close_queue();
}
END_TEST

START_TEST(the_newest_go_first_while_the_queue_is_told_so) {
    open_queue();
    struct request *critical = add(PRIORITY_CRITICAL);
    for (int i = 0; i < 5; i++) add(PRIORITY_NORMAL);
    queue.newest_first = true;
    ck_assert_ptr_eq(take_first(), critical); /* classes hold */
    ck_assert_ptr_eq(take_first(), &requests[5]);
    ck_assert_ptr_eq(take_first(), &requests[4]);
    queue.newest_first = false;
    ck_assert_ptr_eq(take_first(), &requests[1]);
    close_queue();
}
END_TEST

START_TEST(a_higher_class_always_goes_first) {
    open_queue();
    for (int round = 0; round < 3; round++)
        for (int i = PRIORITY_COUNT - 1; i >= 0; i--) add((enum priority)i);
    for (enum priority priority = 0; priority < PRIORITY_COUNT; priority++) {
        uint64_t last = 0;
        for (int round = 0; round < 3; round++) {
            const struct request *request = take_first();
            ck_assert_int_eq(request->priority, priority);
            ck_assert_uint_gt(request->arrival, last);
            last = request->arrival;
        }
        ck_assert_uint_eq(queue.by_priority[priority], 0);
    }
    close_queue();
}
END_TEST

/* Each of any two of 5 classes, 4 ages and 2 tenants: class by age first, then who has had less. */
START_TEST(class_then_tenant_then_arrival_decide_in_all_combinations) {
    for (int i = 0; i < 5 * 4 * 2; i++)
        for (int j = 0; j < 5 * 4 * 2; j++) {
            enum priority own[2] = {(enum priority)(i % 5), (enum priority)(j % 5)};
            uint64_t age[2] = {(uint64_t)(i / 5 % 4), (uint64_t)(j / 5 % 4)};
            const char *tenant[2] = {i >= 20 ? "had" : "new", j >= 20 ? "had" : "new"};
            open_queue();
            for (int class = 0; class < PRIORITY_COUNT; class ++) {
                /* In each class "had" has had a run, and the round has not gone on since. */
                add_for("had", (enum priority) class);
                request_queue_finish(&queue, take_first(), 50, now_ns);
            }
            struct request *both[2] = {NULL, NULL};
            int older = age[0] >= age[1] ? 0 : 1;
            int order[2] = {older, 1 - older};
            for (int k = 0; k < 2; k++) {
                now_ns = 1 + (4 - age[order[k]]) * CLOCK_S;
                both[order[k]] = add_for(tenant[order[k]], own[order[k]]);
            }
            now_ns = 1 + 4 * CLOCK_S;
            int class[2];
            for (int k = 0; k < 2; k++) class[k] = own[k] > age[k] ? (int)(own[k] - age[k]) : 0;
            int wins = older;
            if (tenant[0] != tenant[1]) wins = tenant[0][0] == 'n' ? 0 : 1;
            if (class[0] != class[1]) wins = class[0] < class[1] ? 0 : 1;
            ck_assert_msg(take_first() == both[wins], "%d against %d", i, j);
            ck_assert_int_eq(both[wins]->effective, class[wins]);
            close_queue();
        }
}
END_TEST

START_TEST(what_comes_back_keeps_its_rank) {
    open_queue();
    struct request *first = add(PRIORITY_NORMAL), *second = add(PRIORITY_NORMAL);
    struct request *third = add(PRIORITY_NORMAL);
    ck_assert_ptr_eq(take_first(), first);
    ck_assert_ptr_eq(take_first(), second);
    struct request *fourth = add(PRIORITY_NORMAL);
    request_queue_return(&queue, second, now_ns); /* before the third, though it came back later */
    request_queue_return(&queue, first, now_ns);
    ck_assert_int_eq(first->state, REQUEST_QUEUED);
    ck_assert_uint_eq(queue.waiting, 4);
    ck_assert_uint_eq(request_queue_place(&queue, fourth), 4);
    ck_assert_ptr_eq(take_first(), first);
    ck_assert_ptr_eq(take_first(), second);
    ck_assert_ptr_eq(take_first(), third);
    ck_assert_ptr_eq(take_first(), fourth);
    close_queue();
}
END_TEST

START_TEST(what_comes_back_has_aged_meanwhile) {
    open_queue();
    struct request *low = add(PRIORITY_LOW);
    ck_assert_ptr_eq(take_first(), low);
    now_ns += 2 * CLOCK_S;
    struct request *high = add(PRIORITY_HIGH), *normal = add(PRIORITY_NORMAL);
    request_queue_return(&queue, low, now_ns);
    ck_assert_int_eq(low->effective, PRIORITY_HIGH);
    ck_assert_uint_eq(queue.by_priority[PRIORITY_LOW], 1);
    ck_assert_uint_eq(queue.by_effective[PRIORITY_HIGH], 2);
    ck_assert_ptr_eq(take_first(), low);
    ck_assert_ptr_eq(take_first(), high);
    ck_assert_ptr_eq(take_first(), normal);
    close_queue();
}
END_TEST

START_TEST(who_waits_can_finish_from_anywhere_in_line) {
    for (size_t gone = 0; gone < 3; gone++) {
        open_queue();
        for (int i = 0; i < 3; i++) add(PRIORITY_NORMAL);
        finish(&requests[gone]);
        ck_assert_int_eq(requests[gone].state, REQUEST_DONE);
        ck_assert_uint_eq(queue.waiting, 2);
        ck_assert_uint_eq(queue.live, 2);
        for (size_t i = 0; i < 3; i++)
            if (i != gone) ck_assert_ptr_eq(take_first(), &requests[i]);
        close_queue();
    }
}
END_TEST

/* --- followers and heirs ---------------------------------------------------------------------------------- */

START_TEST(a_follower_is_live_without_a_place) {
    open_queue();
    add_for("acme", PRIORITY_NORMAL);
    struct request *follower = follow("acme", PRIORITY_HIGH);
    ck_assert_int_eq(follower->state, REQUEST_FOLLOWING);
    ck_assert_uint_eq(queue.live, 2);
    ck_assert_uint_eq(queue.waiting, 1);
    ck_assert_uint_eq(queue.tenants_live, 1);
    ck_assert_uint_eq(request_queue_place(&queue, follower), 0);
    ck_assert_ptr_eq(request_queue_find(&queue, follower->id), follower);
    finish(follower);
    ck_assert_uint_eq(queue.live, 1);
    close_queue();
}
END_TEST

START_TEST(an_heir_in_line_has_the_rank_and_age_of_its_leader) {
    open_queue();
    struct request *leader = add(PRIORITY_LOW);
    now_ns += CLOCK_S / 2;
    struct request *between = add(PRIORITY_LOW), *heir = follow("", PRIORITY_LOW);
    now_ns += CLOCK_S / 2;
    request_queue_inherit_line(&queue, leader, heir, now_ns);
    finish(leader);
    ck_assert_int_eq(heir->state, REQUEST_QUEUED);
    ck_assert_int_eq(heir->effective, PRIORITY_NORMAL); /* the leader came a second ago */
    ck_assert_uint_eq(queue.waiting, 2);
    ck_assert_uint_eq(queue.live, 2);
    ck_assert_ptr_eq(request_queue_oldest(&queue), heir);
    ck_assert_ptr_eq(take_first(), heir);
    ck_assert_ptr_eq(take_first(), between);
    close_queue();
}
END_TEST

START_TEST(an_heir_that_came_before_its_leader_keeps_its_own_rank) {
    open_queue();
    struct request *heir = follow("", PRIORITY_LOW);
    uint64_t arrival = heir->arrival;
    struct request *leader = add(PRIORITY_LOW);
    request_queue_inherit_line(&queue, leader, heir, now_ns);
    ck_assert_uint_eq(heir->arrival, arrival);
    finish(leader);
    close_queue();
}
END_TEST

START_TEST(an_heir_at_a_slot_comes_back_to_its_leaders_rank) {
    open_queue();
    struct request *leader = add(PRIORITY_NORMAL), *second = add(PRIORITY_NORMAL);
    struct request *heir = follow("", PRIORITY_NORMAL);
    ck_assert_ptr_eq(take_first(), leader);
    request_queue_inherit_slot(&queue, leader, heir);
    finish(leader);
    ck_assert_int_eq(heir->state, REQUEST_RUNNING);
    ck_assert_uint_gt(heir->debit_ns, 0);
    ck_assert_uint_eq(queue.live, 2);
    request_queue_return(&queue, heir, now_ns);
    ck_assert_ptr_eq(take_first(), heir);
    ck_assert_ptr_eq(take_first(), second);
    close_queue();
}
END_TEST

START_TEST(a_raise_moves_who_waits_and_waits_for_who_is_out) {
    open_queue();
    struct request *out = add(PRIORITY_LOW), *waits = add(PRIORITY_LOW);
    request_queue_take(&queue, out, now_ns);
    struct request *normal = add(PRIORITY_NORMAL);
    request_queue_raise(&queue, waits, PRIORITY_HIGH, now_ns);
    request_queue_raise(&queue, waits, PRIORITY_BATCH, now_ns); /* never down */
    request_queue_raise(&queue, out, PRIORITY_CRITICAL, now_ns);
    ck_assert_uint_eq(queue.by_priority[PRIORITY_HIGH], 1);
    ck_assert_uint_eq(queue.by_effective[PRIORITY_HIGH], 1);
    ck_assert_uint_eq(queue.by_priority[PRIORITY_LOW], 0);
    ck_assert_ptr_eq(request_queue_first(&queue, now_ns), waits);
    request_queue_return(&queue, out, now_ns);
    ck_assert_ptr_eq(take_first(), out);
    ck_assert_ptr_eq(take_first(), waits);
    ck_assert_ptr_eq(take_first(), normal);
    close_queue();
}
END_TEST

/* --- deadlines and ids ------------------------------------------------------------------------------------ */

START_TEST(deadlines_pass_earliest_first) {
    open_queue();
    struct request *late = add_until(300), *early = add_until(100), *middle = add_until(200);
    add_until(CLOCK_NEVER);
    ck_assert_uint_eq(request_queue_next_deadline(&queue), 100);
    ck_assert_ptr_null(request_queue_expired(&queue, 99));
    struct request *const order[] = {early, middle, late};
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_eq(request_queue_expired(&queue, 300), order[i]);
        finish(order[i]);
    }
    ck_assert_uint_eq(request_queue_next_deadline(&queue), CLOCK_NEVER);
    close_queue();
}
END_TEST

START_TEST(a_deadline_holds_at_a_slot_and_for_a_follower) {
    open_queue();
    struct request *out = add_until(100);
    take_first();
    ck_assert_ptr_eq(request_queue_expired(&queue, 100), out);
    request_queue_return(&queue, out, now_ns);
    ck_assert_ptr_eq(request_queue_expired(&queue, 100), out);
    struct request *follower = make("", PRIORITY_NORMAL);
    follower->deadline_ns = 50;
    ck_assert_int_eq(request_queue_follow(&queue, follower, now_ns), OK);
    ck_assert_ptr_eq(request_queue_expired(&queue, 100), follower);
    close_queue();
}
END_TEST

START_TEST(ids_that_share_a_bucket_are_told_apart) {
    open_queue();
    struct request chain[3];
    for (uint64_t i = 0; i < 3; i++) {
        prepare(&chain[i], 5 + i * queue.buckets * 3, "", PRIORITY_NORMAL);
        ck_assert_int_eq(request_queue_add(&queue, &chain[i], now_ns), OK);
    }
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_eq(request_queue_find(&queue, chain[i].id), &chain[i]);
    ck_assert_ptr_null(request_queue_find(&queue, 5 + queue.buckets));
    finish(&chain[1]); /* the middle of the chain */
    ck_assert_ptr_null(request_queue_find(&queue, chain[1].id));
    ck_assert_ptr_eq(request_queue_find(&queue, chain[0].id), &chain[0]);
    ck_assert_ptr_eq(request_queue_find(&queue, chain[2].id), &chain[2]);
    close_queue();
}
END_TEST

START_TEST(there_are_as_many_buckets_as_room_at_least) {
    static const size_t rooms[] = {1, 63, 64, 65, 1000, 11000};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        open_queue_with(&(struct queue_options){.room = rooms[i], .batch_max = 1});
        ck_assert_uint_ge(queue.buckets, rooms[i]);
        ck_assert_uint_eq(queue.buckets & (queue.buckets - 1), 0);
        ck_assert_uint_ge(queue.deadlines.others.capacity, rooms[i]);
        request_queue_free(&queue);
    }
}
END_TEST

SUITE("core/request_queue", 60, an_empty_queue_has_nobody,
      a_queue_that_was_never_opened_may_be_freed, a_class_is_served_in_order_of_arrival,
      the_newest_go_first_while_the_queue_is_told_so, a_higher_class_always_goes_first,
      class_then_tenant_then_arrival_decide_in_all_combinations, what_comes_back_keeps_its_rank,
      what_comes_back_has_aged_meanwhile, who_waits_can_finish_from_anywhere_in_line,
      a_follower_is_live_without_a_place, an_heir_in_line_has_the_rank_and_age_of_its_leader,
      an_heir_that_came_before_its_leader_keeps_its_own_rank,
      an_heir_at_a_slot_comes_back_to_its_leaders_rank,
      a_raise_moves_who_waits_and_waits_for_who_is_out, deadlines_pass_earliest_first,
      a_deadline_holds_at_a_slot_and_for_a_follower, ids_that_share_a_bucket_are_told_apart,
      there_are_as_many_buckets_as_room_at_least)
