/* routes - which handler answers a method and a path, who may ask, and at which address; the table is data.
 * thread: any; constant.
 * owns:   nothing.
 * fails:  route_find: NOT_FOUND; METHOD_NOT_ALLOWED, then match->allow says what is allowed. */
#ifndef GATEWAY_HTTP_ROUTES_H
#define GATEWAY_HTTP_ROUTES_H

#include "core/base/outcome.h"
#include "gateway/keys/access.h"
#include "gateway/request_id.h"

#include <stddef.h>

#define POOL_NAME_BYTES 64 /* 63 characters and the end */

struct handler;

/* With admin.listen each address has the routes of its own; without it http.listen has all of them. */
enum route_address { ROUTE_AT_HTTP = 1, ROUTE_AT_ADMIN = 2, ROUTE_AT_BOTH = 3 };

struct route {
    const char *method, *path; /* a {name} in the path stands for one segment */
    const struct handler *handler;
    enum access_need need;
    enum route_address addresses;
};

struct route_match {
    const struct handler *handler;
    enum access_need
        need;         /* of the path, also where the method is wrong; ACCESS_ANY: no such path */
    const char *path; /* the route's, with {pool}; NULL without a handler */
    char pool[POOL_NAME_BYTES];      /* what stood for {pool}; "" if it is longer than any name */
    char id[REQUEST_ID_LONGEST + 1]; /* the same of {id} */
    char allow[64];                  /* "GET, HEAD, OPTIONS" */
};

extern const struct route routes[];
extern const size_t routes_count;

/* HEAD goes where GET goes. path is decoded; "*" is every path. Only the routes of `addresses` are there. */
enum outcome route_find(const struct route *table, size_t count, enum route_address addresses,
                        const char *method, const char *path, struct route_match *match);

#endif
