/* retry_after - when a refused client may come back, as both doors say it.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_RETRY_AFTER_H
#define GATEWAY_RETRY_AFTER_H

#include "core/base/outcome.h"

#include <stdint.h>

/* Rounded up; advice of 0 ns reads as one second. 0 for outcomes that are neither 429 nor 503: waiting
 * does not help them. */
uint64_t retry_after_ms(enum outcome outcome, uint64_t advice_ns);
uint64_t retry_after_s(enum outcome outcome, uint64_t advice_ns);

#endif
