/* routes - which handler answers a method and a path; the table is data.
 * thread: any; constant.
 * owns:   nothing.
 * fails:  route_find: NOT_FOUND; METHOD_NOT_ALLOWED, then match->allow says what is allowed. */
#ifndef GATEWAY_HTTP_ROUTES_H
#define GATEWAY_HTTP_ROUTES_H

#include "core/base/outcome.h"

#include <stddef.h>

#define POOL_NAME_BYTES 64 /* 63 characters and the end */

struct handler;

struct route {
    const char *method, *path; /* a {name} in the path stands for one segment */
    const struct handler *handler;
};

struct route_match {
    const struct handler *handler;
    char pool[POOL_NAME_BYTES]; /* what stood for {pool}; "" if it is longer than any name */
    char allow[64];             /* "GET, HEAD, OPTIONS" */
};

extern const struct route routes[];
extern const size_t routes_count;

/* HEAD goes where GET goes. path is decoded; "*" is every path. */
enum outcome route_find(const struct route *table, size_t count, const char *method,
                        const char *path, struct route_match *match);

#endif
