/* The ring between two threads, and against a side that scribbles. */
#include "core/transport/ring_pair.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE ((size_t)4096)

/* On the heap, so that the address sanitizer watches the edges of both. */
static struct ring_head *head;
static uint8_t *bytes;
static struct ring_writer writer;
static struct ring_reader reader;

static void open_ring(void) {
    head = aligned_alloc(64, sizeof *head);
    bytes = malloc(SIZE);
    memset(head, 0, sizeof *head);
    writer = (struct ring_writer){.head = head, .bytes = bytes, .size = SIZE};
    reader = (struct ring_reader){.head = head, .bytes = bytes, .size = SIZE};
}

static void close_ring(void) {
    free(head);
    free(bytes);
}

static enum ring_result put(const void *data, size_t count) {
    struct iovec part = {(void *)(uintptr_t)data, count};
    return ring_write(&writer, &part, 1);
}

static size_t waiting(void) {
    size_t count;
    ck_assert_int_eq(ring_waiting(&reader, &count), RING_OK);
    return count;
}

START_TEST(a_record_is_read_as_it_was_written) {
    open_ring();
    uint8_t out[16];
    struct iovec parts[] = {{"he", 2}, {NULL, 0}, {"llo", 3}};
    ck_assert_uint_eq(waiting(), 0);
    ck_assert_int_eq(ring_write(&writer, parts, 3), RING_OK);
    ck_assert_uint_eq(waiting(), RING_GRAIN);
    ring_copy(&reader, 0, out, 5);
    ck_assert_mem_eq(out, "hello", 5);
    ring_copy(&reader, 3, out, 2);
    ck_assert_mem_eq(out, "lo", 2);
    ring_skip(&reader, 5);
    ck_assert_uint_eq(waiting(), 0);
    close_ring();
}
END_TEST

START_TEST(a_record_that_does_not_fit_is_not_written_at_all) {
    open_ring();
    static uint8_t block[SIZE + 1];
    ck_assert_int_eq(put(block, SIZE + 1), RING_FULL);
    ck_assert_int_eq(put(block, SIZE), RING_OK);
    ck_assert_int_eq(put("x", 1), RING_FULL);
    ring_skip(&reader, 1);
    ck_assert_int_eq(put("x", 1), RING_FULL); /* not released yet */
    ring_release(&reader);
    ck_assert_int_eq(put("x", 1), RING_OK);
    ck_assert_int_eq(put("x", 1), RING_FULL);
    close_ring();
}
END_TEST

START_TEST(records_survive_the_end_of_the_ring) {
    open_ring();
    uint8_t in[1000], out[1000];
    for (unsigned round = 0; round < 1000; round++) {
        size_t length = 1 + round % sizeof in;
        for (size_t i = 0; i < length; i++) in[i] = (uint8_t)(round + i * 7);
        ck_assert_int_eq(put(in, length), RING_OK);
        ck_assert_uint_ge(waiting(), length);
        ring_copy(&reader, 0, out, length);
        ck_assert_mem_eq(in, out, length);
        ring_skip(&reader, length);
        ring_release(&reader);
    }
    close_ring();
}
END_TEST

START_TEST(a_writer_is_told_to_wake_a_sleeper_once) {
    open_ring();
    ck_assert(ring_fall_asleep(&reader));
    ck_assert_int_eq(put("a", 1), RING_OK_WAKE);
    ck_assert_int_eq(put("b", 1), RING_OK);
    ck_assert(!ring_fall_asleep(&reader));
    ring_skip(&reader, 2 * RING_GRAIN);
    ck_assert(ring_fall_asleep(&reader));
    close_ring();
}
END_TEST

#define HAMMERED 200000u

static void *write_numbers(void *unused) {
    for (uint32_t i = 0; i < HAMMERED; i++) {
        enum ring_result result;
        while ((result = put(&i, sizeof i)) == RING_FULL) sched_yield();
        if (result == RING_OK_WAKE) {
            atomic_store(&head->asleep, 1); /* as if it were found asleep here */
            ring_wake(&head->asleep, RING_PRIVATE);
        }
    }
    return unused;
}

START_TEST(two_threads_pass_numbers_without_losing_one_or_a_wake_up) {
    open_ring();
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_numbers, NULL), 0);
    for (uint32_t expected = 0; expected < HAMMERED;) {
        size_t count = waiting();
        if (count > 0) {
            uint32_t number;
            ring_copy(&reader, 0, &number, sizeof number);
            require(number == expected);
            expected++;
            ring_skip(&reader, sizeof number);
            ring_release(&reader);
        } else {
            if (ring_fall_asleep(&reader)) ring_sleep(&head->asleep, RING_PRIVATE);
            ring_stay_awake(&reader);
        }
    }
    pthread_join(thread, NULL);
    close_ring();
}
END_TEST

START_TEST(counters_that_make_no_sense_break_the_ring) {
    open_ring();
    static uint8_t block[SIZE];
    size_t count;
    atomic_store(&head->written, SIZE + RING_GRAIN);
    ck_assert_int_eq(ring_waiting(&reader, &count), RING_BROKEN);
    atomic_store(&head->written, 7);
    ck_assert_int_eq(ring_waiting(&reader, &count), RING_BROKEN);
    ck_assert_int_eq(put(block, SIZE), RING_OK);
    atomic_store(&head->read, SIZE + 5);
    ck_assert_int_eq(put("x", 1), RING_BROKEN);
    close_ring();
}
END_TEST

/* Whatever the other side writes into the shared memory, no access may leave it. */
START_TEST(a_hundred_thousand_rounds_of_scribbling_stay_inside_the_ring) {
    open_ring();
    struct chance chance = chance_open();
    static uint8_t block[SIZE];
    uint32_t broken = 0;
    for (unsigned round = 0; round < 100000; round++) {
        uint8_t *memory = (uint8_t *)head;
        for (unsigned i = 0; i < 3; i++)
            memory[chance_below(&chance, sizeof *head)] = (uint8_t)chance_next(&chance);
        if (chance_percent(&chance, 50)) atomic_store(&head->written, reader.read + RING_GRAIN);
        if (chance_percent(&chance, 50)) atomic_store(&head->read, writer.written);
        size_t count;
        broken += put(block, chance_below(&chance, SIZE)) == RING_BROKEN;
        broken += ring_waiting(&reader, &count) == RING_BROKEN;
        require(count <= SIZE);
        ring_copy(&reader, chance_below(&chance, SIZE), block, count);
        ring_skip(&reader, count);
        ring_release(&reader);
        (void)ring_fall_asleep(&reader);
    }
    ck_assert_uint_gt(broken, 1000);
    close_ring();
}
END_TEST

START_TEST(a_shared_pair_cannot_be_shrunk_under_its_other_side) {
    struct ring_pair *ours, *theirs;
    int memfd;
    uint32_t cells = ring_pair_cells(100);
    ck_assert_uint_eq(cells, 256);
    ck_assert_int_eq(ring_pair_create(&ours, cells, &memfd), OK);
    ck_assert_int_ne(ftruncate(memfd, 0), 0);
    ck_assert_int_eq(ring_pair_attach(&theirs, memfd), OK);
    ck_assert_uint_eq(theirs->cells, cells);
    writer = ring_pair_reply_writer(theirs);
    reader = ring_pair_reply_reader(ours);
    uint8_t out[4];
    ck_assert_int_eq(put("ring", 4), RING_OK_WAKE); /* the gateway begins asleep */
    ring_copy(&reader, 0, out, sizeof out);
    ck_assert_mem_eq(out, "ring", 4);
    ring_pair_drop(theirs, RING_SHARED);
    ring_pair_drop(ours, RING_SHARED);
    close(memfd);
}
END_TEST

static enum outcome attach_with(uint32_t cells, uint32_t request_bytes, uint32_t reply_bytes) {
    struct ring_pair *pair, *attached;
    int memfd;
    ck_assert_int_eq(ring_pair_create(&pair, 64, &memfd), OK);
    pair->memory->cells = cells;
    pair->memory->request_bytes = request_bytes;
    pair->memory->reply_bytes = reply_bytes;
    enum outcome outcome = ring_pair_attach(&attached, memfd);
    if (outcome == OK) ring_pair_drop(attached, RING_SHARED);
    ring_pair_drop(pair, RING_SHARED);
    close(memfd);
    return outcome;
}

START_TEST(a_first_line_that_does_not_fit_its_memory_is_refused) {
    ck_assert_int_eq(attach_with(64, RING_REQUEST_BYTES, RING_REPLY_BYTES), OK);
    ck_assert_int_eq(attach_with(0, RING_REQUEST_BYTES, RING_REPLY_BYTES), INVALID_REQUEST);
    ck_assert_int_eq(attach_with(63, RING_REQUEST_BYTES + 64, RING_REPLY_BYTES), INVALID_REQUEST);
    ck_assert_int_eq(attach_with(128, RING_REQUEST_BYTES, RING_REPLY_BYTES), INVALID_REQUEST);
    ck_assert_int_eq(attach_with(64, UINT32_MAX, RING_REPLY_BYTES), INVALID_REQUEST);
    ck_assert_int_eq(attach_with(64, RING_REQUEST_BYTES + 64, RING_REPLY_BYTES - 64),
                     INVALID_REQUEST);
}
END_TEST

START_TEST(a_descriptor_that_is_not_a_sealed_pair_is_refused) {
    struct ring_pair *attached;
    int memfd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(ring_pair_attach(&attached, memfd), INVALID_REQUEST);
    ck_assert_int_eq(fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    ck_assert_int_eq(ring_pair_attach(&attached, memfd), INVALID_REQUEST);
    ck_assert_int_eq(ring_pair_attach(&attached, STDIN_FILENO), INVALID_REQUEST);
    close(memfd);
}
END_TEST

SUITE("core/transport/ring", 60, a_record_is_read_as_it_was_written,
      a_record_that_does_not_fit_is_not_written_at_all, records_survive_the_end_of_the_ring,
      a_writer_is_told_to_wake_a_sleeper_once,
      two_threads_pass_numbers_without_losing_one_or_a_wake_up,
      counters_that_make_no_sense_break_the_ring,
      a_hundred_thousand_rounds_of_scribbling_stay_inside_the_ring,
      a_shared_pair_cannot_be_shrunk_under_its_other_side,
      a_first_line_that_does_not_fit_its_memory_is_refused,
      a_descriptor_that_is_not_a_sealed_pair_is_refused)
