/* status_map - what an outcome is called at each door: HTTP status, gRPC status, worth trying again.
 * thread: any; the table is constant.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_STATUS_MAP_H
#define GATEWAY_STATUS_MAP_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stdint.h>

struct status {
    uint16_t http;
    uint8_t grpc;   /* google.rpc.Code */
    bool retryable; /* nothing ran: the same request may be sent again, after Retry-After */
};

const struct status *status_of(enum outcome outcome);

#endif
