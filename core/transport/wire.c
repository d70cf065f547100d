#include "core/transport/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ENVELOPE_BYTES 512

static const struct {
    const char *name;
    bool has_payload;
} types[] = {
#define WIRE_TYPE_ROW(name, number, has_payload) [number] = {#name, has_payload},
    WIRE_TYPES(WIRE_TYPE_ROW)
#undef WIRE_TYPE_ROW
};

static bool type_known(unsigned type) {
    return type < sizeof types / sizeof types[0] && types[type].name != NULL;
}

const char *wire_type_name(enum wire_type type) {
    return type_known(type) ? types[type].name : "?";
}

static void put_u32(uint8_t *out, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *in) {
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

void wire_header_encode(const struct wire_header *header, uint8_t out[WIRE_HEADER_BYTES]) {
    put_u32(out, WIRE_MAGIC);
    out[4] = (uint8_t)header->type;
    out[5] = header->flags;
    out[6] = out[7] = 0;
    put_u32(out + 8, header->envelope_bytes);
    put_u32(out + 12, header->payload_bytes);
}

static const char *broken_length(const struct wire_header *header, uint32_t max_payload_bytes) {
    if (header->envelope_bytes > WIRE_MAX_ENVELOPE_BYTES) return "the envelope is too large";
    if (header->payload_bytes > 0 && !types[header->type].has_payload)
        return "this type of frame has no payload";
    if (header->payload_bytes > max_payload_bytes) return "the payload is too large";
    return NULL;
}

static const char *broken_flags(const struct wire_header *header) {
    if ((header->flags & ~WIRE_FLAG_MEMFD) != 0) return "unknown flags are set";
    if ((header->flags & WIRE_FLAG_MEMFD) == 0) return NULL;
    if (header->type != WIRE_REQUEST && header->type != WIRE_REPLY)
        return "only REQUEST and REPLY may have a memfd";
    if (header->payload_bytes == 0) return "a memfd without a payload";
    return NULL;
}

enum outcome wire_header_decode(struct wire_header *out, const uint8_t in[WIRE_HEADER_BYTES],
                                uint32_t max_payload_bytes, const char **why) {
    *out = (struct wire_header){
        .type = in[4],
        .flags = in[5],
        .envelope_bytes = get_u32(in + 8),
        .payload_bytes = get_u32(in + 12),
    };
    if (get_u32(in) != WIRE_MAGIC)
        *why = "the magic number is wrong";
    else if (!type_known(in[4]))
        *why = "the type is unknown";
    else if (in[6] != 0 || in[7] != 0)
        *why = "the reserved bytes are not zero";
    else if ((*why = broken_flags(out)) == NULL)
        *why = broken_length(out, max_payload_bytes);
    return *why == NULL ? OK : INVALID_REQUEST;
}

void wire_reader_init(struct wire_reader *reader, uint32_t max_payload_bytes) {
    *reader = (struct wire_reader){.max_payload_bytes = max_payload_bytes};
}

void wire_reader_free(struct wire_reader *reader) {
    free(reader->envelope);
    free(reader->payload);
    *reader = (struct wire_reader){.why = "the reader is closed"};
}

static size_t payload_in_stream(const struct wire_header *header) {
    return (header->flags & WIRE_FLAG_MEMFD) != 0 ? 0 : header->payload_bytes;
}

/* The part of the frame that the next bytes belong to: where it is, how much of it there is. */
static size_t *current_part(struct wire_reader *reader, uint8_t **start, size_t *bytes) {
    if (reader->header_have < WIRE_HEADER_BYTES) {
        *start = reader->header_bytes;
        *bytes = WIRE_HEADER_BYTES;
        return &reader->header_have;
    }
    if (reader->envelope_have < reader->header.envelope_bytes) {
        *start = reader->envelope;
        *bytes = reader->header.envelope_bytes;
        return &reader->envelope_have;
    }
    *start = reader->payload;
    *bytes = payload_in_stream(&reader->header);
    return &reader->payload_have;
}

uint8_t *wire_reader_space(struct wire_reader *reader, size_t *bytes) {
    assert(reader->why == NULL);
    uint8_t *start;
    size_t whole, *have = current_part(reader, &start, &whole);
    assert(*have < whole); /* else a complete frame waits for wire_reader_next */
    *bytes = whole - *have;
    return start + *have;
}

static bool make_room(struct wire_reader *reader) {
    size_t needed = reader->header.envelope_bytes;
    if (needed > reader->envelope_capacity) {
        size_t capacity = FIRST_ENVELOPE_BYTES;
        while (capacity < needed) capacity *= 2;
        free(reader->envelope);
        reader->envelope_capacity = 0;
        reader->envelope = malloc(capacity);
        if (reader->envelope == NULL) return false;
        reader->envelope_capacity = capacity;
    }
    size_t payload_bytes = payload_in_stream(&reader->header);
    if (payload_bytes == 0) return true;
    reader->payload = malloc(payload_bytes);
    return reader->payload != NULL;
}

static bool frame_complete(const struct wire_reader *reader) {
    return reader->envelope_have == reader->header.envelope_bytes &&
           reader->payload_have == payload_in_stream(&reader->header);
}

enum wire_step wire_reader_advance(struct wire_reader *reader, size_t bytes) {
    if (reader->why != NULL) return WIRE_BROKEN;
    uint8_t *start;
    size_t whole, *have = current_part(reader, &start, &whole);
    assert(bytes <= whole - *have);
    *have += bytes;
    if (reader->header_have < WIRE_HEADER_BYTES) return WIRE_WANT_BYTES;
    if (have == &reader->header_have) {
        if (wire_header_decode(&reader->header, reader->header_bytes, reader->max_payload_bytes,
                               &reader->why) != OK)
            return WIRE_BROKEN;
        if (!make_room(reader)) {
            reader->why = "there is no memory for the frame";
            return WIRE_BROKEN;
        }
    }
    return frame_complete(reader) ? WIRE_FRAME : WIRE_WANT_BYTES;
}

uint8_t *wire_reader_take_payload(struct wire_reader *reader) {
    uint8_t *payload = reader->payload;
    reader->payload = NULL;
    return payload;
}

void wire_reader_next(struct wire_reader *reader) {
    free(wire_reader_take_payload(reader));
    reader->header = (struct wire_header){0};
    reader->header_have = reader->envelope_have = reader->payload_have = 0;
}
