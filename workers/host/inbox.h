/* inbox - the calls that have come over the socket and not begun, and the batch that runs.
 * thread: push, cancel, withdraw, stop, load on the socket's thread; take, try, begin and finish on the
 *         compute thread.
 * owns:   the waiting calls; OK moves a call in, take, try, cancel and withdraw move it out. The array of
 *         those that run stays the compute thread's and is looked at until inbox_finish.
 * fails:  push: QUEUE_FULL, ALREADY_EXISTS (its id waits or runs). */
#ifndef WORKERS_HOST_INBOX_H
#define WORKERS_HOST_INBOX_H

#include "core/base/list.h"
#include "core/base/outcome.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INBOX_CAPACITY 1024
#define INBOX_EARLY    64 /* cancels that are remembered before their call is seen */

struct call;

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    atomic_bool eventful; /* something waits or was stopped: a look without the lock */
    struct list_node waiting;
    uint32_t waiting_count;
    uint64_t batch;    /* number of the batch that came last */
    uint32_t arriving; /* how many of it are still to come */
    struct call *const *running;
    size_t running_count;
    uint64_t running_since_ns;
    bool stopped;
    uint64_t early[INBOX_EARLY]; /* ids; a call that lies in the ring may be cancelled there */
    size_t early_next;
};

void inbox_open(struct inbox *inbox);
/* Members of a batch are pushed one directly behind the other. */
enum outcome inbox_push(struct inbox *inbox, struct call *call);
/* Waits for a whole batch, at most room of it, which then runs until inbox_finish; *count is 0 once the
 * inbox was stopped. */
void inbox_take(struct inbox *inbox, struct call **calls, size_t room, size_t *count);
/* The same without waiting. */
void inbox_try(struct inbox *inbox, struct call **calls, size_t room, size_t *count, bool *stopped);
/* Calls that came another way run from now on; marked at once if their cancel came earlier. */
void inbox_begin(struct inbox *inbox, struct call *const *calls, size_t count, uint64_t now_ns);
/* Marks what runs, if anything does. */
void inbox_cancel_running(struct inbox *inbox);
/* Nothing waits that could be taken, and nothing was stopped. */
bool inbox_quiet(struct inbox *inbox);
/* The running calls have ended; from here on nobody else refers to them. */
void inbox_finish(struct inbox *inbox);
/* A waiting call leaves and is returned; a running one is marked cancelled; an unknown id is remembered. */
struct call *inbox_cancel(struct inbox *inbox, uint64_t id);
/* Any waiting call, NULL when there is none. */
struct call *inbox_withdraw(struct inbox *inbox);
void inbox_stop(struct inbox *inbox);
void inbox_load(struct inbox *inbox, uint32_t *waiting, uint64_t *busy_ns);

#endif
