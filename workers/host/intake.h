/* intake - where the compute thread gets its next calls: from the ring, or from the inbox.
 * thread: next on the compute thread; poke from any, after the inbox has changed.
 * owns:   nothing: the rings and the inbox are borrowed. What a call of the ring points at stays where it
 *         is until the next intake_next.
 * fails:  next: no calls once the inbox was stopped, or with `why` set: the gateway broke the protocol. */
#ifndef WORKERS_HOST_INTAKE_H
#define WORKERS_HOST_INTAKE_H

#include "core/transport/taker.h"
#include "workers/host/inbox.h"

struct intake {
    struct inbox *inbox;
    struct taker taker; /* its pair is NULL: there is no ring */
    const char *why;
};

void intake_open(struct intake *intake, struct inbox *inbox, struct ring_pair *rings,
                 enum ring_sharing sharing);
void intake_close(struct intake *intake);
/* Waits for a batch of at most `room` calls, which then run until inbox_finish. */
void intake_next(struct intake *intake, struct call **calls, size_t room, size_t *count);
void intake_poke(struct intake *intake);

#endif
