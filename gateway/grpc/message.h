/* message - a client's protobuf message, read where it lies: its one large field stays in the call's
 *           slices, its small ones are gathered on one page. No general decoder sees it: nothing is
 *           allocated, whatever it says, and what nests in a field that nobody knows is not entered.
 * thread: any; pure.
 * owns:   nothing: extents refer to the buffer, fields and texts to the page.
 * fails:  INVALID_REQUEST: it is not protobuf, or its small fields do not fit the page. */
#ifndef GATEWAY_GRPC_MESSAGE_H
#define GATEWAY_GRPC_MESSAGE_H

#include "core/base/outcome.h"
#include "gateway/text_rules.h"

#include <grpc/byte_buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_PAGE_BYTES ((size_t)48 * 1024)
#define MESSAGE_NO_LARGE   0 /* no field is large */

enum message_fault {
    MESSAGE_SOUND,
    MESSAGE_BAD_TAG,  /* no field begins here */
    MESSAGE_BAD_KIND, /* a group, a kind that there is not, or a large field that is not of bytes */
    MESSAGE_CUT_SHORT, /* the field reaches beyond the end of the message */
    MESSAGE_TOO_LONG   /* the small fields do not fit the page */
};

struct message_page {
    enum message_fault fault;
    uint32_t fault_field; /* its number; 0: not even that can be read */
    size_t used;
    uint8_t bytes[MESSAGE_PAGE_BYTES];
};

/* Some bytes of the message, counted from its beginning. */
struct message_extent {
    size_t offset, bytes;
};

/* Goes over the fields of the top level: number `large` is only located (the last one counts), the
 * others are copied to the page. A NULL buffer is an empty message. */
enum outcome message_sort(const grpc_byte_buffer *buffer, uint32_t large, struct message_page *page,
                          struct message_extent *extent);

/* Hands out the extent's bytes piece by piece, in order; ends at the first answer that is not OK. */
typedef enum outcome message_piece_fn(void *owner, const uint8_t *data, size_t bytes);
enum outcome message_pieces(const grpc_byte_buffer *buffer, struct message_extent extent,
                            message_piece_fn *piece, void *owner);

/* As they are written: varint; 4 or 8 bytes; length and bytes. */
enum field_kind { FIELD_NUMBER, FIELD_FIXED, FIELD_BYTES };

struct message_field {
    uint32_t number;
    enum field_kind kind;
    uint64_t value; /* FIELD_NUMBER */
    uint8_t *data;  /* FIELD_BYTES: in the page */
    size_t bytes;
};

/* The fields from `at` to `end`, one after the other: a page's, or those inside a field. */
struct message_fields {
    uint8_t *at, *end;
    bool broken; /* message_next ended because the rest is not protobuf */
};
struct message_fields message_fields(struct message_page *page);
bool message_next(struct message_fields *fields, struct message_field *field);

/* The field's text, unchecked, ended with NUL in place (over its own length: ask only once); NULL: it
 * is not a field of bytes. */
char *message_text(struct message_field *field);

/* For messages of a single text, field 1. "" when it is not there; NULL and why when it is unfit. */
const char *message_only_text(const grpc_byte_buffer *buffer, struct message_page *page,
                              enum client_text which, const char **flaw);

#endif
