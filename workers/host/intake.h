/* intake - where the compute thread gets its next call: from the ring, or from the inbox.
 * thread: next on the compute thread; poke from any, after the inbox has changed.
 * owns:   its frame reader; the ring's memory and the inbox are borrowed.
 * fails:  next: NULL once the inbox was stopped, or with `why` set: the gateway broke the protocol. */
#ifndef WORKERS_HOST_INTAKE_H
#define WORKERS_HOST_INTAKE_H

#include "core/transport/ring.h"
#include "core/transport/wire.h"
#include "workers/host/inbox.h"

struct intake {
    struct inbox *inbox;
    struct ring_reader requests; /* memory NULL: there is no ring */
    enum ring_sharing sharing;
    struct wire_reader frames;
    const char *why;
};

void intake_open(struct intake *intake, struct inbox *inbox, struct ring_memory *requests,
                 enum ring_sharing sharing);
void intake_close(struct intake *intake);
/* Waits for a call, which then runs until inbox_finish. */
struct call *intake_next(struct intake *intake);
void intake_poke(struct intake *intake);

#endif
