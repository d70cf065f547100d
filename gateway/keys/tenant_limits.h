/* tenant_limits - how often each tenant has come lately, and how many of its requests are under way.
 * thread: tenant_limit_take and _give_back from any; find on one thread at a time (main's).
 * owns:   one record per tenant that was ever named by a key, until tenant_limits_close: a request holds
 *         its tenant's without a reference.
 * fails:  find: NULL when out of memory. take: RATE_LIMITED, nothing taken.
 *
 * The counts are the tenant's, the bounds those of the key that is shown: two keys of one tenant share what
 * was used. The rate is GCRA (ITU-T I.371): a bucket of `burst` requests, one comes back every 1/rate s,
 * kept as the one moment at which it will be full again. */
#ifndef GATEWAY_KEYS_TENANT_LIMITS_H
#define GATEWAY_KEYS_TENANT_LIMITS_H

#include "core/base/names.h"

#include <stdatomic.h>
#include <stdbool.h>

struct tenant_limit {
    struct name by_name; /* its text is the tenant */
    struct tenant_limit *next;
    _Atomic uint64_t full_ns; /* when the bucket is full again; in the past: it is */
    _Atomic uint32_t under_way;
    char tenant[];
};

struct tenant_limits;
enum outcome tenant_limits_open(struct tenant_limits **out);
void tenant_limits_close(struct tenant_limits *limits); /* NULL is allowed; nothing is under way */
struct tenant_limit *tenant_limits_find(struct tenant_limits *limits, const char *tenant);

struct tenant_bounds {
    uint32_t rate, burst, concurrency; /* 0: none */
};
/* What a client is told of its quota. */
struct tenant_quota {
    uint32_t limit, remaining, window_s, reset_s; /* of the rate; limit 0: there is none */
    uint32_t places, places_left;                 /* of the concurrency; places 0: there is none */
    uint64_t retry_after_ns;                      /* of a refusal; 0: nobody knows */
    bool rate_used_up; /* a refusal's reason; else it is the concurrency */
};
/* One request, and with TENANT_PLACE a place under way, which tenant_limit_give_back gives back. */
enum tenant_taking { TENANT_TURN, TENANT_PLACE };
enum outcome tenant_limit_take(struct tenant_limit *limit, const struct tenant_bounds *bounds,
                               enum tenant_taking taking, uint64_t now_ns,
                               struct tenant_quota *quota);
void tenant_limit_give_back(struct tenant_limit *limit);

#endif
