#include "core/transport/envelope.h"

#include "protos/worker.pb-c.h"

#include <stdlib.h>
#include <string.h>

static const ProtobufCMessageDescriptor *const descriptors[] = {
    [WIRE_HELLO] = &poolgate__worker__v1__hello__descriptor,
    [WIRE_SETUP] = &poolgate__worker__v1__setup__descriptor,
    [WIRE_LOADING] = &poolgate__worker__v1__loading__descriptor,
    [WIRE_READY] = &poolgate__worker__v1__ready__descriptor,
    [WIRE_REQUEST] = &poolgate__worker__v1__request__descriptor,
    [WIRE_CHUNK] = &poolgate__worker__v1__chunk__descriptor,
    [WIRE_REPLY] = &poolgate__worker__v1__reply__descriptor,
    [WIRE_ERROR] = &poolgate__worker__v1__error__descriptor,
    [WIRE_PING] = &poolgate__worker__v1__ping__descriptor,
    [WIRE_PONG] = &poolgate__worker__v1__pong__descriptor,
    [WIRE_CANCEL] = &poolgate__worker__v1__cancel__descriptor,
    [WIRE_SHUTDOWN] = &poolgate__worker__v1__shutdown__descriptor,
    [WIRE_CHECK] = &poolgate__worker__v1__check__descriptor,
    [WIRE_CHECKED] = &poolgate__worker__v1__checked__descriptor,
};
#define DESCRIPTORS (sizeof descriptors / sizeof descriptors[0])

enum outcome envelope_pack(const struct ProtobufCMessage *message, enum wire_type type,
                           uint8_t flags, uint32_t payload_bytes, uint8_t **out,
                           size_t *out_bytes) {
    *out = NULL;
    *out_bytes = 0;
    size_t bytes = protobuf_c_message_get_packed_size(message);
    if (bytes > WIRE_MAX_ENVELOPE_BYTES) return INVALID_REQUEST;
    uint8_t *block = malloc(WIRE_HEADER_BYTES + bytes);
    if (block == NULL) return MEMORY_EXHAUSTED;
    const struct wire_header header = {type, flags, (uint32_t)bytes, payload_bytes};
    wire_header_encode(&header, block);
    protobuf_c_message_pack(message, block + WIRE_HEADER_BYTES);
    *out = block;
    *out_bytes = WIRE_HEADER_BYTES + bytes;
    return OK;
}

struct budget {
    size_t left_bytes;
    bool starved; /* malloc failed, which is not the envelope's fault */
};

static void *budget_alloc(void *data, size_t bytes) {
    struct budget *budget = data;
    if (bytes > budget->left_bytes) return NULL;
    budget->left_bytes -= bytes;
    void *block = malloc(bytes > 0 ? bytes : 1);
    if (block == NULL) budget->starved = true;
    return block;
}

static void budget_free(void *data, void *block) {
    (void)data;
    free(block);
}

enum outcome envelope_unpack(enum wire_type type, const uint8_t *bytes, size_t bytes_count,
                             struct ProtobufCMessage **out) {
    static const uint8_t nothing[1];
    *out = NULL;
    if ((size_t)type >= DESCRIPTORS || descriptors[type] == NULL) return INVALID_REQUEST;
    struct budget budget = {.left_bytes = ENVELOPE_UNPACKED_BYTES};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    *out = protobuf_c_message_unpack(descriptors[type], &allocator, bytes_count,
                                     bytes_count > 0 ? bytes : nothing);
    if (*out != NULL) return OK;
    return budget.starved ? MEMORY_EXHAUSTED : INVALID_REQUEST;
}

void envelope_free(struct ProtobufCMessage *message) {
    ProtobufCAllocator allocator = {budget_alloc, budget_free, NULL};
    if (message != NULL) protobuf_c_message_free_unpacked(message, &allocator);
}

/* Bytes of the character at text (RFC 3629), 0 if it is none; text ends with NUL. */
static size_t character_bytes(const uint8_t *text) {
    static const struct {
        uint8_t first_min, first_max, second_min, second_max;
        size_t bytes;
    } forms[] = {
        {0x01, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (text[0] < forms[i].first_min || text[0] > forms[i].first_max) continue;
        if (forms[i].bytes == 1) return 1;
        if (text[1] < forms[i].second_min || text[1] > forms[i].second_max) return 0;
        for (size_t k = 2; k < forms[i].bytes; k++)
            if ((text[k] & 0xc0) != 0x80) return 0;
        return forms[i].bytes;
    }
    return 0;
}

/* C0, DEL and C1. */
static bool is_control(const uint8_t *character) {
    return character[0] < 0x20 || character[0] == 0x7f ||
           (character[0] == 0xc2 && character[1] < 0xa0);
}

bool envelope_name_valid(const char *name) {
    if (name == NULL) return false;
    size_t bytes = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-");
    return bytes > 0 && bytes <= ENVELOPE_NAME_BYTES && name[bytes] == '\0';
}

bool envelope_value_valid(const char *value) {
    if (value == NULL) return false;
    const uint8_t *text = (const uint8_t *)value;
    size_t at = 0;
    while (text[at] != '\0') {
        size_t bytes = character_bytes(text + at);
        if (bytes == 0 || is_control(text + at)) return false;
        at += bytes;
        if (at > ENVELOPE_VALUE_BYTES) return false;
    }
    return true;
}

void envelope_text_clean(char out[ENVELOPE_TEXT_BYTES + 1], const char *text) {
    const uint8_t *in = (const uint8_t *)(text != NULL ? text : "");
    size_t have = 0;
    while (*in != '\0') {
        size_t bytes = character_bytes(in);
        bool replaced = bytes == 0 || (is_control(in) && *in != '\n' && *in != '\t');
        size_t room = replaced ? 1 : bytes;
        if (have + room > ENVELOPE_TEXT_BYTES) break;
        if (replaced)
            out[have] = '?';
        else
            memcpy(out + have, in, bytes);
        have += room;
        in += bytes > 0 ? bytes : 1;
    }
    out[have] = '\0';
}
