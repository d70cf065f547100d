/* scale - between how many slots a pool may move, as the small JSON {"min": 1, "max": 4}.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  scale_read: INVALID_REQUEST, and `flaw` says what is wrong and what is allowed. */
#ifndef GATEWAY_HTTP_SCALE_H
#define GATEWAY_HTTP_SCALE_H

#include "core/pool_order.h"

struct scale {
    uint32_t min, max; /* POOL_KEEP: it was not there */
};

#define SCALE_FLAW_BYTES 128
/* max_now: the pool's max as it is. most: the configuration's. */
enum outcome scale_read(struct scale *out, const char *text, size_t bytes, uint32_t max_now,
                        uint32_t most, char flaw[SCALE_FLAW_BYTES]);

#endif
