/* Failing the n-th allocation: each constructor says MEMORY_EXHAUSTED, leaves nothing behind, and succeeds
 * once there is enough. The sources are compiled in here with an allocator that can run dry. */
#include <stddef.h>
#include <stdlib.h>

static void *rationed_malloc(size_t bytes);
static void *rationed_calloc(size_t count, size_t bytes);
static void *rationed_realloc(void *block, size_t bytes);
static void rationed_free(void *block);

#define malloc  rationed_malloc
#define calloc  rationed_calloc
#define realloc rationed_realloc
#define free    rationed_free
#include "core/base/body.c"
#include "core/base/channel.c"
#include "core/base/heap.c"
#include "core/base/request.c"
#include "core/policy/request_queue.c"
#include "core/policy/slot.c"
#include "core/pool.c"
#include "core/transport/outbox.c"
#define earlier earlier_moment /* slot.c has one, too */
#include "core/orchestrator.c"
#undef earlier
#undef malloc
#undef calloc
#undef realloc
#undef free

#include "tests/core/chance.h"
#include "tests/support/suite.h"

#define NEVER_DRY 1000000

static int ration;  /* allocations that still succeed */
static long blocks; /* allocated and not yet freed */

static bool use_ration(void) {
    if (ration == 0) return false;
    ration--;
    blocks++;
    return true;
}

static void *rationed_malloc(size_t bytes) {
    return use_ration() ? malloc(bytes) : NULL;
}

static void *rationed_calloc(size_t count, size_t bytes) {
    return use_ration() ? calloc(count, bytes) : NULL;
}

static void *rationed_realloc(void *block, size_t bytes) {
    if (!use_ration()) return NULL;
    blocks -= block != NULL;
    return realloc(block, bytes);
}

static void rationed_free(void *block) {
    blocks -= block != NULL;
    free(block);
}

/* Makes the thing and, when that succeeded, ends it again. */
typedef enum outcome make_fn(void);

static void assert_survives(make_fn *make, int allocations) {
    for (int n = 0;; n++) {
        ration = n;
        enum outcome outcome = make();
        ck_assert_int_eq(blocks, 0);
        if (outcome == OK) {
            ck_assert_int_eq(n, allocations);
            return;
        }
        ck_assert_int_eq(outcome, MEMORY_EXHAUSTED);
        ck_assert_int_lt(n, allocations);
    }
}

static enum outcome make_request(void) {
    static const struct pair metadata[] = {{"name", "value"}};
    struct request *request = (struct request *)(uintptr_t)metadata;
    enum outcome outcome = request_create(&request, &(struct request_texts){.request_id = "id",
                                                                            .tenant = "acme",
                                                                            .metadata = metadata,
                                                                            .metadata_count = 1});
    ck_assert_int_eq(request != NULL, outcome == OK);
    request_free(request);
    return outcome;
}

START_TEST(a_request_takes_one_block_or_none) {
    assert_survives(make_request, 1);
}
END_TEST

static enum outcome make_body(void) {
    struct body *body;
    enum outcome outcome = body_create(&body, 100);
    ck_assert_int_eq(body != NULL, outcome == OK);
    body_unref(body);
    return outcome;
}

START_TEST(a_body_takes_two_blocks_or_none) {
    assert_survives(make_body, 2);
}
END_TEST

START_TEST(an_append_without_memory_leaves_the_body_as_it_was) {
    struct body *body;
    ration = NEVER_DRY;
    ck_assert_int_eq(body_create(&body, 0), OK);
    ck_assert_int_eq(body_append(body, "hello", 5), OK);
    uint8_t more[1000] = {0};
    ration = 0;
    ck_assert_int_eq(body_append(body, more, sizeof more), MEMORY_EXHAUSTED);
    ck_assert_uint_eq(body->bytes, 5);
    ck_assert_mem_eq(body_data(body), "hello", 5);
    ration = NEVER_DRY;
    ck_assert_int_eq(body_append(body, more, sizeof more), OK);
    ck_assert_uint_eq(body->bytes, 5 + sizeof more);
    body_unref(body);
    ck_assert_int_eq(blocks, 0);
}
END_TEST

START_TEST(heap_bytes_stay_the_callers_without_memory) {
    struct body *body;
    ration = 1;
    uint8_t *data = rationed_malloc(5);
    ck_assert_int_eq(body_from_heap(&body, data, 5), MEMORY_EXHAUSTED);
    ck_assert_ptr_null(body);
    ck_assert_int_eq(blocks, 1);
    rationed_free(data);
    ck_assert_int_eq(blocks, 0);
}
END_TEST

static enum outcome make_queue(void) {
    struct request_queue queue;
    enum outcome outcome = request_queue_init(&queue, 100);
    if (outcome == OK) request_queue_free(&queue);
    return outcome;
}

START_TEST(a_queue_takes_two_blocks_or_none) {
    assert_survives(make_queue, 2);
}
END_TEST

START_TEST(a_heap_that_cannot_grow_is_as_it_was) {
    struct heap heap;
    heap_init(&heap, sooner, placed);
    ration = 1;
    ck_assert_int_eq(heap_reserve(&heap, 10), OK);
    ck_assert_int_eq(heap_reserve(&heap, 20), MEMORY_EXHAUSTED);
    ck_assert_uint_eq(heap.capacity, 10);
    ck_assert_int_eq(heap_reserve(&heap, 5), OK); /* there is room */
    heap_free(&heap);
    ck_assert_int_eq(blocks, 0);
}
END_TEST

static enum outcome make_frame(void) {
    struct outbox outbox;
    struct body *body;
    int left = ration;
    ration = NEVER_DRY; /* what the caller brings */
    outbox_init(&outbox);
    ck_assert_int_eq(body_create(&body, 0), OK);
    ck_assert_int_eq(body_append(body, "hello", 5), OK);
    uint8_t *head = rationed_malloc(10);
    ration = left;
    enum outcome outcome = outbox_add(&outbox, head, 10, body, OUTBOX_STREAM);
    ck_assert_int_eq(outbox_empty(&outbox), outcome != OK);
    ck_assert_uint_eq(body->refs, outcome == OK ? 2 : 1);
    outbox_clear(&outbox);
    ck_assert_uint_eq(body->refs, 1);
    body_unref(body);
    return outcome;
}

START_TEST(a_frame_that_cannot_be_added_frees_its_head_and_takes_no_body) {
    assert_survives(make_frame, 1);
}
END_TEST

static void on_messages(void *owner, const struct message *batch, size_t count) {
    (void)owner, (void)batch, (void)count;
}

static enum outcome make_channel(void) {
    uv_loop_t loop;
    struct channel *channel;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    enum outcome outcome = channel_open(&channel, &loop, 10, on_messages, NULL);
    ck_assert_int_eq(channel != NULL, outcome == OK);
    if (outcome == OK) channel_close(channel);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    return outcome;
}

START_TEST(a_channel_takes_three_blocks_or_none) {
    assert_survives(make_channel, 3);
}
END_TEST

static enum outcome make_orchestrator(void) {
    const struct pool_options pool = {
        .name = "pool", .slots_max = 3, .inflight = 2, .queue = {.capacity = 10, .reserve = 1}};
    const struct pool_options pools[] = {pool, pool};
    struct orchestrator orchestrator;
    enum outcome outcome = orchestrator_init(&orchestrator, pools, 2, 1, 0);
    if (outcome == OK) orchestrator_free(&orchestrator);
    return outcome;
}

START_TEST(an_orchestrator_of_two_pools_is_whole_or_nothing) {
    /* Its pools; and for each: two of the queue, slots, transports, assignments of three slots. */
    assert_survives(make_orchestrator, 1 + 2 * (2 + 1 + 1 + 3));
}
END_TEST

SUITE("core out of memory", 30, a_request_takes_one_block_or_none, a_body_takes_two_blocks_or_none,
      an_append_without_memory_leaves_the_body_as_it_was,
      heap_bytes_stay_the_callers_without_memory, a_queue_takes_two_blocks_or_none,
      a_heap_that_cannot_grow_is_as_it_was,
      a_frame_that_cannot_be_added_frees_its_head_and_takes_no_body,
      a_channel_takes_three_blocks_or_none, an_orchestrator_of_two_pools_is_whole_or_nothing)
