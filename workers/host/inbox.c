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

static struct call *running(const struct inbox *inbox, uint64_t id) {
    for (size_t i = 0; i < inbox->running_count; i++)
        if (inbox->running[i]->id == id) return inbox->running[i];
    return NULL;
}

static struct call *first(const struct inbox *inbox) {
    return list_empty(&inbox->waiting) ? NULL : LIST_ENTRY(inbox->waiting.next, struct call, node);
}

/* A batch is taken only once all of it has come. */
static bool ready(const struct inbox *inbox) {
    const struct call *call = first(inbox);
    return call != NULL && (call->batch != inbox->batch || inbox->arriving == 0);
}

/* For a look without the lock; what else happens to the inbox makes it look again. */
static void note(struct inbox *inbox) {
    atomic_store(&inbox->eventful, inbox->stopped || ready(inbox));
}

static void run(struct inbox *inbox, struct call *const *calls, size_t count, uint64_t now_ns) {
    assert(inbox->running_count == 0);
    inbox->running = calls;
    inbox->running_count = count;
    inbox->running_since_ns = now_ns;
}

static void detach(struct inbox *inbox, struct call *call) {
    list_remove(&call->node);
    inbox->waiting_count--;
}

/* The first batch, as much of it as there is room for; the rest is a batch of its own. */
static void detach_batch(struct inbox *inbox, struct call **calls, size_t room, size_t *count) {
    if (inbox->stopped || !ready(inbox)) return;
    uint64_t batch = first(inbox)->batch;
    for (struct call *call; *count < room && (call = first(inbox)) != NULL && call->batch == batch;
         calls[(*count)++] = call)
        detach(inbox, call);
    run(inbox, calls, *count, clock_now_ns());
    note(inbox);
}

enum outcome inbox_push(struct inbox *inbox, struct call *call) {
    enum outcome outcome = OK;
    pthread_mutex_lock(&inbox->lock);
    if (inbox->arriving == 0) inbox->batch++;
    inbox->arriving = call->batch_more;
    call->batch = inbox->batch;
    if (running(inbox, call->id) != NULL || find(inbox, call->id) != NULL) {
        outcome = ALREADY_EXISTS;
    } else if (inbox->waiting_count == INBOX_CAPACITY) {
        outcome = QUEUE_FULL;
    } else {
        list_push_back(&inbox->waiting, &call->node);
        inbox->waiting_count++;
    }
    note(inbox);
    pthread_cond_signal(&inbox->changed);
    pthread_mutex_unlock(&inbox->lock);
    return outcome;
}

void inbox_take(struct inbox *inbox, struct call **calls, size_t room, size_t *count) {
    *count = 0;
    pthread_mutex_lock(&inbox->lock);
    while (!inbox->stopped && !ready(inbox)) pthread_cond_wait(&inbox->changed, &inbox->lock);
    detach_batch(inbox, calls, room, count);
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_try(struct inbox *inbox, struct call **calls, size_t room, size_t *count,
               bool *stopped) {
    *count = 0;
    *stopped = false;
    if (!atomic_load(&inbox->eventful)) return;
    pthread_mutex_lock(&inbox->lock);
    *stopped = inbox->stopped;
    detach_batch(inbox, calls, room, count);
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_begin(struct inbox *inbox, struct call *const *calls, size_t count, uint64_t now_ns) {
    pthread_mutex_lock(&inbox->lock);
    run(inbox, calls, count, now_ns);
    for (size_t i = 0; i < INBOX_EARLY && inbox->early_next > 0; i++) {
        struct call *call = inbox->early[i] != 0 ? running(inbox, inbox->early[i]) : NULL;
        if (call != NULL) atomic_store(&call->cancelled, true);
    }
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_cancel_running(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    for (size_t i = 0; i < inbox->running_count; i++)
        atomic_store(&inbox->running[i]->cancelled, true);
    pthread_mutex_unlock(&inbox->lock);
}

bool inbox_quiet(struct inbox *inbox) {
    return !atomic_load(&inbox->eventful);
}

void inbox_finish(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    inbox->running = NULL;
    inbox->running_count = 0;
    pthread_mutex_unlock(&inbox->lock);
}

struct call *inbox_cancel(struct inbox *inbox, uint64_t id) {
    pthread_mutex_lock(&inbox->lock);
    struct call *waits = find(inbox, id), *runs = running(inbox, id);
    if (waits != NULL) detach(inbox, waits);
    if (runs != NULL) atomic_store(&runs->cancelled, true);
    if (waits == NULL && runs == NULL) inbox->early[inbox->early_next++ % INBOX_EARLY] = id;
    note(inbox);
    pthread_mutex_unlock(&inbox->lock);
    return waits;
}

struct call *inbox_withdraw(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    struct call *call = first(inbox);
    if (call != NULL) detach(inbox, call);
    note(inbox);
    pthread_mutex_unlock(&inbox->lock);
    return call;
}

void inbox_stop(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    inbox->stopped = true;
    note(inbox);
    pthread_cond_signal(&inbox->changed);
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_load(struct inbox *inbox, uint32_t *waiting, uint64_t *busy_ns) {
    pthread_mutex_lock(&inbox->lock);
    *waiting = inbox->waiting_count;
    *busy_ns = inbox->running_count > 0 ? clock_now_ns() - inbox->running_since_ns : 0;
    pthread_mutex_unlock(&inbox->lock);
}
