/* pool_order - what an administrator wants of a pool: its wish, or between how many slots it may move.
 * thread: as question.h; `answered` is called once the snapshot shows it.
 * owns:   the asker's, texts included. The pool is held until it is answered.
 * fails:  always OK: what is asked for is bounded, and to want what already is changes nothing. */
#ifndef CORE_POOL_ORDER_H
#define CORE_POOL_ORDER_H

#include "core/policy/health.h"
#include "core/question.h"

/* Run; pause: queue, do not run; drain: refuse new, finish, stop; unload: the same, but there are no workers
 * until it runs again. While the gateway drains nothing is paused any more. */
enum pool_act { POOL_WISH, POOL_SCALE };
#define POOL_KEEP UINT32_MAX

struct pool_order {
    struct question question;
    uint32_t pool;
    enum pool_act act;
    const char *why; /* what is asked and by whom, for the event */

    /* What is wanted of it, and then what it is. A max is at least 1 and at most the configuration's, a min
     * at most max; POOL_KEEP: as it was. */
    enum wish wish;
    uint32_t slots_min, slots_max;

    struct pool_order *next; /* the loop's */
};

#endif
