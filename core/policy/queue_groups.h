/* queue_groups - the waiting requests by batch key, and which key's are ripe to go together.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   the groups' records; a group lives while a live request has its key.
 * fails:  queue_groups_init, queue_groups_admit: MEMORY_EXHAUSTED, nothing has changed then.
 *
 * "" is a key like any other. A solo request waits outside of its key's group, among those that go
 * alone; `solo` does not change while it waits. Ripe groups are found without a scan: those that are
 * ripe stand in a heap by their best request, the others in two, by their oldest request and by their
 * earliest deadline, and move over when their time has come. */
#ifndef CORE_POLICY_QUEUE_GROUPS_H
#define CORE_POLICY_QUEUE_GROUPS_H

#include "core/base/heap.h"
#include "core/base/list.h"
#include "core/base/names.h"
#include "core/base/ranked.h"
#include "core/base/request.h"

struct batch_group {
    struct name name;
    uint32_t live, waiting;
    struct ranked lines[PRIORITY_COUNT]; /* who waits, by effective class and arrival */
    struct ranked haste;                 /* those that have a deadline, earliest first */
    uint64_t oldest_ns, deadline_ns;     /* CLOCK_NEVER: none; its places in the heaps */
    struct request *best; /* of all lines, by class and arrival; NULL: nobody waits */
    size_t age_index, haste_index, merit_index; /* HEAP_NOWHERE while it is not in that heap */
};

struct queue_groups {
    struct names names;
    uint32_t batch_max, live_count;
    struct heap by_age, by_haste; /* of groups that are not ripe, as far as was looked */
    struct heap by_merit;         /* of the others, full ones always */
    struct batch_group alone;     /* solo requests; always ripe */
};

/* How a group gets ripe before it is full. */
struct ripeness {
    uint64_t delay_ns; /* its oldest request has waited so long */
    uint64_t spare_ns; /* its earliest deadline is less than that away */
};

enum outcome queue_groups_init(struct queue_groups *groups, uint32_t batch_max, size_t room,
                               uint64_t seed);
void queue_groups_free(struct queue_groups *groups); /* nobody may be live */
/* Gives a request that becomes live its group. */
enum outcome queue_groups_admit(struct queue_groups *groups, struct request *request);
void queue_groups_dismiss(struct queue_groups *groups, struct request *request);
/* It waits, with its effective class, or does no longer. */
void queue_groups_enter(struct queue_groups *groups, struct request *request);
void queue_groups_leave(struct queue_groups *groups, struct request *request);

bool queue_groups_is_ripe(const struct queue_groups *groups, const struct request *request,
                          const struct ripeness *ripeness, uint64_t now_ns);
/* The best request of a ripe group; NULL: there is none before *ripe_ns. */
struct request *queue_groups_ripe(struct queue_groups *groups, const struct ripeness *ripeness,
                                  uint64_t now_ns, uint64_t *ripe_ns);
/* As request_queue_batch. */
size_t queue_groups_batch(struct request *leader, struct request **out, size_t most);

#endif
