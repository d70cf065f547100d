/* channel - bounded mailbox of a loop: many producers, one consumer.
 * thread: try_send from any thread; all else on the loop's own thread.
 * owns:   OK moves what the message refers to into the channel; anything else moves nothing.
 * fails:  QUEUE_FULL, SHUTTING_DOWN; try_send never blocks on the consumer and never allocates. */
#ifndef CORE_BASE_CHANNEL_H
#define CORE_BASE_CHANNEL_H

#include "core/base/outcome.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct channel;

struct message {
    uint32_t kind; /* the consumer's own enum */
    uint32_t number;
    uint64_t id;
    void *pointer;
};

/* Everything that had arrived, in order; called on the loop's thread. */
typedef void channel_fn(void *owner, const struct message *batch, size_t count);

enum outcome channel_open(struct channel **out, uv_loop_t *loop, size_t capacity, channel_fn *fn,
                          void *owner);
/* Room for so many from now on, if it is more; not from within fn. MEMORY_EXHAUSTED: it stays as it is. */
enum outcome channel_grow(struct channel *channel, size_t capacity);
enum outcome channel_try_send(struct channel *channel, struct message message);
/* The same without waking the loop: channel_wake must follow, once for any number of messages. */
enum outcome channel_try_put(struct channel *channel, struct message message);
void channel_wake(struct channel *channel);
/* Refuses from here on, hands the rest to fn, and frees the channel once the loop has closed its
 * wake-up handle. Nobody may call try_send after channel_close returned. */
void channel_close(struct channel *channel);

#endif
