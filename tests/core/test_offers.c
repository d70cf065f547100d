/* Requests through shared memory: offered and taken, or revoked, never both; and against a worker that
 * scribbles over its memory. */
#include "core/base/clock.h"
#include "core/transport/offers.h"
#include "core/transport/taker.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define CELLS 64u

static struct ring_pair *pair;
static struct offers offers;
static struct taker taker;

static void open_pair(void) {
    ck_assert_int_eq(ring_pair_create_private(&pair, CELLS), OK);
    ck_assert_int_eq(offers_open(&offers, pair), OK);
    taker_open(&taker, pair, RING_PRIVATE);
}

static void close_pair(void) {
    offers_close(&offers);
    ring_pair_drop(pair, RING_PRIVATE);
}

static const struct pair metadata[] = {{"a-name", "a value"}, {"other", ""}};

static struct request request_of(uint64_t id, struct body *body) {
    return (struct request){.id = id,
                            .request_id = "r-1",
                            .content_type = "text/plain",
                            .operation = "turn",
                            .traceparent = "",
                            .run_deadline_ns = CLOCK_NEVER,
                            .metadata = (struct pair *)(uintptr_t)metadata,
                            .metadata_count = 2,
                            .body = body};
}

static enum outcome put_body(uint64_t id, size_t bytes) {
    struct body *body;
    require(body_create(&body, bytes) == OK);
    static uint8_t filled[BODY_MEMFD_BYTES];
    memset(filled, (int)(id & 0xff), bytes);
    require(body_append(body, filled, bytes) == OK);
    struct request request = request_of(id, body), *one = &request;
    enum outcome outcome = offers_put(&offers, &one, 1);
    body_unref(body);
    return outcome;
}

static enum outcome put(uint64_t id) {
    struct request request = request_of(id, NULL), *one = &request;
    return offers_put(&offers, &one, 1);
}

static enum outcome put_batch(uint64_t first_id, size_t count) {
    struct request requests[CELLS + 1], *pointers[CELLS + 1];
    for (size_t i = 0; i < count; i++) {
        requests[i] = request_of(first_id + i, NULL);
        pointers[i] = &requests[i];
    }
    return offers_put(&offers, pointers, count);
}

/* The id of the next, 0: there is none. */
static uint64_t take(void) {
    struct offer offer;
    enum taken taken = taker_take(&taker, &offer);
    ck_assert_int_ne(taken, TAKEN_BROKEN);
    return taken == TAKEN_ONE ? offer.id : 0;
}

START_TEST(a_request_arrives_with_all_its_texts_and_bytes) {
    open_pair();
    ck_assert_int_eq(put_body(7, 1000), OK);
    struct offer offer;
    ck_assert_int_eq(taker_take(&taker, &offer), TAKEN_ONE);
    ck_assert_uint_eq(offer.id, 7);
    ck_assert_uint_eq(offer.deadline_ns, CLOCK_NEVER);
    ck_assert_uint_eq(offer.batch_more, 0);
    ck_assert_str_eq(offer.texts[0], "r-1");
    ck_assert_str_eq(offer.texts[1], "text/plain");
    ck_assert_str_eq(offer.texts[2], "turn");
    ck_assert_str_eq(offer.texts[3], "");
    ck_assert_uint_eq(offer.pairs, 2);
    ck_assert_mem_eq(offer.pair_texts, "a-name\0a value\0other\0", 22);
    ck_assert_uint_eq(offer.payload_bytes, 1000);
    ck_assert_uint_eq((uintptr_t)offer.payload % OFFER_ALIGN, 0);
    for (size_t i = 0; i < 1000; i++) ck_assert_uint_eq(offer.payload[i], 7);
    ck_assert_int_eq(taker_take(&taker, &offer), TAKEN_NONE);
    close_pair();
}
END_TEST

START_TEST(a_request_is_revoked_until_it_is_taken_and_not_after) {
    open_pair();
    ck_assert_int_eq(put(1), OK);
    ck_assert_int_eq(put(2), OK);
    ck_assert_int_eq(put(3), OK);
    ck_assert_uint_eq(take(), 1);
    ck_assert(!offers_revoke(&offers, 1));
    ck_assert(offers_revoke(&offers, 2));
    ck_assert(!offers_revoke(&offers, 2));
    ck_assert(!offers_revoke(&offers, 99));
    ck_assert_uint_eq(take(), 3);
    ck_assert_uint_eq(take(), 0);
    taker_release(&taker);
    ck_assert(!offers_revoke(&offers, 3));
    close_pair();
}
END_TEST

START_TEST(what_was_revoked_may_be_offered_again) {
    open_pair();
    ck_assert_int_eq(put(5), OK);
    ck_assert(offers_revoke(&offers, 5));
    ck_assert_uint_eq(take(), 0);
    ck_assert_int_eq(put(5), OK);
    ck_assert_uint_eq(take(), 5);
    taker_release(&taker);
    ck_assert_int_eq(put(5), OK); /* a retry at the same worker */
    ck_assert(offers_revoke(&offers, 5));
    close_pair();
}
END_TEST

/* A worker that is busy for seconds sees ever new requests staged and revoked. */
START_TEST(staging_and_revoking_beside_a_busy_worker_uses_no_room_up) {
    open_pair();
    ck_assert_int_eq(put(1), OK);
    ck_assert_uint_eq(take(), 1);
    for (uint64_t id = 2; id < 100000; id++) {
        require(put_body(id, 60000) == OK);
        require(put(id + 1000000) == OK);
        require(offers_revoke(&offers, id));
        require(offers_revoke(&offers, id + 1000000));
    }
    ck_assert_uint_eq(offers.next, 2);
    ck_assert_int_eq(put(2), OK);
    ck_assert_uint_eq(take(), 2);
    close_pair();
}
END_TEST

START_TEST(when_all_cells_are_given_out_there_is_no_room_until_one_is_released) {
    open_pair();
    for (uint64_t id = 1; id <= CELLS; id++) ck_assert_int_eq(put(id), OK);
    ck_assert_int_eq(put(100), QUEUE_FULL);
    ck_assert(offers_revoke(&offers, 1));
    ck_assert_int_eq(put(100), QUEUE_FULL); /* its cell is the worker's to pass by */
    ck_assert_uint_eq(take(), 2);
    ck_assert_int_eq(put(100), OK);
    ck_assert_int_eq(put(101), QUEUE_FULL);
    taker_release(&taker);
    ck_assert_int_eq(put(101), OK);
    close_pair();
}
END_TEST

START_TEST(bodies_up_to_a_memfd_s_size_fit_and_larger_ones_never_do) {
    open_pair();
    ck_assert_int_eq(put_body(1, BODY_MEMFD_BYTES - 1), OK);
    ck_assert_int_eq(put_body(2, BODY_MEMFD_BYTES - 1), OK);
    ck_assert_int_eq(put_body(3, BODY_MEMFD_BYTES - 1), OK);
    ck_assert_int_eq(put_body(4, BODY_MEMFD_BYTES - 1), QUEUE_FULL);
    ck_assert_int_eq(put_body(5, BODY_MEMFD_BYTES), INVALID_REQUEST);
    ck_assert_uint_eq(take(), 1);
    taker_release(&taker);
    ck_assert_int_eq(put_body(4, BODY_MEMFD_BYTES - 1), OK); /* around the end */
    for (uint64_t id = 2; id <= 4; id++) ck_assert_uint_eq(take(), id);
    static char text[OFFER_TEXT_BYTES + 1];
    memset(text, 'x', sizeof text - 1);
    struct request request = request_of(6, NULL), *one = &request;
    request.operation = text;
    ck_assert_int_eq(offers_put(&offers, &one, 1), INVALID_REQUEST);
    close_pair();
}
END_TEST

START_TEST(a_batch_is_offered_whole_or_not_at_all) {
    open_pair();
    ck_assert_int_eq(put_batch(1, 40), OK);
    ck_assert_int_eq(put_batch(100, 30), QUEUE_FULL);
    ck_assert_int_eq(put_batch(100, CELLS + 1), INVALID_REQUEST);
    ck_assert_int_eq(put(50), OK);
    for (uint64_t id = 1; id <= 40; id++) ck_assert_uint_eq(take(), id);
    ck_assert_uint_eq(take(), 50);
    ck_assert_uint_eq(take(), 0);
    close_pair();
}
END_TEST

START_TEST(members_that_were_revoked_are_left_out_of_their_batch) {
    open_pair();
    ck_assert_int_eq(put_batch(1, 5), OK);
    ck_assert(offers_revoke(&offers, 5));
    ck_assert(offers_revoke(&offers, 3));
    ck_assert(offers_revoke(&offers, 1));
    ck_assert_int_eq(put(6), OK);
    struct offer offer;
    ck_assert_int_eq(taker_take(&taker, &offer), TAKEN_ONE);
    ck_assert_uint_eq(offer.id, 2);
    uint32_t more = offer.batch_more;
    ck_assert_int_eq(taker_take_member(&taker, &more, &offer), TAKEN_ONE);
    ck_assert_uint_eq(offer.id, 4);
    ck_assert_int_eq(taker_take_member(&taker, &more, &offer), TAKEN_NONE);
    ck_assert_uint_eq(take(), 6);
    close_pair();
}
END_TEST

START_TEST(a_worker_sleeps_only_when_nothing_is_offered) {
    open_pair();
    ck_assert(taker_fall_asleep(&taker));
    taker_stay_awake(&taker);
    ck_assert_int_eq(put(1), OK);
    ck_assert(!taker_fall_asleep(&taker));
    ck_assert_int_eq(put(2), OK);
    ck_assert(offers_revoke(&offers, 1));
    ck_assert(!taker_fall_asleep(&taker)); /* a revoked one lies before the other */
    ck_assert_uint_eq(take(), 2);
    ck_assert(taker_fall_asleep(&taker));
    close_pair();
}
END_TEST

/* --- two threads ---------------------------------------------------------------------------------------- */

#define HAMMERED 200000u
enum fate { FATE_NONE, FATE_REVOKED, FATE_TAKEN };

static _Atomic uint8_t taken_by_worker[HAMMERED + 1];
static uint8_t revoked_by_gateway[HAMMERED + 1];
static atomic_bool over;

static void check_offer(const struct offer *offer, uint64_t *last) {
    require(offer->id > *last && offer->id <= HAMMERED);
    *last = offer->id;
    require(strcmp(offer->texts[1], "text/plain") == 0);
    for (size_t i = 0; i < offer->payload_bytes; i++)
        require(offer->payload[i] == (uint8_t)offer->id);
    require(atomic_exchange(&taken_by_worker[offer->id], 1) == 0);
}

static void *work(void *unused) {
    uint64_t last = 0;
    for (;;) {
        taker_release(&taker);
        struct offer offer;
        enum taken taken = taker_take(&taker, &offer);
        require(taken != TAKEN_BROKEN);
        if (taken == TAKEN_ONE) {
            uint32_t more = offer.batch_more;
            do check_offer(&offer, &last);
            while (taker_take_member(&taker, &more, &offer) == TAKEN_ONE);
            require(more == 0);
            continue;
        }
        if (atomic_load(&over)) return unused;
        if (taker_fall_asleep(&taker)) taker_sleep(&taker);
        taker_stay_awake(&taker);
    }
}

static enum outcome put_some(struct chance *chance, uint64_t id, size_t *count) {
    *count = 1;
    if (chance_percent(chance, 10)) {
        *count = 1 + chance_below(chance, 5);
        if (id + *count - 1 > HAMMERED) *count = 1;
        return put_batch(id, *count);
    }
    return chance_percent(chance, 50) ? put_body(id, chance_below(chance, 300)) : put(id);
}

START_TEST(each_request_is_taken_or_revoked_and_never_both_in_order_between_two_threads) {
    open_pair();
    struct chance chance = chance_open();
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, work, NULL), 0);
    uint32_t revoked = 0;
    for (uint64_t id = 1; id <= HAMMERED;) {
        size_t count;
        enum outcome outcome = put_some(&chance, id, &count);
        if (outcome == OK) id += count;
        if (outcome == QUEUE_FULL || chance_percent(&chance, 50)) taker_poke(&taker);
        require(offers.why == NULL);
        if (outcome == QUEUE_FULL) sched_yield();
        for (uint32_t tries = chance_below(&chance, 3); tries > 0; tries--) {
            uint64_t victim = id - 1 - chance_below(&chance, 6);
            if (victim == 0 || victim > HAMMERED || !offers_revoke(&offers, victim)) continue;
            revoked_by_gateway[victim]++;
            revoked++;
        }
    }
    atomic_store(&over, true);
    while (pthread_tryjoin_np(thread, NULL) != 0) {
        taker_poke(&taker);
        sched_yield();
    }
    for (uint64_t id = 1; id <= HAMMERED; id++)
        require(revoked_by_gateway[id] + atomic_load(&taken_by_worker[id]) == 1);
    ck_assert_ptr_null(offers.why);
    printf("revoked %u of %u\n", revoked, HAMMERED);
    ck_assert_uint_gt(revoked, 0);
    ck_assert_uint_lt(revoked, HAMMERED);
    close_pair();
}
END_TEST

#define DUELS 300000u
static _Atomic uint64_t duels_won; /* by the worker */

static void *duel(void *unused) {
    struct offer offer;
    uint32_t idle = 0;
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        if (taker_take(&taker, &offer) == TAKEN_ONE) {
            atomic_fetch_add(&duels_won, 1);
            taker_release(&taker);
            idle = 0;
        } else if (++idle % 1024 == 0) {
            sched_yield();
        }
    }
    return unused;
}

/* Both reach for the same word at once. */
START_TEST(in_three_hundred_thousand_duels_exactly_one_side_wins) {
    open_pair();
    struct chance chance = chance_open();
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, duel, NULL), 0);
    uint64_t revoked = 0;
    for (uint64_t id = 1; id <= DUELS; id++) {
        while (put(id) != OK) {
            require(offers.why == NULL);
            sched_yield();
        }
        for (volatile uint32_t i = chance_below(&chance, 400); i > 0; i--) continue;
        if (offers_revoke(&offers, id)) revoked++;
    }
    uint64_t late_ns = clock_now_ns() + 10 * CLOCK_S;
    while (revoked + atomic_load(&duels_won) < DUELS && clock_now_ns() < late_ns) sched_yield();
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    printf("the gateway won %llu\n", (unsigned long long)revoked);
    ck_assert_ptr_null(offers.why);
    ck_assert_uint_eq(revoked + atomic_load(&duels_won), DUELS);
    close_pair();
}
END_TEST

/* --- against scribblers ---------------------------------------------------------------------------------- */

static void scribble_claims(struct chance *chance) {
    struct offer_cell *cells = pair->memory->offers;
    uint64_t ticket = chance_percent(chance, 50) ? offers.oldest : chance_next(chance);
    uint32_t which = (uint32_t)(ticket % CELLS);
    switch (chance_below(chance, 3)) {
    case 0:
        ((uint8_t *)&cells[which])[chance_below(chance, 64)] = (uint8_t)chance_next(chance);
        break;
    case 1: atomic_fetch_xor(&cells[which].claim, chance_below(chance, 8)); break;
    case 2: atomic_store(&cells[which].claim, offer_claim(offers.oldest, OFFER_RELEASED)); break;
    }
}

START_TEST(a_worker_that_scribbles_over_the_cells_breaks_itself_and_nothing_else) {
    struct chance chance = chance_open();
    uint32_t found_out = 0;
    for (uint32_t round = 0; round < 2000; round++) {
        open_pair();
        for (uint64_t id = 1; id < 100; id++) {
            if (chance_percent(&chance, 20))
                (void)put_body(id, chance_below(&chance, 40000));
            else
                (void)put(id);
            if (chance_percent(&chance, 30)) scribble_claims(&chance);
            if (chance_percent(&chance, 30))
                (void)offers_revoke(&offers, chance_below(&chance, 100));
            require(offers.oldest <= offers.next && offers.next - offers.oldest <= CELLS);
        }
        found_out += offers.why != NULL;
        close_pair();
    }
    ck_assert_uint_gt(found_out, 500);
}
END_TEST

/* The other way round: the worker's own checks. */
START_TEST(a_gateway_that_scribbles_is_found_out_before_its_offer_is_used) {
    struct chance chance = chance_open();
    uint32_t found_out = 0;
    for (uint32_t round = 0; round < 20000; round++) {
        open_pair();
        require(put_body(1, chance_below(&chance, 100)) == OK);
        struct offer_cell *cell = &pair->memory->offers[1];
        for (uint32_t i = 0; i < 4; i++)
            ((uint8_t *)cell)[8 + chance_below(&chance, 40)] = (uint8_t)chance_next(&chance);
        struct offer offer;
        if (taker_take(&taker, &offer) == TAKEN_BROKEN) {
            require(taker.why != NULL);
            found_out++;
        } else if (offer.payload_bytes > 0) {
            require(offer.payload >= pair->request_bytes &&
                    offer.payload + offer.payload_bytes <=
                        pair->request_bytes + pair->request_size);
        }
        close_pair();
    }
    ck_assert_uint_gt(found_out, 5000);
}
END_TEST

SUITE("core/transport/offers", 120, a_request_arrives_with_all_its_texts_and_bytes,
      a_request_is_revoked_until_it_is_taken_and_not_after, what_was_revoked_may_be_offered_again,
      staging_and_revoking_beside_a_busy_worker_uses_no_room_up,
      when_all_cells_are_given_out_there_is_no_room_until_one_is_released,
      bodies_up_to_a_memfd_s_size_fit_and_larger_ones_never_do,
      a_batch_is_offered_whole_or_not_at_all, members_that_were_revoked_are_left_out_of_their_batch,
      a_worker_sleeps_only_when_nothing_is_offered,
      each_request_is_taken_or_revoked_and_never_both_in_order_between_two_threads,
      in_three_hundred_thousand_duels_exactly_one_side_wins,
      a_worker_that_scribbles_over_the_cells_breaks_itself_and_nothing_else,
      a_gateway_that_scribbles_is_found_out_before_its_offer_is_used)
