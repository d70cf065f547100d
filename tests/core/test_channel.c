/* channel: many producers, one loop; nothing lost, nothing doubled, nothing out of order. */
#include "core/base/channel.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define PRODUCERS 8
#define LOOP      PRODUCERS /* the number of the consumer itself, as a producer */
#define MESSAGES  20000
#define CAPACITY  64

static struct mailbox {
    uv_loop_t loop;
    struct channel *channel;
    size_t received, batches, largest_batch;
    uint64_t next[PRODUCERS + 1];       /* of each producer */
    struct message kept[CAPACITY + 16]; /* the first of them */
    size_t close_after;                 /* closes the channel once it has received so many */
} box;

static void keep(const struct message *batch, size_t count) {
    box.batches++;
    if (count > box.largest_batch) box.largest_batch = count;
    for (size_t i = 0; i < count; i++, box.received++)
        if (box.received < sizeof box.kept / sizeof box.kept[0]) box.kept[box.received] = batch[i];
}

static void on_messages(void *owner, const struct message *batch, size_t count) {
    require(owner == &box && count > 0);
    keep(batch, count);
    if (box.received == box.close_after) channel_close(box.channel);
}

static void open_box(size_t capacity, channel_fn *fn) {
    memset(&box, 0, sizeof box);
    ck_assert_int_eq(uv_loop_init(&box.loop), 0);
    ck_assert_int_eq(channel_open(&box.channel, &box.loop, capacity, fn, &box), OK);
}

/* The channel was closed: the loop ends by itself and closes clean. */
static void close_box(void) {
    ck_assert_int_eq(uv_run(&box.loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&box.loop), 0);
}

static enum outcome send_to_box(uint64_t id) {
    return channel_try_send(box.channel, (struct message){.kind = 1, .number = 2, .id = id});
}

START_TEST(a_message_arrives_as_it_was_sent) {
    static int target;
    open_box(CAPACITY, on_messages);
    box.close_after = 1;
    struct message message = {.kind = 7, .number = 8, .id = UINT64_MAX, .pointer = &target};
    ck_assert_int_eq(channel_try_send(box.channel, message), OK);
    close_box();
    ck_assert_uint_eq(box.received, 1);
    ck_assert_uint_eq(box.kept[0].kind, 7);
    ck_assert_uint_eq(box.kept[0].number, 8);
    ck_assert_uint_eq(box.kept[0].id, UINT64_MAX);
    ck_assert_ptr_eq(box.kept[0].pointer, &target);
}
END_TEST

START_TEST(a_full_channel_takes_nothing) {
    open_box(CAPACITY, on_messages);
    for (uint64_t id = 0; id < CAPACITY; id++) ck_assert_int_eq(send_to_box(id), OK);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(send_to_box(1000), QUEUE_FULL);
    uv_run(&box.loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(box.received, CAPACITY);
    ck_assert_uint_eq(box.batches, 1);
    for (uint64_t id = 0; id < CAPACITY; id++) ck_assert_uint_eq(box.kept[id].id, id);
    ck_assert_int_eq(send_to_box(CAPACITY), OK); /* empty again, and its wake-up works again */
    uv_run(&box.loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(box.received, CAPACITY + 1);
    channel_close(box.channel);
    close_box();
}
END_TEST

START_TEST(nothing_is_delivered_before_the_loop_runs) {
    open_box(CAPACITY, on_messages);
    ck_assert_int_eq(send_to_box(1), OK);
    ck_assert_uint_eq(box.received, 0);
    channel_close(box.channel);
    close_box();
}
END_TEST

static void send_one_more(void *owner, const struct message *batch, size_t count) {
    (void)owner;
    keep(batch, count);
    if (batch[0].id < 10) ck_assert_int_eq(send_to_box(batch[0].id + 1), OK);
    if (batch[0].id == 10) channel_close(box.channel);
}

START_TEST(what_is_put_waits_for_the_wake_that_is_for_all_of_it) {
    open_box(CAPACITY, on_messages);
    box.close_after = 2;
    ck_assert_int_eq(channel_try_put(box.channel, (struct message){.id = 1}), OK);
    ck_assert_int_eq(channel_try_put(box.channel, (struct message){.id = 2}), OK);
    uv_run(&box.loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(box.received, 0);
    channel_wake(box.channel);
    close_box();
    ck_assert_uint_eq(box.received, 2);
    ck_assert_uint_eq(box.batches, 1);
}
END_TEST

START_TEST(what_the_consumer_sends_comes_in_a_later_batch) {
    open_box(CAPACITY, send_one_more);
    send_to_box(1);
    close_box();
    ck_assert_uint_eq(box.received, 10);
    ck_assert_uint_eq(box.batches, 10);
    for (uint64_t i = 0; i < 10; i++) ck_assert_uint_eq(box.kept[i].id, i + 1);
}
END_TEST

START_TEST(closing_hands_over_what_has_arrived) {
    open_box(CAPACITY, on_messages);
    for (uint64_t id = 0; id < 5; id++) send_to_box(id);
    channel_close(box.channel);
    ck_assert_uint_eq(box.received, 5);
    close_box();
    ck_assert_uint_eq(box.received, 5);
}
END_TEST

START_TEST(closing_an_empty_channel_calls_nobody) {
    open_box(CAPACITY, on_messages);
    channel_close(box.channel);
    close_box();
    ck_assert_uint_eq(box.batches, 0);
}
END_TEST

static void send_while_closing(void *owner, const struct message *batch, size_t count) {
    (void)owner;
    keep(batch, count);
    ck_assert_int_eq(send_to_box(99), SHUTTING_DOWN);
}

START_TEST(a_closing_channel_refuses) {
    open_box(CAPACITY, send_while_closing);
    send_to_box(1);
    channel_close(box.channel); /* calls the consumer, which tries to send */
    close_box();
    ck_assert_uint_eq(box.received, 1);
}
END_TEST

/* --- many producers -------------------------------------------------------------------------------- */

static void on_numbered(void *owner, const struct message *batch, size_t count) {
    (void)owner;
    for (size_t i = 0; i < count; i++) {
        require(batch[i].number <= LOOP);
        require(batch[i].id == box.next[batch[i].number]++); /* each once, in its order */
    }
    keep(batch, count);
    if (box.received == box.close_after) channel_close(box.channel);
}

static pthread_t producers[PRODUCERS];
static uint64_t accepted[PRODUCERS];
static _Atomic uint64_t refused;

static void *produce(void *argument) {
    uint32_t number = (uint32_t)(uintptr_t)argument;
    uint64_t *id = &accepted[number];
    while (*id < MESSAGES) {
        struct message message = {.number = number, .id = *id};
        enum outcome outcome = channel_try_send(box.channel, message);
        if (outcome == SHUTTING_DOWN) break;
        if (outcome == OK) {
            ++*id;
        } else {
            require(outcome == QUEUE_FULL);
            atomic_fetch_add(&refused, 1);
            sched_yield();
        }
    }
    return NULL;
}

static void start_producers(void) {
    for (uintptr_t i = 0; i < PRODUCERS; i++) {
        accepted[i] = 0;
        ck_assert_int_eq(pthread_create(&producers[i], NULL, produce, (void *)i), 0);
    }
}

static void join_producers(void) {
    for (int i = 0; i < PRODUCERS; i++) pthread_join(producers[i], NULL);
}

START_TEST(eight_producers_lose_and_double_nothing) {
    open_box(CAPACITY, on_numbered);
    box.close_after = (size_t)PRODUCERS * MESSAGES;
    start_producers();
    close_box(); /* ends with the last message */
    join_producers();
    ck_assert_uint_eq(box.received, (size_t)PRODUCERS * MESSAGES);
    ck_assert_uint_le(box.largest_batch, CAPACITY);
    for (int i = 0; i < PRODUCERS; i++) ck_assert_uint_eq(box.next[i], MESSAGES);
}
END_TEST

START_TEST(a_channel_with_room_for_all_never_refuses) {
    open_box((size_t)PRODUCERS * MESSAGES, on_numbered);
    box.close_after = (size_t)PRODUCERS * MESSAGES;
    start_producers();
    close_box();
    join_producers();
    ck_assert_uint_eq(refused, 0);
    ck_assert_uint_eq(box.received, (size_t)PRODUCERS * MESSAGES);
}
END_TEST

/* Closes after a while with something still to hand over, so that it is called once more from within
 * channel_close: there every producer gets to know that it is refused. */
static void on_closing(void *owner, const struct message *batch, size_t count) {
    static bool closing;
    on_numbered(owner, batch, count);
    if (closing) {
        join_producers();
    } else if (box.received > MESSAGES) {
        closing = true;
        enum outcome outcome = channel_try_send(box.channel, (struct message){.number = LOOP});
        ck_assert(outcome == OK || outcome == QUEUE_FULL);
        channel_close(box.channel);
    }
}

START_TEST(what_was_accepted_before_the_close_arrives) {
    open_box(CAPACITY, on_closing);
    start_producers();
    close_box();
    for (int i = 0; i < PRODUCERS; i++) ck_assert_uint_eq(box.next[i], accepted[i]);
}
END_TEST

START_TEST(a_channel_that_grows_keeps_what_waits) {
    open_box(2, on_messages);
    ck_assert_int_eq(send_to_box(0), OK);
    ck_assert_int_eq(send_to_box(1), OK);
    ck_assert_int_eq(send_to_box(2), QUEUE_FULL);
    ck_assert_int_eq(channel_grow(box.channel, CAPACITY), OK);
    ck_assert_int_eq(channel_grow(box.channel, 2), OK); /* never smaller */
    for (uint64_t id = 2; id < CAPACITY; id++) ck_assert_int_eq(send_to_box(id), OK);
    ck_assert_int_eq(send_to_box(1000), QUEUE_FULL);
    uv_run(&box.loop, UV_RUN_NOWAIT);
    for (uint64_t id = 0; id < CAPACITY; id++) ck_assert_uint_eq(box.kept[id].id, id);
    /* Both of its boxes have grown. */
    for (uint64_t id = 0; id < CAPACITY; id++) ck_assert_int_eq(send_to_box(id), OK);
    channel_close(box.channel);
    close_box();
    ck_assert_uint_eq(box.received, 2 * CAPACITY);
}
END_TEST

SUITE("core/channel", 60, a_message_arrives_as_it_was_sent, a_full_channel_takes_nothing,
      nothing_is_delivered_before_the_loop_runs,
      what_is_put_waits_for_the_wake_that_is_for_all_of_it,
      what_the_consumer_sends_comes_in_a_later_batch, closing_hands_over_what_has_arrived,
      closing_an_empty_channel_calls_nobody, a_closing_channel_refuses,
      eight_producers_lose_and_double_nothing, a_channel_with_room_for_all_never_refuses,
      what_was_accepted_before_the_close_arrives, a_channel_that_grows_keeps_what_waits)
