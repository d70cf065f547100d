/* chaos - does to this worker what core/policy/chaos decides: the faults of a rehearsal, for real.
 * thread: the compute thread's. On a thread of the gateway only what leaves the gateway whole is allowed:
 *         delay and slow-load (the configuration refuses the others).
 * owns:   nothing. What a balloon takes is kept until the process ends.
 * fails:  never: failing is what it is for.
 *
 * A crash is an abort or a write to where nothing is; a hang lets the socket's thread answer pings, or
 * stops the whole process; garbage goes into the control socket between two frames, or into one. */
#ifndef WORKERS_HOST_CHAOS_H
#define WORKERS_HOST_CHAOS_H

#include "core/policy/chaos.h"

/* chaos NULL: nothing happens. */
void chaos_before_ready(struct chaos *chaos);
void chaos_before_request(struct chaos *chaos, int socket);

#endif
