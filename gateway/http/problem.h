/* problem - what went wrong, as application/problem+json (RFC 9457).
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never: what does not fit is cut, at the end of a text and never in the JSON around it. */
#ifndef GATEWAY_HTTP_PROBLEM_H
#define GATEWAY_HTTP_PROBLEM_H

#include "core/base/outcome.h"
#include "core/base/request.h"

#include <stddef.h>
#include <stdint.h>

#define PROBLEM_CONTENT_TYPE "application/problem+json"
#define PROBLEM_BYTES        4096 /* room for any problem */

struct problem {
    enum outcome outcome;
    enum source source;
    const char *detail;      /* any bytes; NULL: the outcome's title */
    const char *instance;    /* the request target, as it came */
    const char *request_id;  /* visible characters */
    uint64_t retry_after_ns; /* 0: no advice; 429 and 503 then say one second */
};

/* Returns the length, without the end. */
size_t problem_write(const struct problem *problem, char out[PROBLEM_BYTES]);
const char *source_name(enum source source);

#endif
