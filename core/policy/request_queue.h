/* request_queue - every live request of a pool: waiting in order, or out at a slot.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   borrows the requests between add and finish; finish gives them back.
 * fails:  request_queue_init: MEMORY_EXHAUSTED. Nothing else: its room is the pool's permits.
 *
 * Order among those that wait: priority, then rank of arrival. A request that goes back after a
 * crash keeps its rank. Deadlines expire requests, they never reorder them. */
#ifndef CORE_POLICY_REQUEST_QUEUE_H
#define CORE_POLICY_REQUEST_QUEUE_H

#include "core/base/heap.h"
#include "core/base/list.h"
#include "core/base/outcome.h"
#include "core/base/request.h"

struct request_queue {
    struct list_node lines[PRIORITY_COUNT];
    uint32_t by_priority[PRIORITY_COUNT]; /* waiting in each line */
    uint32_t waiting, live;
    struct heap deadlines;  /* of all live requests that have one */
    struct request **by_id; /* buckets, chained through next_by_id */
    size_t buckets;         /* a power of two */
    uint64_t arrivals;
};

/* room: how many requests may be live at once. */
enum outcome request_queue_init(struct request_queue *queue, size_t room);
void request_queue_free(struct request_queue *queue);

void request_queue_add(struct request_queue *queue, struct request *request);
/* Who is next; NULL when nobody waits. */
struct request *request_queue_first(const struct request_queue *queue);
/* It goes to a slot: leaves its line, stays live. */
void request_queue_take(struct request_queue *queue, struct request *request);
/* It comes back from a slot: waits again, at its old rank. */
void request_queue_return(struct request_queue *queue, struct request *request);
/* It is answered: no longer live, whether it waited or was out. */
void request_queue_finish(struct request_queue *queue, struct request *request);

struct request *request_queue_find(const struct request_queue *queue, uint64_t id);
/* A live request whose deadline has passed, earliest first; NULL if there is none. */
struct request *request_queue_expired(const struct request_queue *queue, uint64_t now_ns);
/* CLOCK_NEVER when no live request has a deadline. */
uint64_t request_queue_next_deadline(const struct request_queue *queue);
/* Any live request, for the end of a drain; NULL when empty. */
struct request *request_queue_any(const struct request_queue *queue);

#endif
