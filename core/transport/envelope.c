#include "core/transport/envelope.h"

#include "core/base/utf8.h"

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

bool envelope_name_valid(const char *name) {
    if (name == NULL) return false;
    size_t bytes = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-");
    return bytes > 0 && bytes <= ENVELOPE_NAME_BYTES && name[bytes] == '\0';
}

bool envelope_value_valid(const char *value) {
    if (value == NULL) return false;
    size_t left = strnlen(value, ENVELOPE_VALUE_BYTES + 1);
    if (left > ENVELOPE_VALUE_BYTES) return false;
    for (size_t bytes; left > 0; value += bytes, left -= bytes) {
        bytes = 1;
        if (*value >= ' ' && *value < 0x7f) continue;
        bytes = utf8_length(value, left);
        if (bytes == 0 || utf8_is_control(value)) return false;
    }
    return true;
}

void envelope_text_clean(char out[ENVELOPE_TEXT_BYTES + 1], const char *text) {
    size_t have = 0;
    if (text == NULL) text = "";
    for (size_t left = strlen(text), bytes; left > 0; text += bytes, left -= bytes) {
        bytes = utf8_length(text, left);
        bool replaced = bytes == 0 || (utf8_is_control(text) && *text != '\n' && *text != '\t');
        size_t room = replaced ? 1 : bytes;
        if (have + room > ENVELOPE_TEXT_BYTES) break;
        memcpy(out + have, replaced ? "?" : text, room);
        have += room;
        if (bytes == 0) bytes = 1;
    }
    out[have] = '\0';
}
