/* talk - the gateway's side of the worker protocol: what a frame means, and which frames to send.
 * thread: the pool loop. No descriptor is touched here except memfds that change hands.
 * owns:   replies that arrive in chunks until they are whole.
 * fails:  talk_frame: false when the worker broke a rule; `why` is a constant text. */
#ifndef CORE_TRANSPORT_TALK_H
#define CORE_TRANSPORT_TALK_H

#include "core/policy/pool_options.h"
#include "core/transport/outbox.h"
#include "core/transport/transport.h"
#include "core/transport/wire.h"

struct talk_partial {
    uint64_t id; /* 0: free */
    struct reply reply;
};

struct talk {
    const struct pool_options *pool;
    uint32_t slot;
    transport_event_fn *fn;
    void *owner;
    bool greeted, ready, accepts_memfd;
    struct talk_partial *partials; /* inflight of them */
    const char *why;
};

enum outcome talk_init(struct talk *talk, const struct pool_options *pool, uint32_t slot,
                       transport_event_fn *fn, void *owner);
/* As before the first frame. */
void talk_reset(struct talk *talk);
void talk_free(struct talk *talk);

/* A whole frame has come. memfd: the descriptor that came with it, or -1; always taken. */
bool talk_frame(struct talk *talk, struct wire_reader *reader, int memfd, struct outbox *outbox);

/* A REQUEST frame that is ready to go, one way or the other. */
struct talk_frame {
    uint8_t *head; /* header and envelope, malloc'd: the taker's */
    size_t head_bytes;
    struct body
        *body; /* the payload behind the head or as memfd; borrowed from the request; or NULL */
    enum outbox_payload how;
};
enum outcome talk_request(struct talk *talk, struct request *request, uint64_t now_ns,
                          struct talk_frame *out);
void talk_cancel(struct outbox *outbox, uint64_t id);
void talk_ping(struct outbox *outbox, uint64_t id);
void talk_shutdown(struct outbox *outbox);

#endif
