/* answers - requests that were answered in this round of the loop, until they are handed back together: who
 *           waits for several is woken once.
 * thread: the pool loop.
 * owns:   the requests between keep and hand_back.
 * fails:  never. */
#ifndef CORE_ANSWERS_H
#define CORE_ANSWERS_H

#include "core/base/request.h"

#define ANSWERS_MOST 256 /* so many wait for one another, and no more */

struct answers {
    struct request *first, *last; /* chained through next_by_id: they are in no queue any more */
    uint32_t count;
};

/* Its done is called at the latest in the next hand_back. */
void answers_keep(struct answers *answers, struct request *request);
/* Calls done of each, in the order in which they were answered, then wakes their homes, each once. */
void answers_hand_back(struct answers *answers);
void answers_hand_back_one(struct request *request);

#endif
