/* memory_limit - how much memory the gateway and its workers may use: the cgroup's or the machine's.
 * thread: any; reads /proc and /sys, so never on a loop.
 * owns:   nothing.
 * fails:  never: what cannot be read does not count. */
#ifndef GATEWAY_MEMORY_LIMIT_H
#define GATEWAY_MEMORY_LIMIT_H

#include "gateway/config/config.h"

/* The share in bytes; a percentage is of the cgroup's limit where there is one. */
uint64_t memory_limit_bytes(const struct share *share);

#endif
