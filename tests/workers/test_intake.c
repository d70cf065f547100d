/* Where the host's next calls come from: batches whole, from the socket's inbox and from the ring, without
 * those that were cancelled or taken back. */
/* Before libcheck, which has a macro named fail. */
#include "workers/host/call.h"

#include "core/base/clock.h"
#include "core/transport/offers.h"
#include "tests/support/suite.h"
#include "workers/host/intake.h"

#include <pthread.h>
#include <string.h>

#define ROOM 4

static struct inbox inbox;
static struct intake intake;
static struct ring_pair *pair;
static struct offers offers;
static struct call *calls[ROOM];

static void open_intake(void) {
    ck_assert_int_eq(ring_pair_create_private(&pair, RING_PAIR_MIN_CELLS), OK);
    ck_assert_int_eq(offers_open(&offers, pair), OK);
    inbox_open(&inbox);
    intake_open(&intake, &inbox, pair, RING_PRIVATE);
}

static void close_intake(void) {
    struct call *call;
    while ((call = inbox_withdraw(&inbox)) != NULL) call_free(call);
    intake_close(&intake);
    offers_close(&offers);
    ring_pair_drop(pair, RING_PRIVATE);
}

static void push(uint64_t id, uint32_t batch_more) {
    struct call *call = call_make(CALL_REQUEST, id, 0);
    call->batch_more = batch_more;
    ck_assert_int_eq(inbox_push(&inbox, call), OK);
    intake_poke(&intake);
}

static void cancel_waiting(uint64_t id) {
    struct call *call = inbox_cancel(&inbox, id);
    ck_assert_ptr_nonnull(call);
    call_free(call);
}

static void offer(uint64_t first_id, size_t count, uint64_t deadline_ns) {
    static const struct pair metadata[] = {{"one", "1"}, {"two", "2"}};
    struct request requests[8], *pointers[8];
    for (size_t i = 0; i < count; i++) {
        requests[i] = (struct request){.id = first_id + i,
                                       .request_id = "r",
                                       .content_type = "text/plain",
                                       .operation = "turn",
                                       .traceparent = "00-trace",
                                       .metadata = (struct pair *)(uintptr_t)metadata,
                                       .metadata_count = 2,
                                       .run_deadline_ns = deadline_ns};
        pointers[i] = &requests[i];
    }
    ck_assert_int_eq(offers_put(&offers, pointers, count), OK);
}

/* Takes the next batch, which must be these ids; keeps it running. */
static void next_is(size_t count, const uint64_t *ids) {
    size_t got;
    intake_next(&intake, calls, ROOM, &got);
    ck_assert_ptr_null(intake.why);
    ck_assert_uint_eq(got, count);
    for (size_t i = 0; i < count; i++) ck_assert_uint_eq(calls[i]->id, ids[i]);
}

static void finish(size_t count) {
    inbox_finish(&inbox);
    for (size_t i = 0; i < count; i++) call_free(calls[i]);
}

#define NEXT(count, ...)                                                                           \
    do {                                                                                           \
        next_is(count, (const uint64_t[]){__VA_ARGS__});                                           \
        finish(count);                                                                             \
    } while (0)

START_TEST(a_call_of_the_ring_shows_the_plug_in_all_that_was_sent) {
    open_intake();
    offer(7, 1, clock_now_ns() + CLOCK_S);
    next_is(1, (const uint64_t[]){7});
    const struct poolgate_request *request = &calls[0]->request;
    ck_assert_str_eq(request->request_id, "r");
    ck_assert_str_eq(request->content_type, "text/plain");
    ck_assert_str_eq(request->operation, "turn");
    ck_assert_str_eq(request->traceparent, "00-trace");
    ck_assert_uint_eq(request->metadata_count, 2);
    ck_assert_str_eq(request->metadata[1].name, "two");
    ck_assert_str_eq(request->metadata[1].value, "2");
    ck_assert(request->timeout_ns > 0 && request->timeout_ns <= CLOCK_S);
    ck_assert_uint_eq(request->body_bytes, 0);
    finish(1);
    offer(8, 1, CLOCK_NEVER);
    next_is(1, (const uint64_t[]){8});
    ck_assert_uint_eq(calls[0]->request.timeout_ns, 0);
    finish(1);
    close_intake();
}
END_TEST

START_TEST(the_room_of_a_call_is_released_when_the_next_is_asked_for) {
    open_intake();
    offer(1, 1, CLOCK_NEVER);
    NEXT(1, 1);
    ck_assert_uint_eq(atomic_load(&pair->memory->offers[1].claim), offer_claim(1, OFFER_TAKEN));
    offer(2, 1, CLOCK_NEVER);
    NEXT(1, 2);
    ck_assert_uint_eq(atomic_load(&pair->memory->offers[1].claim), offer_claim(1, OFFER_RELEASED));
    close_intake();
}
END_TEST

START_TEST(a_batch_comes_whole_from_the_ring_without_those_taken_back) {
    open_intake();
    offer(1, 4, CLOCK_NEVER);
    offer(5, 1, CLOCK_NEVER);
    ck_assert(offers_revoke(&offers, 2));
    ck_assert(offers_revoke(&offers, 4));
    NEXT(2, 1, 3);
    NEXT(1, 5);
    close_intake();
}
END_TEST

START_TEST(a_batch_comes_whole_from_the_socket_without_those_cancelled) {
    open_intake();
    push(1, 2);
    push(2, 1);
    push(3, 0);
    push(4, 0);
    cancel_waiting(3);
    NEXT(2, 1, 2);
    NEXT(1, 4);
    close_intake();
}
END_TEST

START_TEST(a_batch_that_has_not_all_come_waits_and_the_ring_goes_on) {
    open_intake();
    push(1, 1);
    ck_assert(inbox_quiet(&inbox));
    offer(9, 1, CLOCK_NEVER);
    NEXT(1, 9);
    push(2, 0);
    NEXT(2, 1, 2);
    close_intake();
}
END_TEST

START_TEST(a_batch_larger_than_the_room_comes_in_parts_from_the_socket) {
    open_intake();
    for (uint32_t i = 0; i < 6; i++) push(i + 1, 5 - i);
    NEXT(4, 1, 2, 3, 4);
    NEXT(2, 5, 6);
    close_intake();
}
END_TEST

START_TEST(a_batch_larger_than_the_room_breaks_the_ring) {
    open_intake();
    offer(1, ROOM + 1, CLOCK_NEVER);
    size_t count;
    intake_next(&intake, calls, ROOM, &count);
    ck_assert_uint_eq(count, 0);
    ck_assert_ptr_nonnull(strstr(intake.why, "larger than READY"));
    close_intake();
}
END_TEST

START_TEST(a_cancel_that_comes_before_its_call_is_seen_marks_it) {
    open_intake();
    ck_assert_ptr_null(inbox_cancel(&inbox, 2));
    offer(1, 3, CLOCK_NEVER);
    next_is(3, (const uint64_t[]){1, 2, 3});
    ck_assert(!atomic_load(&calls[0]->cancelled));
    ck_assert(atomic_load(&calls[1]->cancelled));
    ck_assert_ptr_null(inbox_cancel(&inbox, 3));
    ck_assert(atomic_load(&calls[2]->cancelled));
    finish(3);
    close_intake();
}
END_TEST

START_TEST(what_runs_and_what_waits_is_told) {
    open_intake();
    uint32_t waiting;
    uint64_t busy_ns;
    push(1, 0);
    push(2, 0);
    inbox_load(&inbox, &waiting, &busy_ns);
    ck_assert_uint_eq(waiting, 2);
    ck_assert_uint_eq(busy_ns, 0);
    next_is(1, (const uint64_t[]){1});
    inbox_load(&inbox, &waiting, &busy_ns);
    ck_assert_uint_eq(waiting, 1);
    ck_assert_uint_gt(busy_ns, 0);
    finish(1);
    close_intake();
}
END_TEST

static void *stop_later(void *unused) {
    struct timespec pause = {.tv_nsec = 20000000};
    nanosleep(&pause, NULL);
    inbox_stop(&inbox);
    intake_poke(&intake);
    return unused;
}

START_TEST(a_stop_wakes_the_one_who_waits_and_nothing_begins_after_it) {
    open_intake();
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_later, NULL), 0);
    size_t count;
    intake_next(&intake, calls, ROOM, &count);
    ck_assert_uint_eq(count, 0);
    ck_assert_ptr_null(intake.why);
    pthread_join(thread, NULL);
    offer(1, 1, CLOCK_NEVER);
    intake_next(&intake, calls, ROOM, &count);
    ck_assert_uint_eq(count, 0);
    ck_assert(offers_revoke(&offers, 1));
    close_intake();
}
END_TEST

SUITE("workers/host/intake", 60, a_call_of_the_ring_shows_the_plug_in_all_that_was_sent,
      the_room_of_a_call_is_released_when_the_next_is_asked_for,
      a_batch_comes_whole_from_the_ring_without_those_taken_back,
      a_batch_comes_whole_from_the_socket_without_those_cancelled,
      a_batch_that_has_not_all_come_waits_and_the_ring_goes_on,
      a_batch_larger_than_the_room_comes_in_parts_from_the_socket,
      a_batch_larger_than_the_room_breaks_the_ring,
      a_cancel_that_comes_before_its_call_is_seen_marks_it, what_runs_and_what_waits_is_told,
      a_stop_wakes_the_one_who_waits_and_nothing_begins_after_it)
