/* inbox - the calls that have come but not begun, and the one that runs.
 * thread: push, cancel, withdraw, stop, load on the socket's thread; take and finish on the compute thread.
 * owns:   the waiting calls; OK moves a call in, take, cancel and withdraw move it out.
 * fails:  push: QUEUE_FULL, ALREADY_EXISTS (its id waits or runs). */
#ifndef WORKERS_HOST_INBOX_H
#define WORKERS_HOST_INBOX_H

#include "core/base/list.h"
#include "core/base/outcome.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define INBOX_CAPACITY 1024
#define INBOX_EARLY    64 /* cancels that are remembered before their call is seen */

struct call;

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list_node waiting;
    uint32_t waiting_count;
    struct call *running;
    uint64_t running_since_ns;
    bool stopped;
    uint64_t early[INBOX_EARLY]; /* ids; a call that lies in the ring may be cancelled there */
    size_t early_next;
};

void inbox_open(struct inbox *inbox);
enum outcome inbox_push(struct inbox *inbox, struct call *call);
/* Waits for a call, which then runs until inbox_finish; NULL once the inbox was stopped. */
struct call *inbox_take(struct inbox *inbox);
/* The same without waiting. */
struct call *inbox_try(struct inbox *inbox, bool *stopped);
/* A call that came another way runs from now on; marked at once if its cancel came earlier. */
void inbox_begin(struct inbox *inbox, struct call *call);
/* Marks what runs, if anything does. */
void inbox_cancel_running(struct inbox *inbox);
/* Nothing waits and nothing was stopped. */
bool inbox_quiet(struct inbox *inbox);
/* The running call has ended; from here on nobody else refers to it. */
void inbox_finish(struct inbox *inbox);
/* A waiting call leaves and is returned; a running one is marked cancelled; an unknown id is remembered. */
struct call *inbox_cancel(struct inbox *inbox, uint64_t id);
/* Any waiting call, NULL when there is none. */
struct call *inbox_withdraw(struct inbox *inbox);
void inbox_stop(struct inbox *inbox);
void inbox_load(struct inbox *inbox, uint32_t *waiting, uint64_t *busy_ns);

#endif
