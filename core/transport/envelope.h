/* envelope - the protobuf part of a frame: packed behind its header, unpacked under a cap, texts checked.
 * thread: any; nothing is kept between calls.
 * owns:   what is handed out is the caller's: a block (free), a message (envelope_free).
 * fails:  INVALID_REQUEST: too large, or not the type's protobuf; MEMORY_EXHAUSTED.
 *
 * Messages are protobuf-c's; include "protos/worker.pb-c.h" for their fields. */
#ifndef CORE_TRANSPORT_ENVELOPE_H
#define CORE_TRANSPORT_ENVELOPE_H

#include "core/base/outcome.h"
#include "core/transport/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ProtobufCMessage;

/* What one unpacked envelope may take: a few bytes of empty sub-messages would otherwise grow 70-fold. */
#define ENVELOPE_UNPACKED_BYTES ((size_t)1024 * 1024)

/* Header and envelope in one block, ready to be sent before the payload. */
enum outcome envelope_pack(const struct ProtobufCMessage *message, enum wire_type type,
                           uint8_t flags, uint32_t payload_bytes, uint8_t **out, size_t *out_bytes);
/* The message that this type of frame carries; cast it to the generated struct. */
enum outcome envelope_unpack(enum wire_type type, const uint8_t *bytes, size_t bytes_count,
                             struct ProtobufCMessage **out);
void envelope_free(struct ProtobufCMessage *message); /* NULL is allowed */

/* Reply metadata. A name is one to 64 of A-Z a-z 0-9 and '-'. A value (and a content type) is at most
 * 1,024 bytes of UTF-8 without control characters. */
#define ENVELOPE_METADATA_PAIRS 32
#define ENVELOPE_NAME_BYTES     64
#define ENVELOPE_VALUE_BYTES    1024
bool envelope_name_valid(const char *name);
bool envelope_value_valid(const char *value);

/* A text for people: cut to so many bytes on a character's boundary; what is not UTF-8, and control
 * characters other than tab and newline, become '?'. NULL reads as "". */
#define ENVELOPE_TEXT_BYTES 1024
void envelope_text_clean(char out[ENVELOPE_TEXT_BYTES + 1], const char *text);

#endif
