/* request_queue: failing the n-th allocation leaves no trace. The sources are compiled in here with an
 * allocator that can run dry. */
#include "tests/core/dry_allocator.h"

#include "core/base/heap.c"
#include "core/base/names.c"
#include "core/policy/queue_groups.c"
#include "core/policy/queue_order.c"
#include "core/policy/request_queue.c"
#include "core/policy/tenants.c"
#include "tests/core/dry_allocator.h"

#include "tests/core/queue_stage.h"
#include "tests/support/suite.h"

static int allocations_of_init(uint32_t batch_max) {
    const struct queue_options options = {.room = 100, .fair = true, .batch_max = batch_max};
    for (int n = 0;; n++) {
        ration = n;
        enum outcome outcome = request_queue_init(&queue, &options);
        if (outcome == OK) {
            request_queue_free(&queue);
            ck_assert_int_eq(blocks, 0);
            return n;
        }
        ck_assert_int_eq(outcome, MEMORY_EXHAUSTED);
        ck_assert_int_eq(blocks, 0);
    }
}

START_TEST(a_queue_opens_whole_or_not_at_all) {
    ck_assert_int_eq(allocations_of_init(1), 9);  /* ids, deadlines, order, names, five heaps */
    ck_assert_int_eq(allocations_of_init(8), 11); /* and the groups with their names */
}
END_TEST

/* All that may be seen of the queue. */
struct sight {
    struct request_queue queue;
    struct tenant_facts facts[64];
    uint32_t remembered, groups;
    const struct request *first, *oldest, *found;
};

static void look(struct sight *sight, uint64_t id) {
    memset(sight, 0, sizeof *sight);
    sight->first = request_queue_first(&queue, now_ns);
    sight->oldest = request_queue_oldest(&queue);
    sight->found = request_queue_find(&queue, id);
    request_queue_tenants(&queue, sight->facts, 64, now_ns);
    sight->remembered = queue.order->tenants.remembered_count;
    sight->groups = queue.groups->live_count;
    memcpy(&sight->queue, &queue, sizeof queue);
}

/* Each add of a new tenant and key, and some of them need more room in heaps as well. */
START_TEST(an_add_that_fails_leaves_everything_as_it_was) {
    static char tenants[40][32], batch_keys[40][32];
    static struct sight before, after;
    int failures = 0;
    ration = NEVER_DRY;
    open_queue_with(&(struct queue_options){
        .room = 200, .aging_ns = CLOCK_S, .fair = true, .batch_max = 8, .seed = 3});
    for (int i = 0; i < 40; i++) {
        snprintf(tenants[i], sizeof tenants[i], "tenant-%d", i);
        snprintf(batch_keys[i], sizeof batch_keys[i], "key-%d", i);
        struct request *request = make(tenants[i], (enum priority)(i % PRIORITY_COUNT));
        request->batch_key = batch_keys[i];
        request->deadline_ns = 1000;
        for (int n = 0;; n++) {
            look(&before, request->id);
            ration = n;
            enum outcome outcome = i % 4 == 0 ? request_queue_follow(&queue, request, now_ns)
                                              : request_queue_add(&queue, request, now_ns);
            ration = NEVER_DRY;
            if (outcome == OK) break;
            ck_assert_int_eq(outcome, MEMORY_EXHAUSTED);
            failures++;
            look(&after, request->id);
            ck_assert_mem_eq(&before, &after, sizeof before);
            ck_assert_int_eq(request->state, REQUEST_NEW);
            ck_assert_ptr_null(request->account);
            ck_assert_ptr_null(request->group);
        }
    }
    ck_assert_int_ge(failures, 80 + 7); /* a tenant and a key each time; heaps now and then */
    close_queue();
    ck_assert_int_eq(blocks, 0);
}
END_TEST

START_TEST(a_known_tenant_and_key_need_no_memory) {
    ration = NEVER_DRY;
    open_queue_with(&(struct queue_options){.room = 200, .fair = true, .batch_max = 8, .seed = 3});
    add(PRIORITY_NORMAL);
    ration = 0;
    for (int i = 0; i < 100; i++) add(PRIORITY_LOW);
    for (int i = 0; i < 50; i++) serve_first(1000);
    close_queue();
    ck_assert_int_eq(blocks, 0);
}
END_TEST

SUITE("core/queue_memory", 60, a_queue_opens_whole_or_not_at_all,
      an_add_that_fails_leaves_everything_as_it_was, a_known_tenant_and_key_need_no_memory)
