/* Failing the n-th allocation: each constructor says MEMORY_EXHAUSTED, leaves nothing behind, and succeeds
 * once there is enough; and a pool that lives through it answers every request all the same. The sources
 * that allocate are compiled in here with an allocator that can run dry. */
#include "tests/core/dry_allocator.h"

#include "core/base/body.c"
#include "core/base/channel.c"
#include "core/base/heap.c"
#include "core/base/names.c"
#include "core/base/request.c"
#include "core/burial.c"
#include "core/policy/deadlines.c"
#include "core/policy/dedup.c"
#include "core/policy/quarantine.c"
#include "core/policy/queue_groups.c"
#include "core/policy/queue_order.c"
#include "core/policy/request_queue.c"
#include "core/policy/slot.c"
#include "core/policy/tenants.c"
#include "core/pool.c"
#include "core/room.c"
#include "core/transport/outbox.c"
#include "core/work.c"
#define earlier earlier_moment /* slot.c has one, too */
#include "core/orchestrator.c"
#undef earlier
#include "tests/core/dry_allocator.h"

/* The pool loop may run dry, the front end and the workers do not. */
static void handle_rationed(struct orchestrator *orchestrator, const struct event *event,
                            uint64_t now_ns);
static uint64_t settle_rationed(struct orchestrator *orchestrator, uint64_t now_ns);
#define orchestrator_handle handle_rationed
#define orchestrator_settle settle_rationed
#include "tests/core/stage.h"
#undef orchestrator_handle
#undef orchestrator_settle
#include "tests/support/suite.h"

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

static enum outcome make_texts(void) {
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
    assert_survives(make_texts, 1);
}
END_TEST

static enum outcome make_body(void) {
    struct body *body;
    enum outcome outcome = body_create(&body, 100);
    ck_assert_int_eq(body != NULL, outcome == OK);
    body_unref(body);
    return outcome;
}

START_TEST(a_body_takes_one_block_or_none) {
    assert_survives(make_body, 1);
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

START_TEST(a_heap_that_cannot_grow_is_as_it_was) {
    struct heap heap;
    heap_init(&heap, expires_before, deadline_placed);
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
        .name = "pool",
        .slots_max = 3,
        .inflight = 2,
        .queue = {.capacity = 10, .reserve = 1, .batch_max = 4, .dedup_ns = 1},
        .breaker = {.failures = 1, .probes = 1, .successes = 1}};
    const struct pool_options pools[] = {pool, pool};
    struct orchestrator orchestrator;
    enum outcome outcome = orchestrator_init(&orchestrator, pools, 2, 1, NULL, 1, 0);
    if (outcome == OK) orchestrator_free(&orchestrator);
    return outcome;
}

START_TEST(an_orchestrator_of_two_pools_is_whole_or_nothing) {
    int n = 0;
    for (enum outcome outcome = MEMORY_EXHAUSTED; outcome != OK; n++) {
        ration = n;
        outcome = make_orchestrator();
        ck_assert_int_eq(blocks, 0);
        ck_assert(outcome == OK || outcome == MEMORY_EXHAUSTED);
    }
    /* Each pool: itself, its slots with two blocks each, transports, history, queue, groups, table. */
    ck_assert_int_gt(n, 2 * 20);
}
END_TEST

static enum outcome copy_reply(void) {
    struct reply reply = {.content_type = (char *)(uintptr_t) "a/b",
                          .metadata = (struct pair[]){{"name", "value"}},
                          .metadata_count = 1};
    struct reply copy;
    int left = ration;
    ration = NEVER_DRY;
    ck_assert_int_eq(body_create(&reply.body, 0), OK);
    ration = left;
    enum outcome outcome = reply_copy(&copy, &reply);
    ck_assert_int_eq(copy.body != NULL, outcome == OK);
    ck_assert_int_eq(copy.metadata != NULL, outcome == OK);
    ck_assert_int_eq(copy.content_type != NULL, outcome == OK);
    reply_free(&copy);
    body_unref(reply.body);
    return outcome;
}

START_TEST(a_copied_reply_takes_two_blocks_or_none) {
    assert_survives(copy_reply, 2);
}
END_TEST

/* --- a whole life ------------------------------------------------------------------------------------------ */

#define LIFE_STEPS   1000
#define WORKER_BYTES (UINT64_C(1) << 20)

static struct chance dice;
static int loop_ration; /* what the loop has left */
static uint64_t answered_as[OUTCOME_COUNT], joined, buried, evicted;

static void handle_rationed(struct orchestrator *orchestrator, const struct event *event,
                            uint64_t now_ns) {
    ration = loop_ration;
    orchestrator_handle(orchestrator, event, now_ns);
    loop_ration = ration;
    ration = NEVER_DRY;
}

static uint64_t settle_rationed(struct orchestrator *orchestrator, uint64_t now_ns) {
    ration = loop_ration;
    uint64_t next_ns = orchestrator_settle(orchestrator, now_ns);
    loop_ration = ration;
    ration = NEVER_DRY;
    return next_ns;
}

static struct pool_options lively_pool(const char *name) {
    struct pool_options options = plain_pool(name);
    options.slots_min = 0;
    options.slots_max = 2;
    options.scale.policy = SCALE_ADAPTIVE;
    options.staged = 2;
    options.queue.batch_max = name[0] == 'b' ? 4 : 1;
    options.queue.dedup_ns = 10 * CLOCK_S;
    options.queue.fair = true;
    options.queue.aging_ns = CLOCK_S;
    options.queue.overload = OVERLOAD_CODEL;
    return options;
}

static void arrive(void) {
    static const char *const words[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct offer offer = {.pool = chance_below(&dice, 2),
                          .priority = (enum priority)chance_below(&dice, PRIORITY_COUNT),
                          .tenant = words[chance_below(&dice, 8)],
                          .batch_key = words[chance_below(&dice, 3)],
                          .content = words[chance_below(&dice, 4)]};
    if (chance_percent(&dice, 50)) offer.tenant = "a";
    if (chance_percent(&dice, 30)) offer.deadline_ns = stage.now_ns + 2 * CLOCK_S;
    submit_offer(&offer);
}

/* With all that a reply can have. */
static void reply_richly(struct actor *actor) {
    uint64_t id = actor->has[0].id;
    struct reply made = {.content_type = rationed_strdup("a/b"),
                         .metadata = rationed_malloc(sizeof(struct pair)),
                         .metadata_count = 1};
    made.metadata[0] = (struct pair){"name", "value"};
    ck_assert_int_eq(body_create(&made.body, 0), OK);
    give_up_work(actor, id);
    act(actor, (struct transport_event){.kind = TRANSPORT_REPLY, .id = id, .reply = &made});
    reply_free(&made);
}

static void work_on(struct actor *actor) {
    uint32_t roll = chance_below(&dice, 100);
    if (!actor->running) return;
    if (actor->killed)
        die(actor);
    else if (actor->shut_down || actor->termed)
        leave(actor, EXIT_STATUS, 0);
    else if (!actor->came)
        come(actor);
    else if (!actor->ready)
        become_ready(actor);
    else if (actor->has_count == 0)
        pong(actor);
    else if (roll < 50)
        reply_richly(actor);
    else if (roll < 60)
        say_error(actor, actor->has[0].id, WORKER_SAID_FAILED, "it broke");
    else if (roll < 85)
        crash(actor);
}

static void live_one_step(void) {
    uint32_t roll = chance_below(&dice, 100);
    if (roll < 30)
        arrive();
    else if (roll < 34 && stage.ids > 0)
        cancel_in(chance_below(&dice, 2), 1 + chance_below(&dice, (uint32_t)stage.ids),
                  CANCEL_ASKED);
    else if (roll < 90)
        work_on(&stage.actors[chance_below(&dice, 2)][chance_below(&dice, 2)]);
    else
        pass(chance_next(&dice) % (400 * CLOCK_MS));
}

static void end_life(void) {
    begin_drain(0);
    for (uint32_t i = 0; i < 4; i++)
        if (stage.actors[i / 2][i % 2].running) die(&stage.actors[i / 2][i % 2]);
    require(drained());
    for (uint64_t id = 1; id <= stage.ids; id++) {
        require(ending(id)->done == 1);
        answered_as[ending(id)->outcome]++;
    }
    for (uint32_t i = 0; i < 2; i++) {
        require(stage_pool(i)->admission.permits == 0);
        joined += stage_pool(i)->dedup.joined;
        buried += stage_pool(i)->quarantine.numbers;
        evicted += stage_pool(i)->totals.evictions;
    }
    stage_close();
}

/* The same life each time, but for the allocation that fails. Returns how many succeeded. */
static int live(int allocations) {
    stage.options[0] = lively_pool("alone");
    stage.options[1] = lively_pool("batches");
    stage.memory_limit_bytes = 2 * WORKER_BYTES + WORKER_BYTES / 2;
    dice = (struct chance){.state = 7};
    loop_ration = NEVER_DRY;
    stage_open(2, 1);
    loop_ration = allocations;
    settle();
    for (int i = 0; i < LIFE_STEPS; i++) live_one_step();
    int used = allocations - loop_ration;
    end_life();
    loop_ration = NEVER_DRY;
    ck_assert_int_eq(blocks, 0);
    return used;
}

START_TEST(a_life_in_which_one_allocation_fails_answers_everybody_and_leaks_nothing) {
    int all = live(NEVER_DRY);
    ck_assert_int_gt(all, 200);
    ck_assert_uint_gt(answered_as[OK], 10);
    ck_assert_uint_gt(answered_as[WORKER_ERROR], 0);
    ck_assert_uint_gt(answered_as[CANCELLED], 0);
    ck_assert_uint_gt(joined, 0);
    ck_assert_uint_gt(buried, 0);
    ck_assert_uint_gt(evicted, 0);
    answered_as[MEMORY_EXHAUSTED] = 0;
    once = true;
    for (int n = 0; n < all; n++) live(n);
    once = false;
    ck_assert_uint_gt(answered_as[MEMORY_EXHAUSTED], 0);
}
END_TEST

START_TEST(a_life_without_memory_from_some_moment_on_answers_everybody_and_leaks_nothing) {
    int all = live(NEVER_DRY);
    for (int n = 0; n < all; n += 3) live(n);
}
END_TEST

SUITE("core out of memory", 120, a_request_takes_one_block_or_none, a_body_takes_one_block_or_none,
      an_append_without_memory_leaves_the_body_as_it_was,
      heap_bytes_stay_the_callers_without_memory, a_heap_that_cannot_grow_is_as_it_was,
      a_frame_that_cannot_be_added_frees_its_head_and_takes_no_body,
      a_channel_takes_three_blocks_or_none, an_orchestrator_of_two_pools_is_whole_or_nothing,
      a_copied_reply_takes_two_blocks_or_none,
      a_life_in_which_one_allocation_fails_answers_everybody_and_leaks_nothing,
      a_life_without_memory_from_some_moment_on_answers_everybody_and_leaks_nothing)
