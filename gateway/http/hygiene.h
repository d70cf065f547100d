/* hygiene - refuses requests that two servers could read differently (request smuggling), and
 *           headers that are not HTTP: what libmicrohttpd 0.9.75 lets through and a handler can see.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  hygiene_verdict: INVALID_REQUEST, NOT_IMPLEMENTED, URI_TOO_LONG or HEADERS_TOO_LARGE, and a
 *         text for people. See RFC 9112 sections 3.2, 6.1 to 6.3; RFC 9110 section 9.1. */
#ifndef GATEWAY_HTTP_HYGIENE_H
#define GATEWAY_HTTP_HYGIENE_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEADER_LINES_MOST 100
#define HEADER_BYTES_MOST ((size_t)16 * 1024) /* names, values and the 4 bytes around them */
#define TARGET_BYTES_MOST ((size_t)2 * 1024)  /* up to the question mark */

struct hygiene {
    const char *flaw;    /* the first thing found wrong in a line */
    bool unknown_coding; /* a well-formed Transfer-Encoding that is not chunked alone */
    uint32_t lines, hosts, lengths, encodings;
    size_t bytes;
    uint64_t content_length; /* valid when lengths == 1 */
};

/* Looks at one header line; call it for every one, on a zeroed struct. */
void hygiene_line(struct hygiene *hygiene, const char *name, size_t name_bytes, const char *value,
                  size_t value_bytes);
/* The first line of a request. */
struct start_line {
    const char *method, *target, *version;
};
/* After the last line: OK when the request may be read on, else why not. */
enum outcome hygiene_verdict(const struct hygiene *hygiene, const struct start_line *start,
                             const char **flaw);

#endif
