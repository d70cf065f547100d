/* codel - controlled delay on the time in queue: says when a queue stands, and whom to drop then.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   nothing outside its struct.
 * fails:  never.
 *
 * Nichols and Jacobson 2012, with the control law of RFC 8289, applied to requests: the sojourn time is
 * looked at as a request is taken. While it has stayed above `target_ns` for a whole `interval_ns` the
 * pool is overloaded: the newest are served first, and the oldest are dropped, one each
 * interval / sqrt(drops). target and interval follow the service time, since a request takes
 * milliseconds to minutes and not a packet's microseconds. */
#ifndef CORE_POLICY_CODEL_H
#define CORE_POLICY_CODEL_H

#include <stdbool.h>
#include <stdint.h>

struct codel {
    uint64_t target_ns, interval_ns;
    uint64_t above_since_ns; /* 0: the sojourn time is below target */
    uint64_t drop_next_ns;
    uint32_t drops;          /* in this episode, or in the last */
    uint32_t drops_at_start; /* one that follows soon starts where the last had come to, not at 1 */
    bool overloaded;
};

void codel_init(struct codel *codel);
/* mean_run_ns: the measured service time (0: unknown). target is the larger of 5 ms and one mean run,
 * interval the larger of 100 ms and 20 of them. */
void codel_tune(struct codel *codel, uint64_t mean_run_ns);
/* The oldest waiting request has waited so long. True: drop it now (and ask again). */
bool codel_drop(struct codel *codel, uint64_t sojourn_ns, uint64_t now_ns);
/* Nobody waits. */
void codel_empty(struct codel *codel);

#endif
