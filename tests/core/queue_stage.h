/* queue_stage - a request queue for tests, with requests that cost nothing and numbers for time.
 * thread: the test's. owns: the queue and its requests. fails: never. */
#ifndef TESTS_CORE_QUEUE_STAGE_H
#define TESTS_CORE_QUEUE_STAGE_H

#include "core/base/clock.h"
#include "core/policy/request_queue.h"
#include "tests/core/chance.h"

#include <string.h>

#define STAGE_ROOM 12000

static struct request_queue queue;
static struct request requests[STAGE_ROOM];
static size_t made;
static uint64_t now_ns;

static inline void open_queue_with(const struct queue_options *options) {
    made = 0;
    now_ns = 1;
    ck_assert_int_eq(request_queue_init(&queue, options), OK);
}

/* Fair, promotes each second, no batches. */
static inline void open_queue(void) {
    open_queue_with(&(struct queue_options){
        .room = STAGE_ROOM, .aging_ns = CLOCK_S, .fair = true, .batch_max = 1, .seed = 42});
}

static inline void close_queue(void) {
    for (size_t i = 0; i < queue.buckets; i++)
        while (queue.by_id[i] != NULL) request_queue_finish(&queue, queue.by_id[i], 0, now_ns);
    ck_assert_uint_eq(queue.live, 0);
    ck_assert_uint_eq(queue.waiting, 0);
    ck_assert_uint_eq(queue.tenants_live, 0);
    for (int i = 0; i < PRIORITY_COUNT; i++) {
        ck_assert_uint_eq(queue.by_priority[i], 0);
        ck_assert_uint_eq(queue.by_effective[i], 0);
    }
    request_queue_free(&queue);
}

static inline void prepare(struct request *request, uint64_t id, const char *tenant,
                           enum priority priority) {
    *request = (struct request){.id = id,
                                .priority = priority,
                                .tenant = tenant,
                                .batch_key = "",
                                .deadline_ns = CLOCK_NEVER,
                                .deadline_index = REQUEST_NOWHERE};
}

static inline struct request *make(const char *tenant, enum priority priority) {
    struct request *request = &requests[made++];
    prepare(request, made, tenant, priority);
    return request;
}

static inline struct request *add_for(const char *tenant, enum priority priority) {
    struct request *request = make(tenant, priority);
    require(request_queue_add(&queue, request, now_ns) == OK);
    return request;
}

static inline struct request *add(enum priority priority) {
    return add_for("", priority);
}

static inline struct request *take_first(void) {
    struct request *first = request_queue_first(&queue, now_ns);
    require(first != NULL);
    require(request_queue_first(&queue, now_ns) == first);
    request_queue_take(&queue, first, now_ns);
    return first;
}

/* The next one runs to its end. */
static inline struct request *serve_first(uint64_t run_ns) {
    struct request *first = take_first();
    now_ns += run_ns;
    request_queue_finish(&queue, first, run_ns, now_ns);
    return first;
}

#endif
