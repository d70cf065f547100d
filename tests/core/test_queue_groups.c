/* queue_groups: who goes together, and when a key's requests are ripe. */
#include "tests/core/queue_stage.h"
#include "tests/support/suite.h"

#define DELAY_NS (5 * CLOCK_MS)

static void open_batches(uint32_t batch_max) {
    open_queue_with(&(struct queue_options){
        .room = STAGE_ROOM, .aging_ns = CLOCK_S, .fair = true, .batch_max = batch_max, .seed = 7});
}

static struct request *add_keyed(const char *key, enum priority priority, uint64_t deadline_ns) {
    struct request *request = make("", priority);
    request->batch_key = key;
    request->deadline_ns = deadline_ns;
    ck_assert_int_eq(request_queue_add(&queue, request, now_ns), OK);
    return request;
}

static struct request *add_key(const char *key) {
    return add_keyed(key, PRIORITY_NORMAL, CLOCK_NEVER);
}

static struct request *ripe(uint64_t *ripe_ns) {
    return request_queue_ripe(&queue, DELAY_NS, CLOCK_MS, now_ns, ripe_ns);
}

START_TEST(without_batches_everybody_is_ripe_and_alone) {
    struct request *out[4];
    uint64_t ripe_ns;
    open_queue();
    ck_assert_ptr_null(queue.groups);
    ck_assert_ptr_null(ripe(&ripe_ns));
    ck_assert_uint_eq(ripe_ns, CLOCK_NEVER);
    struct request *first = add_key("k");
    add_key("k");
    ck_assert_ptr_eq(ripe(&ripe_ns), first);
    ck_assert_uint_eq(request_queue_batch(&queue, first, out, 4), 1);
    ck_assert_ptr_eq(out[0], first);
    close_queue();
}
END_TEST

START_TEST(mates_have_the_same_key_and_come_by_class_and_arrival) {
    struct request *out[8];
    open_batches(8);
    struct request *low = add_keyed("k", PRIORITY_LOW, CLOCK_NEVER);
    struct request *first = add_key("k"), *second = add_key("k");
    add_key("");
    add_key("other");
    struct request *high = add_keyed("k", PRIORITY_HIGH, CLOCK_NEVER);
    ck_assert_uint_eq(request_queue_batch(&queue, second, out, 8), 4);
    struct request *const order[] = {second, high, first, low};
    for (int i = 0; i < 4; i++) ck_assert_ptr_eq(out[i], order[i]);
    ck_assert_uint_eq(request_queue_batch(&queue, second, out, 2), 2);
    ck_assert_uint_eq(request_queue_batch(&queue, second, out, 1), 1);
    now_ns += CLOCK_S; /* promotion moves them here as well */
    request_queue_first(&queue, now_ns);
    ck_assert_uint_eq(request_queue_batch(&queue, low, out, 8), 4);
    ck_assert_ptr_eq(out[1], high);
    close_queue();
}
END_TEST

START_TEST(who_must_go_alone_has_no_mates_and_is_ripe_at_once) {
    struct request *out[4];
    uint64_t ripe_ns;
    open_batches(4);
    struct request *first = add_key("k"), *second = add_key("k");
    request_queue_take(&queue, second, now_ns);
    second->solo = true;
    request_queue_return(&queue, second, now_ns);
    ck_assert_uint_eq(request_queue_batch(&queue, second, out, 4), 1);
    ck_assert_uint_eq(request_queue_batch(&queue, first, out, 4), 1);
    ck_assert_ptr_eq(request_queue_first(&queue, now_ns), first);
    ck_assert_ptr_eq(ripe(&ripe_ns), second); /* the first still hopes for mates */
    close_queue();
}
END_TEST

START_TEST(a_full_group_is_ripe) {
    uint64_t ripe_ns;
    open_batches(3);
    add_key("a");
    struct request *best = add_key("b");
    add_key("b");
    ck_assert_ptr_null(ripe(&ripe_ns));
    ck_assert_uint_eq(ripe_ns, now_ns + DELAY_NS);
    add_key("b");
    ck_assert_ptr_eq(ripe(&ripe_ns), best);
    request_queue_take(&queue, best, now_ns);
    ck_assert_ptr_null(ripe(&ripe_ns));
    close_queue();
}
END_TEST

START_TEST(a_group_is_ripe_when_its_oldest_has_waited_long_enough) {
    uint64_t ripe_ns;
    open_batches(8);
    struct request *oldest = add_keyed("k", PRIORITY_LOW, CLOCK_NEVER);
    uint64_t added_ns = now_ns;
    now_ns += CLOCK_MS;
    struct request *best = add_key("k"), *other = add_key("other");
    now_ns = added_ns + DELAY_NS - 1;
    ck_assert_ptr_null(ripe(&ripe_ns));
    ck_assert_uint_eq(ripe_ns, added_ns + DELAY_NS);
    now_ns++;
    ck_assert_ptr_eq(ripe(&ripe_ns), best);
    request_queue_finish(&queue, oldest, 0, now_ns); /* the next oldest counts now */
    ck_assert_ptr_null(ripe(&ripe_ns));
    ck_assert_uint_eq(ripe_ns, added_ns + CLOCK_MS + DELAY_NS);
    request_queue_finish(&queue, best, 0, now_ns);
    now_ns = ripe_ns;
    ck_assert_ptr_eq(ripe(&ripe_ns), other);
    close_queue();
}
END_TEST

START_TEST(a_near_deadline_makes_a_group_ripe) {
    uint64_t ripe_ns;
    open_batches(8);
    struct request *best = add_key("k");
    struct request *hasty = add_keyed("k", PRIORITY_LOW, now_ns + 3 * CLOCK_MS);
    uint64_t added_ns = now_ns;
    now_ns = added_ns + 2 * CLOCK_MS;
    ck_assert_ptr_null(ripe(&ripe_ns)); /* exactly spare_ns away, not less */
    ck_assert_uint_eq(ripe_ns, now_ns + 1);
    now_ns++;
    ck_assert_ptr_eq(ripe(&ripe_ns), best);
    request_queue_finish(&queue, hasty, 0, now_ns);
    ck_assert_ptr_null(ripe(&ripe_ns));
    ck_assert_uint_eq(ripe_ns, added_ns + DELAY_NS);
    close_queue();
}
END_TEST

START_TEST(the_first_of_all_goes_when_its_own_group_is_ripe) {
    uint64_t ripe_ns;
    open_batches(2);
    for (int i = 0; i < 2; i++) add_keyed("low", PRIORITY_LOW, CLOCK_NEVER);
    struct request *first = add_key("k");
    ck_assert_ptr_eq(ripe(&ripe_ns), &requests[0]);
    add_key("k");
    ck_assert_ptr_eq(ripe(&ripe_ns), first);
    ck_assert_uint_eq(ripe_ns, now_ns);
    close_queue();
}
END_TEST

START_TEST(a_group_lives_as_long_as_its_requests) {
    open_batches(4);
    struct request *one = add_key("one"), *two = add_key("one");
    ck_assert_uint_eq(queue.groups->live_count, 1);
    request_queue_take(&queue, one, now_ns);
    request_queue_finish(&queue, two, 0, now_ns);
    ck_assert_uint_eq(queue.groups->live_count, 1);
    request_queue_return(&queue, one, now_ns);
    request_queue_finish(&queue, one, 0, now_ns);
    ck_assert_uint_eq(queue.groups->live_count, 0);
    close_queue();
}
END_TEST

START_TEST(of_full_groups_the_one_with_the_best_request_goes_first) {
    uint64_t ripe_ns;
    open_batches(2);
    for (int i = 0; i < 2; i++) add_keyed("low", PRIORITY_LOW, CLOCK_NEVER);
    for (int i = 0; i < 2; i++) add_keyed("batch", PRIORITY_BATCH, CLOCK_NEVER);
    struct request *high = add_keyed("high", PRIORITY_HIGH, CLOCK_NEVER);
    add_keyed("high", PRIORITY_NORMAL, CLOCK_NEVER);
    add_keyed("unripe", PRIORITY_CRITICAL, CLOCK_NEVER);
    ck_assert_ptr_eq(ripe(&ripe_ns), high);
    request_queue_take(&queue, high, now_ns); /* and what is left of its group is not full */
    struct request *low = ripe(&ripe_ns);
    ck_assert_str_eq(low->batch_key, "low");
    close_queue();
}
END_TEST

START_TEST(of_groups_that_have_waited_long_enough_the_best_goes_first) {
    uint64_t ripe_ns;
    open_batches(8);
    add_keyed("low", PRIORITY_LOW, CLOCK_NEVER);
    now_ns++;
    struct request *high = add_keyed("high", PRIORITY_HIGH, CLOCK_NEVER);
    now_ns += DELAY_NS;
    add_keyed("unripe", PRIORITY_CRITICAL, CLOCK_NEVER);
    ck_assert_ptr_eq(ripe(&ripe_ns), high);
    request_queue_take(&queue, high, now_ns);
    struct request *late = add_keyed("high", PRIORITY_HIGH, CLOCK_NEVER);
    ck_assert_str_eq(ripe(&ripe_ns)->batch_key, "low"); /* that key's delay begins anew */
    now_ns += DELAY_NS;
    request_queue_take(&queue, request_queue_first(&queue, now_ns), now_ns);
    ck_assert_ptr_eq(ripe(&ripe_ns), late);
    close_queue();
}
END_TEST

SUITE("core/queue_groups", 60, without_batches_everybody_is_ripe_and_alone,
      mates_have_the_same_key_and_come_by_class_and_arrival,
      who_must_go_alone_has_no_mates_and_is_ripe_at_once, a_full_group_is_ripe,
      a_group_is_ripe_when_its_oldest_has_waited_long_enough, a_near_deadline_makes_a_group_ripe,
      the_first_of_all_goes_when_its_own_group_is_ripe, a_group_lives_as_long_as_its_requests,
      of_full_groups_the_one_with_the_best_request_goes_first,
      of_groups_that_have_waited_long_enough_the_best_goes_first)
