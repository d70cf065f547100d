#include "core/base/channel.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Two boxes: producers fill one under the lock while the consumer reads the other without it. */
struct channel {
    pthread_mutex_t lock;
    uv_async_t wake;
    struct message *filling, *reading;
    size_t count, capacity;
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

enum outcome channel_try_send(struct channel *channel, struct message message) {
    enum outcome outcome = OK;
    pthread_mutex_lock(&channel->lock);
    if (channel->closed) {
        outcome = SHUTTING_DOWN;
    } else if (channel->count == channel->capacity) {
        outcome = QUEUE_FULL;
    } else {
        channel->filling[channel->count++] = message;
        /* Inside the lock: once it is open the consumer may close and free the channel. */
        if (channel->count == 1) uv_async_send(&channel->wake);
    }
    pthread_mutex_unlock(&channel->lock);
    return outcome;
}

static void on_closed(uv_handle_t *handle) {
    channel_free(handle->data);
}

void channel_close(struct channel *channel) {
    pthread_mutex_lock(&channel->lock);
    channel->closed = true;
    pthread_mutex_unlock(&channel->lock);
    channel_deliver(channel);
    uv_close((uv_handle_t *)&channel->wake, on_closed);
}
