#include "gateway/retry_after.h"

#include "core/base/clock.h"
#include "gateway/status_map.h"

static uint64_t rounded_up(enum outcome outcome, uint64_t advice_ns, uint64_t unit_ns) {
    uint16_t http = status_of(outcome)->http;
    if (http != 429 && http != 503) return 0;
    if (advice_ns == 0) advice_ns = CLOCK_S;
    return advice_ns / unit_ns + (advice_ns % unit_ns != 0 ? 1 : 0);
}

uint64_t retry_after_ms(enum outcome outcome, uint64_t advice_ns) {
    return rounded_up(outcome, advice_ns, CLOCK_MS);
}

uint64_t retry_after_s(enum outcome outcome, uint64_t advice_ns) {
    return rounded_up(outcome, advice_ns, CLOCK_S);
}
