#include "core/policy/request_queue.h"

#include "core/base/clock.h"

#include <assert.h>
#include <stdlib.h>

static bool sooner(const void *a, const void *b) {
    return ((const struct request *)a)->deadline_ns < ((const struct request *)b)->deadline_ns;
}

static void placed(void *element, size_t index) {
    ((struct request *)element)->deadline_index = index;
}

enum outcome request_queue_init(struct request_queue *queue, size_t room) {
    *queue = (struct request_queue){.buckets = 64};
    for (int i = 0; i < PRIORITY_COUNT; i++) list_init(&queue->lines[i]);
    heap_init(&queue->deadlines, sooner, placed);
    while (queue->buckets < room) queue->buckets *= 2;
    queue->by_id = calloc(queue->buckets, sizeof(struct request *));
    if (queue->by_id != NULL && heap_reserve(&queue->deadlines, room) == OK) return OK;
    request_queue_free(queue);
    return MEMORY_EXHAUSTED;
}

void request_queue_free(struct request_queue *queue) {
    assert(queue->live == 0);
    heap_free(&queue->deadlines);
    free(queue->by_id);
    queue->by_id = NULL;
}

static struct request **bucket(const struct request_queue *queue, uint64_t id) {
    return &queue->by_id[id & (queue->buckets - 1)];
}

static void wait_in_line(struct request_queue *queue, struct list_node *after,
                         struct request *request) {
    list_insert_after(after, &request->node);
    request->state = REQUEST_QUEUED;
    queue->by_priority[request->priority]++;
    queue->waiting++;
}

static void leave_line(struct request_queue *queue, struct request *request) {
    assert(request->state == REQUEST_QUEUED);
    list_remove(&request->node);
    queue->by_priority[request->priority]--;
    queue->waiting--;
}

void request_queue_add(struct request_queue *queue, struct request *request) {
    request->arrival = ++queue->arrivals;
    request->next_by_id = *bucket(queue, request->id);
    *bucket(queue, request->id) = request;
    queue->live++;
    if (request->deadline_ns != CLOCK_NEVER) heap_insert(&queue->deadlines, request);
    wait_in_line(queue, queue->lines[request->priority].previous, request);
}

struct request *request_queue_first(const struct request_queue *queue) {
    if (queue->waiting == 0) return NULL;
    for (int i = 0; i < PRIORITY_COUNT; i++)
        if (!list_empty(&queue->lines[i]))
            return LIST_ENTRY(queue->lines[i].next, struct request, node);
    return NULL;
}

void request_queue_take(struct request_queue *queue, struct request *request) {
    leave_line(queue, request);
    request->state = REQUEST_RUNNING;
}

void request_queue_return(struct request_queue *queue, struct request *request) {
    assert(request->state == REQUEST_RUNNING);
    /* It is among the oldest, so its place is found near the head. */
    struct list_node *line = &queue->lines[request->priority], *after = line;
    while (after->next != line &&
           LIST_ENTRY(after->next, struct request, node)->arrival < request->arrival)
        after = after->next;
    wait_in_line(queue, after, request);
}

void request_queue_finish(struct request_queue *queue, struct request *request) {
    if (request->state == REQUEST_QUEUED) leave_line(queue, request);
    if (request->deadline_index != HEAP_NOWHERE)
        heap_remove(&queue->deadlines, request->deadline_index);
    struct request **link = bucket(queue, request->id);
    while (*link != request) link = &(*link)->next_by_id;
    *link = request->next_by_id;
    request->next_by_id = NULL;
    request->state = REQUEST_DONE;
    queue->live--;
}

struct request *request_queue_find(const struct request_queue *queue, uint64_t id) {
    struct request *request = *bucket(queue, id);
    while (request != NULL && request->id != id) request = request->next_by_id;
    return request;
}

struct request *request_queue_expired(const struct request_queue *queue, uint64_t now_ns) {
    struct request *request = heap_first(&queue->deadlines);
    return request != NULL && request->deadline_ns <= now_ns ? request : NULL;
}

uint64_t request_queue_next_deadline(const struct request_queue *queue) {
    const struct request *request = heap_first(&queue->deadlines);
    return request != NULL ? request->deadline_ns : CLOCK_NEVER;
}

struct request *request_queue_any(const struct request_queue *queue) {
    for (size_t i = 0; queue->live > 0 && i < queue->buckets; i++)
        if (queue->by_id[i] != NULL) return queue->by_id[i];
    return NULL;
}
