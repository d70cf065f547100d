/* talk - the gateway's side of the worker protocol: what a frame means, and which frames to send.
 * thread: the pool loop. No descriptor is touched here except memfds that change hands.
 * owns:   replies that arrive in chunks until they are whole.
 * fails:  talk_frame, talk_reply, talk_error: false when the worker broke a rule; `why` is a constant
 *         text. */
#ifndef CORE_TRANSPORT_TALK_H
#define CORE_TRANSPORT_TALK_H

#include "core/policy/pool_options.h"
#include "core/transport/outbox.h"
#include "core/transport/transport.h"
#include "core/transport/wire.h"

struct talk_partial {
    uint64_t id;
    struct reply reply;
};

struct talk {
    const struct pool_options *pool;
    uint32_t slot;
    transport_event_fn *fn;
    void *owner;
    bool greeted, ready, accepts_memfd, checks;
    uint32_t max_batch;            /* since READY: at least 1, at most the pool's */
    struct talk_partial *partials; /* streams that have begun, in no order */
    size_t partials_count, partials_room;
    const char *why;
};

enum outcome talk_init(struct talk *talk, const struct pool_options *pool, uint32_t slot,
                       transport_event_fn *fn, void *owner);
/* As before the first frame. */
void talk_reset(struct talk *talk);
void talk_free(struct talk *talk);

/* A whole frame has come. memfd: the descriptor that came with it, or -1; always taken. */
bool talk_frame(struct talk *talk, struct wire_reader *reader, int memfd, struct outbox *outbox);
/* A whole answer has come another way than as a frame, and was copied out before anybody looked at it:
 * checked as a frame is, and reported. The reply's parts are always taken; its body is never NULL. */
bool talk_reply(struct talk *talk, uint64_t id, struct reply *reply);
/* kind: a number as in the Error envelope; text: of any bytes. */
bool talk_error(struct talk *talk, uint64_t id, uint32_t kind, const char *text);
bool talk_lost(struct talk *talk, uint64_t id); /* there was no memory for its answer */

/* A REQUEST frame that is ready to go, one way or the other. */
struct talk_frame {
    uint8_t *head; /* header and envelope, malloc'd: the taker's */
    size_t head_bytes;
    struct body
        *body; /* the payload behind the head or as memfd; borrowed from the request; or NULL */
    enum outbox_payload how;
};
/* batch_more: how many requests of the same batch follow directly. */
enum outcome talk_request(struct talk *talk, struct request *request, uint64_t now_ns,
                          uint32_t batch_more, struct talk_frame *out);
void talk_cancel(struct outbox *outbox, uint64_t id);
void talk_ping(struct outbox *outbox, uint64_t id);
void talk_check(struct outbox *outbox);
void talk_shutdown(struct outbox *outbox);

#endif
