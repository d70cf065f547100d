#include "workers/host/inbox.h"

#include "core/base/clock.h"
#include "workers/host/call.h"

#include <assert.h>

void inbox_open(struct inbox *inbox) {
    *inbox = (struct inbox){0};
    pthread_mutex_init(&inbox->lock, NULL);
    pthread_cond_init(&inbox->changed, NULL);
    list_init(&inbox->waiting);
}

/* The functions below are called under the lock. */

static struct call *find(struct inbox *inbox, uint64_t id) {
    for (struct list_node *at = inbox->waiting.next; at != &inbox->waiting; at = at->next) {
        struct call *call = LIST_ENTRY(at, struct call, node);
        if (call->id == id) return call;
    }
    return NULL;
}

static bool runs(const struct inbox *inbox, uint64_t id) {
    return inbox->running != NULL && inbox->running->id == id;
}

static void detach(struct inbox *inbox, struct call *call) {
    list_remove(&call->node);
    inbox->waiting_count--;
}

static struct call *detach_first(struct inbox *inbox) {
    if (list_empty(&inbox->waiting)) return NULL;
    struct call *call = LIST_ENTRY(inbox->waiting.next, struct call, node);
    detach(inbox, call);
    return call;
}

enum outcome inbox_push(struct inbox *inbox, struct call *call) {
    enum outcome outcome = OK;
    pthread_mutex_lock(&inbox->lock);
    if (runs(inbox, call->id) || find(inbox, call->id) != NULL) {
        outcome = ALREADY_EXISTS;
    } else if (inbox->waiting_count == INBOX_CAPACITY) {
        outcome = QUEUE_FULL;
    } else {
        list_push_back(&inbox->waiting, &call->node);
        inbox->waiting_count++;
        pthread_cond_signal(&inbox->changed);
    }
    pthread_mutex_unlock(&inbox->lock);
    return outcome;
}

struct call *inbox_take(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    assert(inbox->running == NULL);
    while (!inbox->stopped && list_empty(&inbox->waiting))
        pthread_cond_wait(&inbox->changed, &inbox->lock);
    struct call *call = inbox->stopped ? NULL : detach_first(inbox);
    inbox->running = call;
    inbox->running_since_ns = clock_now_ns();
    pthread_mutex_unlock(&inbox->lock);
    return call;
}

struct call *inbox_try(struct inbox *inbox, bool *stopped) {
    pthread_mutex_lock(&inbox->lock);
    *stopped = inbox->stopped;
    struct call *call = inbox->stopped ? NULL : detach_first(inbox);
    if (call != NULL) {
        inbox->running = call;
        inbox->running_since_ns = clock_now_ns();
    }
    pthread_mutex_unlock(&inbox->lock);
    return call;
}

void inbox_begin(struct inbox *inbox, struct call *call) {
    pthread_mutex_lock(&inbox->lock);
    inbox->running = call;
    inbox->running_since_ns = clock_now_ns();
    for (size_t i = 0; i < INBOX_EARLY; i++)
        if (inbox->early[i] == call->id) atomic_store(&call->cancelled, true);
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_cancel_running(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    if (inbox->running != NULL) atomic_store(&inbox->running->cancelled, true);
    pthread_mutex_unlock(&inbox->lock);
}

bool inbox_quiet(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    bool quiet = !inbox->stopped && list_empty(&inbox->waiting);
    pthread_mutex_unlock(&inbox->lock);
    return quiet;
}

void inbox_finish(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    inbox->running = NULL;
    pthread_mutex_unlock(&inbox->lock);
}

struct call *inbox_cancel(struct inbox *inbox, uint64_t id) {
    pthread_mutex_lock(&inbox->lock);
    struct call *call = find(inbox, id);
    if (call != NULL) detach(inbox, call);
    if (runs(inbox, id)) atomic_store(&inbox->running->cancelled, true);
    if (call == NULL && !runs(inbox, id)) inbox->early[inbox->early_next++ % INBOX_EARLY] = id;
    pthread_mutex_unlock(&inbox->lock);
    return call;
}

struct call *inbox_withdraw(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    struct call *call = detach_first(inbox);
    pthread_mutex_unlock(&inbox->lock);
    return call;
}

void inbox_stop(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    inbox->stopped = true;
    pthread_cond_signal(&inbox->changed);
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_load(struct inbox *inbox, uint32_t *waiting, uint64_t *busy_ns) {
    pthread_mutex_lock(&inbox->lock);
    *waiting = inbox->waiting_count;
    *busy_ns = inbox->running != NULL ? clock_now_ns() - inbox->running_since_ns : 0;
    pthread_mutex_unlock(&inbox->lock);
}
