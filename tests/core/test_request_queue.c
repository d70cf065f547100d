/* request_queue: order among those that wait, ranks that survive a retry, deadlines, and a naive model. */
#include "core/base/clock.h"
#include "core/policy/request_queue.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#define ROOM  500
#define STEPS 100000

static struct request_queue queue;
static struct request requests[ROOM];
static size_t made;

static void open_queue(void) {
    made = 0;
    ck_assert_int_eq(request_queue_init(&queue, ROOM), OK);
}

static void finish_all(void) {
    struct request *request;
    while ((request = request_queue_any(&queue)) != NULL) request_queue_finish(&queue, request);
}

static void close_queue(void) {
    finish_all();
    ck_assert_uint_eq(queue.live, 0);
    ck_assert_uint_eq(queue.waiting, 0);
    request_queue_free(&queue);
}

static struct request *add(enum priority priority, uint64_t deadline_ns) {
    struct request *request = &requests[made++];
    *request = (struct request){.id = made,
                                .priority = priority,
                                .deadline_ns = deadline_ns,
                                .deadline_index = HEAP_NOWHERE};
    request_queue_add(&queue, request);
    return request;
}

static struct request *add_normal(void) {
    return add(PRIORITY_NORMAL, CLOCK_NEVER);
}

static struct request *take_first(void) {
    struct request *first = request_queue_first(&queue);
    ck_assert_ptr_nonnull(first);
    request_queue_take(&queue, first);
    return first;
}

START_TEST(an_empty_queue_has_nobody) {
    open_queue();
    ck_assert_ptr_null(request_queue_first(&queue));
    ck_assert_ptr_null(request_queue_any(&queue));
    ck_assert_ptr_null(request_queue_find(&queue, 1));
    ck_assert_ptr_null(request_queue_expired(&queue, CLOCK_NEVER));
    ck_assert_uint_eq(request_queue_next_deadline(&queue), CLOCK_NEVER);
    close_queue();
}
END_TEST

START_TEST(a_class_is_served_in_order_of_arrival) {
    open_queue();
    for (int i = 0; i < 100; i++) add_normal();
    ck_assert_uint_eq(queue.waiting, 100);
    ck_assert_uint_eq(queue.by_priority[PRIORITY_NORMAL], 100);
    for (size_t i = 0; i < 100; i++) {
        ck_assert_ptr_eq(take_first(), &requests[i]);
        ck_assert_int_eq(requests[i].state, REQUEST_RUNNING);
    }
    ck_assert_uint_eq(queue.waiting, 0);
    ck_assert_uint_eq(queue.live, 100);
    close_queue();
}
END_TEST

START_TEST(a_higher_class_always_goes_first) {
    open_queue();
    for (int round = 0; round < 3; round++)
        for (int i = PRIORITY_COUNT - 1; i >= 0; i--) add((enum priority)i, CLOCK_NEVER);
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

START_TEST(what_comes_back_keeps_its_rank) {
    open_queue();
    struct request *first = add_normal(), *second = add_normal(), *third = add_normal();
    ck_assert_ptr_eq(take_first(), first);
    ck_assert_ptr_eq(take_first(), second);
    struct request *fourth = add_normal();
    request_queue_return(&queue, second); /* before the third, though it came back later */
    request_queue_return(&queue, first);
    ck_assert_int_eq(first->state, REQUEST_QUEUED);
    ck_assert_uint_eq(queue.waiting, 4);
    ck_assert_ptr_eq(take_first(), first);
    ck_assert_ptr_eq(take_first(), second);
    ck_assert_ptr_eq(take_first(), third);
    ck_assert_ptr_eq(take_first(), fourth);
    close_queue();
}
END_TEST

START_TEST(what_comes_back_goes_between_its_neighbours) {
    open_queue();
    struct request *line[4];
    for (int i = 0; i < 4; i++) line[i] = add_normal();
    request_queue_take(&queue, line[2]);
    request_queue_return(&queue, line[2]);
    request_queue_take(&queue, line[3]);
    request_queue_return(&queue, line[3]);
    for (int i = 0; i < 4; i++) ck_assert_ptr_eq(take_first(), line[i]);
    close_queue();
}
END_TEST

START_TEST(what_comes_back_stays_in_its_class) {
    open_queue();
    struct request *low = add(PRIORITY_LOW, CLOCK_NEVER);
    take_first();
    struct request *high = add(PRIORITY_HIGH, CLOCK_NEVER);
    request_queue_return(&queue, low);
    ck_assert_uint_eq(queue.by_priority[PRIORITY_LOW], 1);
    ck_assert_ptr_eq(take_first(), high);
    ck_assert_ptr_eq(take_first(), low);
    close_queue();
}
END_TEST

START_TEST(who_waits_can_finish_from_anywhere_in_line) {
    for (size_t gone = 0; gone < 3; gone++) {
        open_queue();
        for (int i = 0; i < 3; i++) add_normal();
        request_queue_finish(&queue, &requests[gone]);
        ck_assert_int_eq(requests[gone].state, REQUEST_DONE);
        ck_assert_uint_eq(queue.waiting, 2);
        ck_assert_uint_eq(queue.live, 2);
        ck_assert_uint_eq(queue.by_priority[PRIORITY_NORMAL], 2);
        for (size_t i = 0; i < 3; i++)
            if (i != gone) ck_assert_ptr_eq(take_first(), &requests[i]);
        close_queue();
    }
}
END_TEST

START_TEST(who_is_out_can_finish_too) {
    open_queue();
    struct request *out = add(PRIORITY_NORMAL, 100);
    add_normal();
    take_first();
    request_queue_finish(&queue, out);
    ck_assert_int_eq(out->state, REQUEST_DONE);
    ck_assert_uint_eq(out->deadline_index, HEAP_NOWHERE);
    ck_assert_uint_eq(queue.waiting, 1);
    ck_assert_uint_eq(queue.live, 1);
    ck_assert_ptr_null(request_queue_find(&queue, out->id));
    close_queue();
}
END_TEST

START_TEST(ids_that_share_a_bucket_are_told_apart) {
    open_queue();
    struct request chain[3];
    for (uint64_t i = 0; i < 3; i++) {
        chain[i] = (struct request){.id = 5 + i * queue.buckets * 3,
                                    .priority = PRIORITY_NORMAL,
                                    .deadline_ns = CLOCK_NEVER,
                                    .deadline_index = HEAP_NOWHERE};
        request_queue_add(&queue, &chain[i]);
    }
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_eq(request_queue_find(&queue, chain[i].id), &chain[i]);
    ck_assert_ptr_null(request_queue_find(&queue, 5 + queue.buckets));
    request_queue_finish(&queue, &chain[1]); /* the middle of the chain */
    ck_assert_ptr_null(request_queue_find(&queue, chain[1].id));
    ck_assert_ptr_eq(request_queue_find(&queue, chain[0].id), &chain[0]);
    ck_assert_ptr_eq(request_queue_find(&queue, chain[2].id), &chain[2]);
    close_queue();
}
END_TEST

START_TEST(there_are_as_many_buckets_as_room_at_least) {
    static const size_t rooms[] = {1, 63, 64, 65, 1000, 11000};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        ck_assert_int_eq(request_queue_init(&queue, rooms[i]), OK);
        ck_assert_uint_ge(queue.buckets, rooms[i]);
        ck_assert_uint_eq(queue.buckets & (queue.buckets - 1), 0);
        ck_assert_uint_ge(queue.deadlines.capacity, rooms[i]);
        request_queue_free(&queue);
    }
}
END_TEST

START_TEST(deadlines_pass_earliest_first) {
    static const uint64_t deadlines[] = {500, 100, 400, 300, 200};
    open_queue();
    for (size_t i = 0; i < 5; i++) add((enum priority)i, deadlines[i]);
    for (uint64_t due_ns = 100; due_ns <= 500; due_ns += 100) {
        ck_assert_uint_eq(request_queue_next_deadline(&queue), due_ns);
        ck_assert_ptr_null(request_queue_expired(&queue, due_ns - 1));
        struct request *expired = request_queue_expired(&queue, due_ns);
        ck_assert_uint_eq(expired->deadline_ns, due_ns);
        request_queue_finish(&queue, expired);
    }
    ck_assert_uint_eq(request_queue_next_deadline(&queue), CLOCK_NEVER);
    close_queue();
}
END_TEST

START_TEST(a_deadline_holds_at_a_slot_and_after_a_return) {
    open_queue();
    struct request *request = add(PRIORITY_NORMAL, 100);
    take_first();
    ck_assert_ptr_eq(request_queue_expired(&queue, 100), request);
    request_queue_return(&queue, request);
    ck_assert_ptr_eq(request_queue_expired(&queue, 100), request);
    close_queue();
}
END_TEST

START_TEST(without_a_deadline_nothing_ever_expires) {
    open_queue();
    add_normal();
    ck_assert_ptr_null(request_queue_expired(&queue, CLOCK_NEVER));
    ck_assert_uint_eq(request_queue_next_deadline(&queue), CLOCK_NEVER);
    ck_assert_uint_eq(queue.deadlines.count, 0);
    close_queue();
}
END_TEST

START_TEST(any_finds_everybody_in_the_end) {
    open_queue();
    for (int i = 0; i < 100; i++) add_normal();
    for (int i = 0; i < 50; i++) take_first();
    finish_all();
    for (size_t i = 0; i < 100; i++) ck_assert_int_eq(requests[i].state, REQUEST_DONE);
    close_queue();
}
END_TEST

/* --- the queue against a model that searches ------------------------------------------------------- */

static bool is_live(const struct request *request) {
    return request->state == REQUEST_QUEUED || request->state == REQUEST_RUNNING;
}

/* Who should be next: the lowest class, then the lowest rank. */
static const struct request *model_first(void) {
    const struct request *first = NULL;
    for (size_t i = 0; i < ROOM; i++) {
        const struct request *request = &requests[i];
        if (request->state != REQUEST_QUEUED) continue;
        if (first == NULL || request->priority < first->priority ||
            (request->priority == first->priority && request->arrival < first->arrival))
            first = request;
    }
    return first;
}

static void assert_like_the_model(uint64_t now_ns) {
    uint32_t live = 0, waiting = 0, by_priority[PRIORITY_COUNT] = {0};
    uint64_t deadline_ns = CLOCK_NEVER;
    for (size_t i = 0; i < ROOM; i++) {
        const struct request *request = &requests[i];
        if (!is_live(request)) continue;
        live++;
        if (request->deadline_ns < deadline_ns) deadline_ns = request->deadline_ns;
        if (request->state != REQUEST_QUEUED) continue;
        waiting++;
        by_priority[request->priority]++;
    }
    require(queue.live == live && queue.waiting == waiting);
    for (int i = 0; i < PRIORITY_COUNT; i++) require(queue.by_priority[i] == by_priority[i]);
    require(request_queue_first(&queue) == model_first());
    require(request_queue_next_deadline(&queue) == deadline_ns);
    const struct request *expired = request_queue_expired(&queue, now_ns);
    require((expired != NULL) == (deadline_ns <= now_ns));
    require(expired == NULL || expired->deadline_ns == deadline_ns);
    require((request_queue_any(&queue) != NULL) == (live > 0));
}

static void step(struct chance *chance, struct request *request, uint64_t id) {
    switch (request->state) {
    case REQUEST_NEW:
    case REQUEST_DONE:
        *request = (struct request){
            .id = id,
            .priority = (enum priority)chance_below(chance, PRIORITY_COUNT),
            .deadline_ns = chance_percent(chance, 40) ? CLOCK_NEVER : chance_below(chance, STEPS),
            .deadline_index = HEAP_NOWHERE};
        request_queue_add(&queue, request);
        return;
    case REQUEST_QUEUED:
        if (chance_percent(chance, 60))
            request_queue_take(&queue, request);
        else
            request_queue_finish(&queue, request);
        return;
    case REQUEST_RUNNING:
        if (chance_percent(chance, 50))
            request_queue_return(&queue, request);
        else
            request_queue_finish(&queue, request);
        return;
    }
}

START_TEST(random_operations_agree_with_a_search) {
    struct chance chance = chance_open();
    for (size_t i = 0; i < ROOM; i++) requests[i] = (struct request){0};
    open_queue();
    for (uint64_t i = 0; i < STEPS; i++) {
        struct request *request = &requests[chance_below(&chance, ROOM)];
        uint64_t id = i * (1 + chance_below(&chance, 1000)) * STEPS + i + 1; /* unique, scattered */
        step(&chance, request, id);
        const struct request *found = request_queue_find(&queue, request->id);
        require(found == (is_live(request) ? request : NULL));
        if (i % 10 == 0) assert_like_the_model(i);
    }
    close_queue();
}
END_TEST

SUITE("core/request_queue", 60, an_empty_queue_has_nobody, a_class_is_served_in_order_of_arrival,
      a_higher_class_always_goes_first, what_comes_back_keeps_its_rank,
      what_comes_back_goes_between_its_neighbours, what_comes_back_stays_in_its_class,
      who_waits_can_finish_from_anywhere_in_line, who_is_out_can_finish_too,
      ids_that_share_a_bucket_are_told_apart, there_are_as_many_buckets_as_room_at_least,
      deadlines_pass_earliest_first, a_deadline_holds_at_a_slot_and_after_a_return,
      without_a_deadline_nothing_ever_expires, any_finds_everybody_in_the_end,
      random_operations_agree_with_a_search)
