#include "gateway/grpc/message.h"

#include <assert.h>
#include <grpc/slice.h>
#include <string.h>

/* Wire types of the protobuf encoding; groups (3 and 4) are not proto3. */
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };

/* A place in the bytes of some slices. */
struct cursor {
    const uint8_t *at;
    size_t left; /* in this slice */
    const grpc_slice *next;
    size_t slices;        /* from next on */
    size_t passed, total; /* of the whole */
};

static struct cursor cursor_of(const grpc_byte_buffer *buffer) {
    struct cursor cursor = {.at = NULL};
    if (buffer == NULL || buffer->type != GRPC_BB_RAW) return cursor;
    const grpc_slice_buffer *slices = &buffer->data.raw.slice_buffer;
    cursor.next = slices->slices;
    cursor.slices = slices->count;
    cursor.total = slices->length;
    return cursor;
}

/* Moves over at most so many bytes that lie together; 0 at the end. */
static size_t step(struct cursor *cursor, size_t most, const uint8_t **data) {
    while (cursor->left == 0) {
        if (cursor->slices == 0) return 0;
        cursor->at = GRPC_SLICE_START_PTR(*cursor->next);
        cursor->left = GRPC_SLICE_LENGTH(*cursor->next);
        cursor->next++;
        cursor->slices--;
    }
    size_t bytes = most < cursor->left ? most : cursor->left;
    *data = cursor->at;
    cursor->at += bytes;
    cursor->left -= bytes;
    cursor->passed += bytes;
    return bytes;
}

static void pass(struct cursor *cursor, size_t bytes, uint8_t *copy) {
    const uint8_t *data;
    while (bytes > 0) {
        size_t piece = step(cursor, bytes, &data);
        if (copy != NULL) {
            memcpy(copy, data, piece);
            copy += piece;
        }
        bytes -= piece;
    }
}

static bool read_varint(struct cursor *cursor, uint64_t *value) {
    const uint8_t *byte;
    *value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (step(cursor, 1, &byte) == 0) return false;
        if (shift == 63 && *byte > 1) return false;
        *value |= (uint64_t)(*byte & 0x7f) << shift;
        if ((*byte & 0x80) == 0) return true;
    }
    return false;
}

/* Reads a field's tag and what follows it, up to its content: content_bytes are still to come. */
static enum message_fault read_head(struct cursor *cursor, struct message_field *field,
                                    size_t *content_bytes) {
    uint64_t tag, length = 0;
    *field = (struct message_field){.number = 0};
    if (!read_varint(cursor, &tag) || tag > UINT32_MAX || tag >> 3 == 0) return MESSAGE_BAD_TAG;
    field->number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case WIRE_VARINT:
        if (!read_varint(cursor, &field->value)) return MESSAGE_CUT_SHORT;
        break;
    case WIRE_FIXED64:
    case WIRE_FIXED32:
        field->kind = FIELD_FIXED;
        length = (tag & 7) == WIRE_FIXED64 ? 8 : 4;
        break;
    case WIRE_LENGTH:
        if (!read_varint(cursor, &length)) return MESSAGE_CUT_SHORT;
        field->kind = FIELD_BYTES;
        break;
    default: return MESSAGE_BAD_KIND;
    }
    if (length > cursor->total - cursor->passed) return MESSAGE_CUT_SHORT;
    *content_bytes = (size_t)length;
    return MESSAGE_SOUND;
}

/* Copies what lies between begin and the end of a field whose content is still to come. */
static bool keep_small(struct message_page *page, struct cursor *begin, size_t bytes) {
    if (bytes > MESSAGE_PAGE_BYTES - page->used) return false;
    pass(begin, bytes, page->bytes + page->used);
    page->used += bytes;
    return true;
}

static enum message_fault sort(struct cursor *cursor, uint32_t large, struct message_page *page,
                               struct message_extent *extent) {
    struct message_field field;
    size_t bytes;
    while (cursor->passed < cursor->total) {
        struct cursor begin = *cursor;
        enum message_fault fault = read_head(cursor, &field, &bytes);
        page->fault_field = field.number;
        if (fault != MESSAGE_SOUND) return fault;
        if (field.number == large) {
            if (field.kind != FIELD_BYTES) return MESSAGE_BAD_KIND;
            *extent = (struct message_extent){.offset = cursor->passed, .bytes = bytes};
            pass(cursor, bytes, NULL);
            continue;
        }
        if (!keep_small(page, &begin, cursor->passed - begin.passed + bytes))
            return MESSAGE_TOO_LONG;
        *cursor = begin;
    }
    return MESSAGE_SOUND;
}

enum outcome message_sort(const grpc_byte_buffer *buffer, uint32_t large, struct message_page *page,
                          struct message_extent *extent) {
    struct cursor cursor = cursor_of(buffer);
    page->used = page->fault_field = 0;
    *extent = (struct message_extent){0};
    page->fault = sort(&cursor, large, page, extent);
    return page->fault == MESSAGE_SOUND ? OK : INVALID_REQUEST;
}

enum outcome message_pieces(const grpc_byte_buffer *buffer, struct message_extent extent,
                            message_piece_fn *piece, void *owner) {
    struct cursor cursor = cursor_of(buffer);
    const uint8_t *data = NULL;
    pass(&cursor, extent.offset, NULL);
    for (size_t left = extent.bytes, bytes; left > 0; left -= bytes) {
        bytes = step(&cursor, left, &data);
        assert(bytes > 0); /* the extent lies in the message */
        enum outcome outcome = piece(owner, data, bytes);
        if (outcome != OK) return outcome;
    }
    return OK;
}

struct message_fields message_fields(struct message_page *page) {
    return (struct message_fields){.at = page->bytes, .end = page->bytes + page->used};
}

bool message_next(struct message_fields *fields, struct message_field *field) {
    size_t left = (size_t)(fields->end - fields->at), bytes;
    if (left == 0) return false;
    struct cursor cursor = {.at = fields->at, .left = left, .total = left};
    if (read_head(&cursor, field, &bytes) != MESSAGE_SOUND) {
        fields->broken = true;
        return false;
    }
    field->data = fields->at + cursor.passed;
    field->bytes = bytes;
    fields->at = field->data + bytes;
    return true;
}

char *message_text(struct message_field *field) {
    if (field->kind != FIELD_BYTES) return NULL;
    /* At least one byte of length lies before the content: moved onto it, the text has room to end. */
    char *text = (char *)field->data - 1;
    memmove(text, field->data, field->bytes);
    text[field->bytes] = '\0';
    return text;
}

const char *message_only_text(const grpc_byte_buffer *buffer, struct message_page *page,
                              enum client_text which, const char **flaw) {
    struct message_extent none;
    struct message_field field;
    const char *text = "";
    *flaw = NULL;
    if (message_sort(buffer, MESSAGE_NO_LARGE, page, &none) != OK) {
        *flaw = "the message is not protobuf, or longer than 48 KiB";
        return NULL;
    }
    struct message_fields fields = message_fields(page);
    while (message_next(&fields, &field)) {
        if (field.number != 1) continue;
        text = message_text(&field);
        *flaw = text == NULL ? "field 1 is not a text" : text_flaw(which, text, field.bytes);
        if (*flaw != NULL) return NULL;
    }
    return text;
}
