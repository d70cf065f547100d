/* reply_record - one whole answer in the ring of replies: a head, texts, a payload.
 * thread: reading on the pool loop, writing on the worker's compute thread.
 * owns:   a reply that was read is the caller's.
 * fails:  REPLY_RECORD_BROKEN, with a constant text: the head makes no sense. Where there is no memory for
 *         a reply, it is taken out of the ring and its kind is LOST.
 *         RING_FULL and RING_BROKEN as ring_write.
 *
 * A head is looked at on a private copy, and everything else is copied out under lengths from that copy.
 * Whether names and values are valid is for talk_reply to say. */
#ifndef CORE_TRANSPORT_REPLY_RECORD_H
#define CORE_TRANSPORT_REPLY_RECORD_H

#include "core/base/request.h"
#include "core/transport/ring.h"

#define REPLY_RECORD_TEXT_BYTES ((size_t)40 * 1024)
#define REPLY_RECORD_PAIRS      32

enum reply_record_kind {
    REPLY_RECORD_REPLY = 1, /* texts: content type, then name and value of each pair */
    REPLY_RECORD_ERROR = 2, /* texts: the message; no payload */
    REPLY_RECORD_LOST = 3   /* never in a ring */
};

/* Lies at a multiple of RING_GRAIN; then text_bytes of texts, each with its NUL; then the payload. */
struct reply_record_head {
    uint64_t id;
    uint32_t text_bytes, payload_bytes;
    uint8_t kind, error; /* error: as in the Error envelope */
    uint16_t pairs;
    uint8_t reserved[12];
};

struct reply_record {
    uint64_t id;
    enum reply_record_kind kind;
    struct reply reply; /* of a REPLY */
    uint32_t error;     /* of an ERROR */
    const char *text;   /* of an ERROR: valid until the next read on this thread */
};

enum reply_record_step { REPLY_RECORD_NONE, REPLY_RECORD_READ, REPLY_RECORD_BROKEN };

enum reply_record_step reply_record_read(struct ring_reader *reader, struct reply_record *out,
                                         const char **why);

/* The texts are `count` parts behind one another, NULs included. */
enum ring_result reply_record_write(struct ring_writer *writer,
                                    const struct reply_record_head *head, const struct iovec *texts,
                                    size_t count, const void *payload);

#endif
