/* http_guard - reads a client's HTTP/1.1 bytes before the library does; only what has one meaning passes.
 * thread: pure; a struct belongs to one connection.
 * owns:   nothing.
 * fails:  a verdict; the first one is final. Nothing is allocated.
 * source: RFC 9112 (message syntax and framing), RFC 9110 section 5 (fields). */
#ifndef GATEWAY_EDGE_HTTP_GUARD_H
#define GATEWAY_EDGE_HTTP_GUARD_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_GUARD_HEADER_BYTES 32768 /* the request line, the fields, the empty line */
#define HTTP_GUARD_FIELDS       100
#define HTTP_GUARD_NAME_BYTES   24 /* of a method; of a field that matters here */

enum http_guard_verdict {
    HTTP_GUARD_CLEAN,
    HTTP_GUARD_LINE,    /* the request line: method, target or version */
    HTTP_GUARD_FIELD,   /* a field's name or value: folded, NUL, control byte, space before colon */
    HTTP_GUARD_NEWLINE, /* a bare CR or LF */
    HTTP_GUARD_FRAMING, /* the length is ambiguous: repeated, listed, signed, with a coding, of
                           HTTP/1.0; or it is not clear which host is meant */
    HTTP_GUARD_CHUNK,   /* a chunk's size, extension, end, or a trailer */
    HTTP_GUARD_TOO_LONG /* the header block, or a line of a chunk */
};

struct http_guard {
    uint64_t requests; /* that have passed whole */
    bool between;      /* no byte of a further request has passed, save an empty line before it */
    enum http_guard_verdict verdict;
    enum outcome answer; /* what the client is told; OK while clean */
    const char *flaw;    /* a sentence for it; NULL while clean */

    /* Its own. */
    uint8_t state, kind, part; /* of the message; of the field; of the field's value */
    uint8_t name_bytes, matched;
    bool emptied, chunked, sized, hosted, version_1_0, trailer;
    uint16_t line_bytes, fields;
    uint32_t header_bytes;
    uint64_t left; /* of the body, or of the chunk */
    char name[HTTP_GUARD_NAME_BYTES];
};

void http_guard_init(struct http_guard *guard);
/* How many of the leading bytes may pass. Fewer than `count`: the verdict says why, and no more passes. */
size_t http_guard_see(struct http_guard *guard, const char *bytes, size_t count);

#endif
