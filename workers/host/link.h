/* link - the worker's end of the control socket: frames in, frames out.
 * thread: wait, receive and post on the socket's thread, which never waits for room; send and flush on
 *         the compute thread, which does. Frames never mix: while a send is under way, what is posted
 *         stays in the outbox, and the sender writes it after its own frame.
 * owns:   the descriptor; a received frame's payload and memfd are the receiver's (link_frame_free).
 * fails:  SHUTTING_DOWN: the gateway is gone; MEMORY_EXHAUSTED; QUEUE_FULL: the outbox is full;
 *         INVALID_REQUEST: the envelope would be too large. */
#ifndef WORKERS_HOST_LINK_H
#define WORKERS_HOST_LINK_H

#include "core/base/outcome.h"
#include "core/transport/ring_pair.h"
#include "core/transport/wire.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_OUTBOX_BYTES ((size_t)1024 * 1024)
#define LINK_COPIED_BYTES ((size_t)16 * 1024)

struct ProtobufCMessage;

enum link_event {
    LINK_NOTHING, /* no complete frame yet */
    LINK_FRAME,
    LINK_CLOSED, /* end of the stream, or an error of the socket */
    LINK_BROKEN  /* why names the rule that the gateway broke */
};

struct link_frame {
    enum wire_type type;
    const uint8_t *envelope; /* valid until the next link_receive */
    size_t envelope_bytes, payload_bytes;
    uint8_t *payload; /* NULL when there is none or it is in the memfd */
    int memfd;        /* -1 when there is none */
};

struct link {
    int fd;
    struct ring_writer replies; /* the compute thread's; its head NULL: there is no ring */
    int bell;
    /* Of the socket's thread. */
    struct wire_reader reader;
    bool handed_out; /* the reader's frame was received: its envelope is kept until the next */
    int arriving_memfd;
    const char *why;
    /* Under the lock, which is never held while something waits. */
    pthread_mutex_t lock;
    bool sending; /* the compute thread is inside a frame: only it writes */
    struct {
        uint8_t *bytes;
        size_t sent, have, capacity;
    } outbox;
};

void link_open(struct link *link, int fd);
void link_use_ring(struct link *link, const struct ring_pair *rings, int bell);
/* Frees what it holds; the descriptor stays the opener's. */
void link_release(struct link *link);

/* Waits until something can be read; meanwhile sends what was posted and did not fit. */
void link_wait(struct link *link);
/* The next frame, if it is complete. Never waits. */
enum link_event link_receive(struct link *link, struct link_frame *out);
void link_frame_free(struct link_frame *frame);
/* Sends a frame without payload, now or as soon as there is room; never waits. */
enum outcome link_post(struct link *link, enum wire_type type,
                       const struct ProtobufCMessage *message);

/* Writes a whole frame, straight from payload. A REPLY's payload of BODY_MEMFD_BYTES or more goes as a
 * sealed memfd. */
enum outcome link_send(struct link *link, enum wire_type type,
                       const struct ProtobufCMessage *message, const void *payload,
                       size_t payload_bytes);
/* The same for a REPLY or ERROR that is a whole answer: through the ring where there is one and it fits.
 * What does not goes over the socket, as a memfd when its payload has LINK_COPIED_BYTES or more. */
enum outcome link_answer(struct link *link, enum wire_type type,
                         const struct ProtobufCMessage *message, const void *payload,
                         size_t payload_bytes);
/* Waits until the outbox is empty. */
enum outcome link_flush(struct link *link);

#endif
