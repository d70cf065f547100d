/* hygiene - refuses requests that two servers could read differently (request smuggling), and
 *           headers that are not HTTP: what libmicrohttpd 0.9.75 lets through and a handler can see.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never; the verdict is a text for people or NULL. See RFC 9112 sections 3.2, 6.1 to 6.3. */
#ifndef GATEWAY_HTTP_HYGIENE_H
#define GATEWAY_HTTP_HYGIENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hygiene {
    const char *flaw; /* the first thing found wrong in a line */
    uint32_t hosts, lengths, encodings;
    uint64_t content_length; /* valid when lengths == 1 */
};

/* Looks at one header line; call it for every one, on a zeroed struct. */
void hygiene_line(struct hygiene *hygiene, const char *name, size_t name_bytes, const char *value,
                  size_t value_bytes);
/* After the last line: NULL when the request may be read on. */
const char *hygiene_verdict(const struct hygiene *hygiene, const char *method, const char *version);

#endif
