/* body: memory while small, a sealed memfd when large, given back once, to the byte. */
#include "core/base/body.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS   8
#define REFS      20000
#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static uint8_t pattern[3 * BODY_MEMFD_BYTES];

static struct ledger {
    int calls;
    size_t bytes;
} ledger;

static void released(void *owner, size_t bytes) {
    struct ledger *book = owner;
    book->calls++;
    book->bytes += bytes;
}

static void fill_pattern(void) {
    for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (uint8_t)(i * 31 >> 3 ^ i);
}

/* A body of so many bytes of the pattern, appended in pieces, not sealed yet. */
static struct body *make_body(size_t expected, size_t bytes, size_t piece) {
    struct body *body;
    fill_pattern();
    ledger = (struct ledger){0};
    ck_assert_int_eq(body_create(&body, expected), OK);
    body->released = released;
    body->released_owner = &ledger;
    for (size_t done = 0; done < bytes; done += piece) {
        size_t part = bytes - done < piece ? bytes - done : piece;
        ck_assert_int_eq(body_append(body, pattern + done, part), OK);
    }
    return body;
}

static void assert_pattern(struct body *body, size_t bytes) {
    ck_assert_uint_eq(body->bytes, bytes);
    if (bytes == 0)
        ck_assert_ptr_null(body_data(body));
    else
        ck_assert(memcmp(body_data(body), pattern, bytes) == 0);
}

/* The last reference goes: exactly now its bytes are given back. */
static void assert_gives_back(struct body *body, size_t bytes) {
    ck_assert_int_eq(ledger.calls, 0);
    body_unref(body);
    ck_assert_int_eq(ledger.calls, 1);
    ck_assert_uint_eq(ledger.bytes, bytes);
}

static int make_memfd(size_t bytes, int seals) {
    int memfd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(memfd, 0);
    fill_pattern();
    ck_assert_int_eq(write(memfd, pattern, bytes), (ssize_t)bytes);
    if (seals != 0) ck_assert_int_eq(fcntl(memfd, F_ADD_SEALS, seals), 0);
    return memfd;
}

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(a_body_outgrows_the_room_that_was_expected) {
    struct body *body;
    ck_assert_int_eq(body_create(&body, 5), OK);
    ck_assert_int_eq(body_append(body, "hello", 5), OK);
    ck_assert_ptr_eq(body->data, body->own);
    for (int i = 0; i < 100; i++) ck_assert_int_eq(body_append(body, ", world", 7), OK);
    ck_assert_uint_eq(body->bytes, 5 + 700);
    ck_assert_mem_eq(body_data(body), "hello, world, world", 19);
    body_unref(body);
}
END_TEST

START_TEST(every_size_in_every_piece_comes_back_unchanged) {
    static const size_t sizes[] = {0,
                                   1,
                                   255,
                                   256,
                                   257,
                                   4096,
                                   BODY_MEMFD_BYTES - 1,
                                   BODY_MEMFD_BYTES,
                                   BODY_MEMFD_BYTES + 1,
                                   2 * BODY_MEMFD_BYTES + 17};
    static const size_t pieces[] = {1000, 65536, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t j = 0; j < sizeof pieces / sizeof pieces[0]; j++) {
            for (int known = 0; known < 2; known++) {
                size_t piece = pieces[j] < sizes[i] ? pieces[j] : sizes[i];
                struct body *body = make_body(known ? sizes[i] : 0, sizes[i], piece);
                ck_assert_int_eq(body_seal(body), OK);
                assert_pattern(body, sizes[i]);
                ck_assert_int_eq(body->memfd >= 0, sizes[i] >= BODY_MEMFD_BYTES);
                assert_gives_back(body, sizes[i]);
            }
        }
    }
}
END_TEST

START_TEST(an_expected_length_decides_before_the_first_byte) {
    struct body *small = make_body(BODY_MEMFD_BYTES - 1, 0, 1);
    ck_assert_int_eq(small->memfd, -1);
    ck_assert_uint_eq(small->capacity, BODY_MEMFD_BYTES - 1);
    body_unref(small);
    struct body *large = make_body(BODY_MEMFD_BYTES, 0, 1);
    ck_assert_int_ge(large->memfd, 0);
    ck_assert_ptr_null(large->data);
    body_unref(large);
}
END_TEST

START_TEST(an_expectation_may_be_wrong) {
    struct body *longer = make_body(3, 2000, 700);
    assert_pattern(longer, 2000);
    assert_gives_back(longer, 2000);
    struct body *much_longer = make_body(3, 2 * BODY_MEMFD_BYTES, 100000);
    assert_pattern(much_longer, 2 * BODY_MEMFD_BYTES);
    assert_gives_back(much_longer, 2 * BODY_MEMFD_BYTES);
    struct body *shorter = make_body(2 * BODY_MEMFD_BYTES, 5, 5);
    ck_assert_int_eq(body_seal(shorter), OK);
    assert_pattern(shorter, 5);
    assert_gives_back(shorter, 5);
}
END_TEST

START_TEST(memory_moves_into_a_memfd_at_the_threshold) {
    struct body *body = make_body(0, BODY_MEMFD_BYTES - 1, 10000);
    ck_assert_int_eq(body->memfd, -1);
    ck_assert_int_eq(body_append(body, pattern + BODY_MEMFD_BYTES - 1, 1), OK);
    ck_assert_int_ge(body->memfd, 0);
    assert_pattern(body, BODY_MEMFD_BYTES);
    assert_gives_back(body, BODY_MEMFD_BYTES);
}
END_TEST

START_TEST(nothing_changes_a_sealed_memfd) {
    struct body *body = make_body(0, BODY_MEMFD_BYTES, BODY_MEMFD_BYTES);
    ck_assert_int_eq(body_seal(body), OK);
    ck_assert_int_eq(fcntl(body->memfd, F_GET_SEALS), ALL_SEALS);
    ck_assert_int_eq(pwrite(body->memfd, "x", 1, 0), -1);
    ck_assert_int_eq(ftruncate(body->memfd, 1), -1);
    ck_assert_int_eq(ftruncate(body->memfd, 4 * BODY_MEMFD_BYTES), -1);
    ck_assert_int_eq(body_append(body, "x", 1), MEMORY_EXHAUSTED); /* and is as it was */
    ck_assert_int_eq(body_seal(body), OK);
    assert_pattern(body, BODY_MEMFD_BYTES);
    assert_gives_back(body, BODY_MEMFD_BYTES);
}
END_TEST

START_TEST(the_bytes_of_a_memfd_are_mapped_once) {
    struct body *body = make_body(0, BODY_MEMFD_BYTES, BODY_MEMFD_BYTES);
    body_seal(body);
    ck_assert_ptr_null(body->data);
    const uint8_t *data = body_data(body);
    ck_assert_ptr_nonnull(data);
    ck_assert_ptr_eq(body_data(body), data);
    assert_gives_back(body, BODY_MEMFD_BYTES);
}
END_TEST

START_TEST(the_last_reference_closes_the_memfd) {
    struct body *body = make_body(BODY_MEMFD_BYTES, 100, 100);
    int memfd = body->memfd;
    ck_assert_ptr_eq(body_ref(body), body);
    body_unref(body);
    ck_assert(is_open(memfd));
    assert_gives_back(body, 100);
    ck_assert(!is_open(memfd));
}
END_TEST

START_TEST(a_body_without_a_ledger_is_freed_all_the_same) {
    struct body *body;
    ck_assert_int_eq(body_create(&body, 10), OK);
    ck_assert_uint_eq(body->refs, 1);
    body_unref(body);
    body_unref(NULL);
}
END_TEST

START_TEST(a_received_memfd_is_taken_when_it_is_sealed) {
    struct body *body;
    int memfd = make_memfd(5000, F_SEAL_SHRINK | F_SEAL_WRITE);
    ck_assert_int_eq(body_from_memfd(&body, memfd, 4000), OK);
    assert_pattern(body, 4000); /* it may be longer than what was announced */
    ck_assert_int_eq(body_seal(body), OK);
    body_unref(body);
    ck_assert(!is_open(memfd));
}
END_TEST

START_TEST(a_received_memfd_that_could_still_change_is_refused) {
    static const int seals[] = {0, F_SEAL_SHRINK, F_SEAL_WRITE, F_SEAL_GROW | F_SEAL_WRITE,
                                F_SEAL_GROW | F_SEAL_SHRINK};
    for (size_t i = 0; i < sizeof seals / sizeof seals[0]; i++) {
        struct body other, *body = &other;
        int memfd = make_memfd(100, seals[i]);
        ck_assert_int_eq(body_from_memfd(&body, memfd, 100), INVALID_REQUEST);
        ck_assert_ptr_null(body);
        ck_assert(is_open(memfd)); /* still the caller's */
        close(memfd);
    }
}
END_TEST

START_TEST(a_received_memfd_that_is_too_short_is_refused) {
    struct body *body;
    int memfd = make_memfd(100, ALL_SEALS);
    ck_assert_int_eq(body_from_memfd(&body, memfd, 101), INVALID_REQUEST);
    ck_assert_int_eq(body_from_memfd(&body, memfd, SIZE_MAX), INVALID_REQUEST);
    ck_assert_ptr_null(body);
    ck_assert_int_eq(body_from_memfd(&body, memfd, 100), OK);
    body_unref(body);
}
END_TEST

START_TEST(a_descriptor_that_is_no_memfd_is_refused) {
    struct body *body;
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(body_from_memfd(&body, ends[0], 0), INVALID_REQUEST);
    ck_assert_int_eq(body_from_memfd(&body, -1, 0), INVALID_REQUEST);
    ck_assert(is_open(ends[0]));
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(a_heap_block_becomes_a_body_without_a_copy) {
    struct body *body;
    uint8_t *data = malloc(10);
    fill_pattern();
    memcpy(data, pattern, 10);
    ck_assert_int_eq(body_from_heap(&body, data, 10), OK);
    ck_assert_ptr_eq(body_data(body), data);
    ck_assert_int_eq(body->memfd, -1);
    ck_assert_int_eq(body_seal(body), OK);
    assert_pattern(body, 10);
    body_unref(body);
    ck_assert_int_eq(body_from_heap(&body, NULL, 0), OK);
    assert_pattern(body, 0);
    body_unref(body);
}
END_TEST

static void *ref_and_unref(void *argument) {
    for (int i = 0; i < REFS; i++) {
        struct body *body = body_ref(argument);
        require(body_data(body)[0] == pattern[0]);
        body_unref(body);
    }
    return NULL;
}

START_TEST(references_from_eight_threads_end_in_one_release) {
    pthread_t threads[THREADS];
    struct body *body = make_body(0, 100, 100);
    body_seal(body);
    for (int i = 0; i < THREADS; i++) {
        struct body *shared = body_ref(body);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ref_and_unref, shared), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        body_unref(body);
    }
    assert_gives_back(body, 100);
}
END_TEST

SUITE("core/body", 60, a_body_outgrows_the_room_that_was_expected,
      every_size_in_every_piece_comes_back_unchanged,
      an_expected_length_decides_before_the_first_byte, an_expectation_may_be_wrong,
      memory_moves_into_a_memfd_at_the_threshold, nothing_changes_a_sealed_memfd,
      the_bytes_of_a_memfd_are_mapped_once, the_last_reference_closes_the_memfd,
      a_body_without_a_ledger_is_freed_all_the_same, a_received_memfd_is_taken_when_it_is_sealed,
      a_received_memfd_that_could_still_change_is_refused,
      a_received_memfd_that_is_too_short_is_refused, a_descriptor_that_is_no_memfd_is_refused,
      a_heap_block_becomes_a_body_without_a_copy, references_from_eight_threads_end_in_one_release)
