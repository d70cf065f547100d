/* deadlines - the live requests that have one, the earliest first.
 * thread: the owner's (the pool loop). Pure: nobody asks a clock.
 * owns:   its array; borrows the requests between add and remove.
 * fails:  deadlines_init: MEMORY_EXHAUSTED.
 *
 * Requests that wait equally long come in the order of their deadlines, or nearly: those stand in a list,
 * where they come and go without a look at others. Whoever would have to stand further from its end than a
 * few places goes into a heap. */
#ifndef CORE_POLICY_DEADLINES_H
#define CORE_POLICY_DEADLINES_H

#include "core/base/heap.h"
#include "core/base/list.h"
#include "core/base/outcome.h"
#include "core/base/request.h"

struct deadlines {
    struct list_node line; /* in order */
    struct heap others;
};

/* room: how many may be in at once. */
enum outcome deadlines_init(struct deadlines *deadlines, size_t room);
void deadlines_free(struct deadlines *deadlines);
/* One whose deadline is not CLOCK_NEVER, and does not change while it is in; O(1), at worst O(log n). */
void deadlines_add(struct deadlines *deadlines, struct request *request);
/* No harm if it is not in. */
void deadlines_remove(struct deadlines *deadlines, struct request *request);
/* NULL: nobody is in. */
struct request *deadlines_first(const struct deadlines *deadlines);

#endif
