#include "core/base/channel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Two boxes: producers fill one under the lock while the consumer reads the other without it. */
struct channel {
    pthread_mutex_t lock;
    uv_async_t wake;
    struct message *filling, *reading;
    size_t count, capacity;
    bool woken;              /* since the last delivery */
    _Atomic uint32_t wakers; /* threads that are about to wake it */
    bool closed;
    channel_fn *fn;
    void *owner;
};

static void channel_deliver(struct channel *channel) {
    pthread_mutex_lock(&channel->lock);
    size_t count = channel->count;
    struct message *batch = channel->filling;
    channel->filling = channel->reading;
    channel->reading = batch;
    channel->count = 0;
    channel->woken = false;
    pthread_mutex_unlock(&channel->lock);
    if (count > 0) channel->fn(channel->owner, batch, count);
}

static void on_wake(uv_async_t *wake) {
    channel_deliver(wake->data);
}

static void channel_free(struct channel *channel) {
    pthread_mutex_destroy(&channel->lock);
    free(channel->filling);
    free(channel->reading);
    free(channel);
}

enum outcome channel_open(struct channel **out, uv_loop_t *loop, size_t capacity, channel_fn *fn,
                          void *owner) {
    *out = NULL;
    struct channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL) return MEMORY_EXHAUSTED;
    pthread_mutex_init(&channel->lock, NULL);
    channel->capacity = capacity;
    channel->fn = fn;
    channel->owner = owner;
    channel->filling = malloc(capacity * sizeof *channel->filling);
    channel->reading = malloc(capacity * sizeof *channel->reading);
    if (channel->filling == NULL || channel->reading == NULL ||
        uv_async_init(loop, &channel->wake, on_wake) != 0) {
        channel_free(channel);
        return MEMORY_EXHAUSTED;
    }
    channel->wake.data = channel;
    *out = channel;
    return OK;
}

enum outcome channel_grow(struct channel *channel, size_t capacity) {
    if (capacity <= channel->capacity) return OK;
    struct message *filling = malloc(capacity * sizeof *filling);
    struct message *reading = malloc(capacity * sizeof *reading);
    if (filling == NULL || reading == NULL) {
        free(filling);
        free(reading);
        return MEMORY_EXHAUSTED;
    }
    free(channel->reading); /* nobody reads it now */
    channel->reading = reading;
    pthread_mutex_lock(&channel->lock);
    memcpy(filling, channel->filling, channel->count * sizeof *filling);
    struct message *small = channel->filling;
    channel->filling = filling;
    channel->capacity = capacity;
    pthread_mutex_unlock(&channel->lock);
    free(small);
    return OK;
}

static enum outcome take_in(struct channel *channel, const struct message *message) {
    if (channel->closed) return SHUTTING_DOWN;
    if (channel->count == channel->capacity) return QUEUE_FULL;
    channel->filling[channel->count++] = *message;
    return OK;
}

/* Whether the loop must be woken; then by wake, outside of the lock, which the loop may want at once. */
static bool is_to_wake(struct channel *channel) {
    if (channel->woken || channel->count == 0) return false;
    channel->woken = true;
    atomic_fetch_add(&channel->wakers, 1);
    return true;
}

/* Until it is done, the channel is not closed. */
static void wake(struct channel *channel) {
    uv_async_send(&channel->wake);
    atomic_fetch_sub(&channel->wakers, 1);
}

enum outcome channel_try_send(struct channel *channel, struct message message) {
    pthread_mutex_lock(&channel->lock);
    enum outcome outcome = take_in(channel, &message);
    bool asleep = outcome == OK && is_to_wake(channel);
    pthread_mutex_unlock(&channel->lock);
    if (asleep) wake(channel);
    return outcome;
}

enum outcome channel_try_put(struct channel *channel, struct message message) {
    pthread_mutex_lock(&channel->lock);
    enum outcome outcome = take_in(channel, &message);
    pthread_mutex_unlock(&channel->lock);
    return outcome;
}

void channel_wake(struct channel *channel) {
    pthread_mutex_lock(&channel->lock);
    bool asleep = is_to_wake(channel);
    pthread_mutex_unlock(&channel->lock);
    if (asleep) wake(channel);
}

static void on_closed(uv_handle_t *handle) {
    channel_free(handle->data);
}

void channel_close(struct channel *channel) {
    pthread_mutex_lock(&channel->lock);
    channel->closed = true;
    pthread_mutex_unlock(&channel->lock);
    while (atomic_load(&channel->wakers) > 0) sched_yield(); /* inside a write at most */
    channel_deliver(channel);
    uv_close((uv_handle_t *)&channel->wake, on_closed);
}
