/* wire - the frames between gateway and worker: 16 bytes of header, a protobuf envelope, a raw payload.
 * thread: the owner's. Pure: bytes in, frames out; no descriptor is touched here.
 * owns:   a reader owns its buffers; a frame handed out is valid until the next call.
 * fails:  INVALID_REQUEST when the bytes break the rules; the reader is of no use afterwards.
 *
 * Header, little endian: magic u32 "PGW1" (0x31574750), type u8, flags u8, reserved u16 = 0,
 * envelope_bytes u32, payload_bytes u32. */
#ifndef CORE_TRANSPORT_WIRE_H
#define CORE_TRANSPORT_WIRE_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_PROTOCOL           1
#define WIRE_MAGIC              UINT32_C(0x31574750)
#define WIRE_HEADER_BYTES       16
#define WIRE_MAX_ENVELOPE_BYTES ((size_t)64 * 1024)

/* X(NAME, number, has_payload) */
/* clang-format off */
#define WIRE_TYPES(X) \
    X(HELLO, 1, false) \
    X(SETUP, 2, false) \
    X(LOADING, 3, false) \
    X(READY, 4, false) \
    X(REQUEST, 5, true) \
    X(CHUNK, 6, true) \
    X(REPLY, 7, true) \
    X(ERROR, 8, false) \
    X(PING, 9, false) \
    X(PONG, 10, false) \
    X(CANCEL, 11, false) \
    X(SHUTDOWN, 12, false) \
    X(CHECK, 13, false) \
    X(CHECKED, 14, false)
/* clang-format on */

enum wire_type {
#define WIRE_TYPE_NAME(name, number, has_payload) WIRE_##name = (number),
    WIRE_TYPES(WIRE_TYPE_NAME)
#undef WIRE_TYPE_NAME
};
const char *wire_type_name(enum wire_type type); /* "?" when unknown */

/* The payload is in a sealed memfd that came with the header's first byte, not in the stream. Only
 * REQUEST and REPLY may have one, and only with payload_bytes > 0: the memfd's length. */
#define WIRE_FLAG_MEMFD 1

struct wire_header {
    enum wire_type type;
    uint8_t flags;
    uint32_t envelope_bytes, payload_bytes;
};

void wire_header_encode(const struct wire_header *header, uint8_t out[WIRE_HEADER_BYTES]);
/* Checks magic, type, flags, reserved, both lengths against the limits, and that only types with a
 * payload have one. *why names the broken rule (a constant text). */
enum outcome wire_header_decode(struct wire_header *out, const uint8_t in[WIRE_HEADER_BYTES],
                                uint32_t max_payload_bytes, const char **why);

/* An incremental reader. Ask it where the next bytes go and how many it wants, read them, tell it. */
enum wire_step {
    WIRE_WANT_BYTES, /* not yet a frame */
    WIRE_FRAME,      /* header, envelope and payload are complete */
    WIRE_BROKEN      /* why says what was wrong */
};

struct wire_reader {
    uint32_t max_payload_bytes;
    struct wire_header header;
    uint8_t header_bytes[WIRE_HEADER_BYTES];
    size_t header_have, envelope_have, payload_have;
    uint8_t *envelope; /* NULL until a frame has one; kept and reused */
    size_t envelope_capacity;
    uint8_t *payload; /* malloc'd for each frame that has one in the stream; NULL otherwise */
    const char *why;
};

void wire_reader_init(struct wire_reader *reader, uint32_t max_payload_bytes);
void wire_reader_free(struct wire_reader *reader);
/* Where up to *bytes of the stream may be written next (*bytes > 0). */
uint8_t *wire_reader_space(struct wire_reader *reader, size_t *bytes);
/* That so many were written there. MEMORY_EXHAUSTED shows as WIRE_BROKEN with its own why. */
enum wire_step wire_reader_advance(struct wire_reader *reader, size_t bytes);
/* After WIRE_FRAME: the payload, now the caller's (free); NULL if there is none. */
uint8_t *wire_reader_take_payload(struct wire_reader *reader);
/* After WIRE_FRAME was handled: ready for the next header. */
void wire_reader_next(struct wire_reader *reader);

#endif
