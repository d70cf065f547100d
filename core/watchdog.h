/* watchdog - notices a loop that is stuck in one round, and says where it is.
 * thread: open and close once, from main. watch, unwatch, enter and leave on the loop's own thread;
 *         stalled from any.
 * owns:   a thread that looks once every 100 ms, and the signal SIGURG while it is open.
 * fails:  watchdog_open: MEMORY_EXHAUSTED. watch never: there are 16 places, a further loop is not seen.
 *
 * A round of more than a second is logged once with a backtrace of the loop's thread, and once more, with
 * how long it was, when it has ended. libuv calls the callbacks of sockets before its check handles, so a
 * loop that says `leave` in a prepare handle and `enter` in a check handle is inside such a callback
 * while it counts as asleep. So a loop asleep is believed only while its thread waits in epoll. */
#ifndef CORE_WATCHDOG_H
#define CORE_WATCHDOG_H

#include "core/base/outcome.h"

#include <stdatomic.h>
#include <stdint.h>

#define WATCHDOG_STALL_NS UINT64_C(1000000000)

struct watchdog_loop {
    _Atomic uint64_t stamp; /* the moment of the last word, doubled; odd: asleep */
};

enum outcome watchdog_open(void);
void watchdog_close(void);

/* name: a constant text. The loop counts as awake. May be called while the watchdog is not open. */
struct watchdog_loop *watchdog_watch(const char *name);
void watchdog_unwatch(struct watchdog_loop *loop);

/* A round begins; now is the loop's own idea of the time. */
static inline void watchdog_enter(struct watchdog_loop *loop, uint64_t now_ns) {
    atomic_store_explicit(&loop->stamp, now_ns << 1, memory_order_relaxed);
}

/* The loop is about to wait for whatever comes. */
static inline void watchdog_leave(struct watchdog_loop *loop, uint64_t now_ns) {
    atomic_store_explicit(&loop->stamp, now_ns << 1 | 1, memory_order_relaxed);
}

/* How long the loop that is stuck longest makes no progress; 0: none does for more than a second. */
uint64_t watchdog_stalled_ns(void);

#endif
