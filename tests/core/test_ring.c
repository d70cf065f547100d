/* The ring between two threads, and against a side that scribbles. */
#include "core/transport/ring_pair.h"
#include "tests/support/suite.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct ring_pair *pair;
static struct ring_writer writer;
static struct ring_reader reader;

static void open_ring(void) {
    ck_assert_int_eq(ring_pair_create_private(&pair), OK);
    writer = (struct ring_writer){.memory = &pair->requests};
    reader = (struct ring_reader){.memory = &pair->requests};
}

static void close_ring(void) {
    ring_pair_drop(pair, RING_PRIVATE);
}

static enum ring_result put(const void *data, size_t bytes) {
    struct iovec part = {(void *)(uintptr_t)data, bytes};
    return ring_write(&writer, &part, 1);
}

START_TEST(what_is_written_is_read_in_order) {
    open_ring();
    uint8_t out[16];
    size_t bytes;
    struct iovec parts[] = {{"he", 2}, {NULL, 0}, {"llo", 3}};
    ck_assert_int_eq(ring_write(&writer, parts, 3), RING_OK);
    ck_assert_int_eq(ring_read(&reader, out, 3, &bytes), RING_OK);
    ck_assert_uint_eq(bytes, 3);
    ck_assert_mem_eq(out, "hel", 3);
    ck_assert_int_eq(ring_read(&reader, out, sizeof out, &bytes), RING_OK);
    ck_assert_uint_eq(bytes, 2);
    ck_assert_int_eq(ring_read(&reader, out, sizeof out, &bytes), RING_OK);
    ck_assert_uint_eq(bytes, 0);
    close_ring();
}
END_TEST

START_TEST(a_frame_that_does_not_fit_is_not_written_at_all) {
    open_ring();
    static uint8_t block[RING_BYTES + 1];
    size_t bytes;
    ck_assert_int_eq(put(block, RING_BYTES + 1), RING_FULL);
    ck_assert_int_eq(put(block, RING_BYTES), RING_OK);
    ck_assert_int_eq(put("x", 1), RING_FULL);
    ck_assert_int_eq(ring_read(&reader, block, 1, &bytes), RING_OK);
    ck_assert_int_eq(put("x", 1), RING_OK);
    ck_assert_int_eq(put("x", 1), RING_FULL);
    close_ring();
}
END_TEST

START_TEST(frames_survive_the_end_of_the_ring) {
    open_ring();
    uint8_t in[1000], out[1000];
    for (unsigned round = 0; round < 1000; round++) {
        size_t length = 1 + round % sizeof in, bytes;
        for (size_t i = 0; i < length; i++) in[i] = (uint8_t)(round + i * 7);
        ck_assert_int_eq(put(in, length), RING_OK);
        ck_assert_int_eq(ring_read(&reader, out, sizeof out, &bytes), RING_OK);
        ck_assert_uint_eq(bytes, length);
        ck_assert_mem_eq(in, out, length);
    }
    close_ring();
}
END_TEST

START_TEST(a_writer_is_told_to_wake_a_sleeper_once) {
    open_ring();
    uint8_t out[8];
    size_t bytes;
    ck_assert(ring_fall_asleep(&reader));
    ck_assert_int_eq(put("a", 1), RING_OK_WAKE);
    ck_assert_int_eq(put("b", 1), RING_OK);
    ck_assert(!ring_fall_asleep(&reader));
    ck_assert_int_eq(ring_read(&reader, out, sizeof out, &bytes), RING_OK);
    ck_assert(ring_fall_asleep(&reader));
    close_ring();
}
END_TEST

#define HAMMERED 200000u

static void *write_numbers(void *unused) {
    for (uint32_t i = 0; i < HAMMERED; i++) {
        enum ring_result result;
        while ((result = put(&i, sizeof i)) == RING_FULL) sched_yield();
        if (result == RING_OK_WAKE) ring_wake(&pair->requests, RING_PRIVATE);
    }
    return unused;
}

START_TEST(two_threads_pass_numbers_without_losing_one_or_a_wake_up) {
    open_ring();
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_numbers, NULL), 0);
    uint8_t out[sizeof(uint32_t)];
    size_t have = 0;
    for (uint32_t expected = 0; expected < HAMMERED;) {
        size_t bytes;
        ck_assert_int_eq(ring_read(&reader, out + have, sizeof out - have, &bytes), RING_OK);
        have += bytes;
        if (have == sizeof out) {
            uint32_t number;
            memcpy(&number, out, sizeof number);
            ck_assert_uint_eq(number, expected++);
            have = 0;
        } else if (bytes == 0) {
            if (ring_fall_asleep(&reader)) ring_sleep(&reader, RING_PRIVATE);
            ring_stay_awake(&reader);
        }
    }
    pthread_join(thread, NULL);
    close_ring();
}
END_TEST

START_TEST(counters_that_make_no_sense_break_the_ring) {
    open_ring();
    uint8_t out[8];
    size_t bytes;
    atomic_store(&pair->requests.written, RING_BYTES + 1);
    ck_assert_int_eq(ring_read(&reader, out, sizeof out, &bytes), RING_BROKEN);
    atomic_store(&pair->requests.read, 5);
    ck_assert_int_eq(put("x", 1), RING_BROKEN);
    atomic_store(&pair->requests.read, UINT64_MAX);
    atomic_store(&pair->requests.written, 0);
    ck_assert_int_eq(put("x", 1), RING_OK); /* one byte "waits": harmless, it stays inside */
    close_ring();
}
END_TEST

/* Whatever the other side writes into the shared memory, no access may leave it: the address sanitizer
 * watches the private pair's edges. */
START_TEST(ten_thousand_rounds_of_scribbling_stay_inside_the_ring) {
    open_ring();
    unsigned seed = 20260101;
    static uint8_t block[RING_BYTES];
    for (unsigned round = 0; round < 10000; round++) {
        uint8_t *memory = (uint8_t *)&pair->requests;
        size_t header = offsetof(struct ring_memory, bytes);
        for (unsigned i = 0; i < 8; i++)
            memory[(size_t)rand_r(&seed) % (i < 6 ? header : sizeof pair->requests)] =
                (uint8_t)rand_r(&seed);
        size_t bytes;
        (void)put(block, (size_t)rand_r(&seed) % sizeof block);
        if (ring_read(&reader, block, (size_t)rand_r(&seed) % sizeof block, &bytes) == RING_OK)
            ck_assert_uint_le(bytes, sizeof block);
        (void)ring_fall_asleep(&reader);
    }
    close_ring();
}
END_TEST

START_TEST(a_shared_pair_cannot_be_shrunk_under_its_other_side) {
    struct ring_pair *ours, *theirs;
    int memfd;
    ck_assert_int_eq(ring_pair_create(&ours, &memfd), OK);
    ck_assert_int_ne(ftruncate(memfd, 0), 0);
    ck_assert_int_eq(ring_pair_attach(&theirs, memfd), OK);
    writer = (struct ring_writer){.memory = &ours->requests};
    reader = (struct ring_reader){.memory = &theirs->requests};
    uint8_t out[4];
    size_t bytes;
    ck_assert_int_eq(put("ring", 4), RING_OK);
    ck_assert_int_eq(ring_read(&reader, out, sizeof out, &bytes), RING_OK);
    ck_assert_mem_eq(out, "ring", 4);
    ring_pair_drop(theirs, RING_SHARED);
    ring_pair_drop(ours, RING_SHARED);
    close(memfd);
}
END_TEST

START_TEST(a_descriptor_that_is_not_a_sealed_pair_is_refused) {
    struct ring_pair *attached;
    int memfd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(ring_pair_attach(&attached, memfd), INVALID_REQUEST);
    ck_assert_int_eq(ftruncate(memfd, sizeof(struct ring_pair)), 0);
    ck_assert_int_eq(ring_pair_attach(&attached, memfd), INVALID_REQUEST);
    ck_assert_int_eq(ring_pair_attach(&attached, STDIN_FILENO), INVALID_REQUEST);
    close(memfd);
}
END_TEST

SUITE("core/transport/ring", 60, what_is_written_is_read_in_order,
      a_frame_that_does_not_fit_is_not_written_at_all, frames_survive_the_end_of_the_ring,
      a_writer_is_told_to_wake_a_sleeper_once,
      two_threads_pass_numbers_without_losing_one_or_a_wake_up,
      counters_that_make_no_sense_break_the_ring,
      ten_thousand_rounds_of_scribbling_stay_inside_the_ring,
      a_shared_pair_cannot_be_shrunk_under_its_other_side,
      a_descriptor_that_is_not_a_sealed_pair_is_refused)
