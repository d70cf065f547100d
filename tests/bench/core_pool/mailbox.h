/* mailbox - calls that were answered, on their way back to the thread that made them.
 * thread: post from any thread, never blocks; take on one thread.
 * owns:   nothing.
 * fails:  never.
 *
 * A stack without a lock (Treiber 1986) that is emptied whole, so a node never comes back under a running
 * pop. The taker says that it sleeps and looks once more; only then does a post cost a wake-up. */
#ifndef BENCH_CORE_POOL_MAILBOX_H
#define BENCH_CORE_POOL_MAILBOX_H

#include "core/base/request.h"

#include <stdatomic.h>
#include <stdint.h>

struct call;

struct mailbox {
    struct request_home home; /* its wake is NULL: a post wakes the taker */
    _Alignas(64) _Atomic(struct call *) top;
    _Alignas(64) _Atomic uint32_t asleep; /* also the futex's word */
};

/* From here on the taker is woken once for all that are posted together; it stays until the gate is
 * drained. */
void mailbox_gather(struct mailbox *mailbox);
void mailbox_post(struct mailbox *mailbox, struct call *call);
/* All that came, the last first, linked by `next`; NULL when nothing came until the time `until_ns`. */
struct call *mailbox_take(struct mailbox *mailbox, uint64_t until_ns);

#endif
