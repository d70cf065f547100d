/* history - the last requests of a pool and what they tell: service rate, expected wait.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   nothing outside its struct.
 * fails:  never. */
#ifndef CORE_POLICY_HISTORY_H
#define CORE_POLICY_HISTORY_H

#include <stdint.h>

#define HISTORY_REQUESTS 1024

struct history_entry {
    uint64_t ended_ns;
    uint32_t slot; /* REQUEST_NO_SLOT: it never came to one */
};

struct history {
    struct history_entry entries[HISTORY_REQUESTS];
    uint64_t added; /* in all; the last HISTORY_REQUESTS are kept */
};

void history_add(struct history *history, const struct history_entry *entry);
/* Requests that left a slot per second, over the kept entries of the last span_ns, or over the time
 * that they still cover when older ones of that span are lost; 0: none. */
double history_service_rate(const struct history *history, uint64_t span_ns, uint64_t now_ns);
/* How long the one at `place` (0: next) waits until it starts, when its tenant gets 1/sharers of
 * `places` running `mean_run_ns` each, all busy now: (place + 1) * mean_run_ns * sharers / places.
 * 0 places or sharers count as one. 0: nothing is known. Saturates at UINT64_MAX. */
uint64_t history_expected_wait(uint64_t mean_run_ns, uint32_t places, uint64_t place,
                               uint32_t sharers);

#endif
