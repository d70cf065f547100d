/* herald - what the service manager hears of us: ready once every pool has started, reloading, stopping,
 *          and a sign of life while the gateway lives by its own judgement.
 * thread: main's.
 * owns:   the notify socket from herald_open to herald_close.
 * fails:  quietly, as notify. */
#ifndef GATEWAY_COMMAND_HERALD_H
#define GATEWAY_COMMAND_HERALD_H

#include "core/gate.h"
#include "gateway/process/notify.h"

struct herald {
    struct notify notify;
    struct gate *gate;
    bool ready, reloading, stopping;
    uint64_t look_ns; /* not ready: when to look again */
};

/* Before there are threads: it changes the environment. */
void herald_open(struct herald *herald);
/* The ports are open. */
void herald_begin(struct herald *herald, struct gate *gate);
/* When herald_attend has something to do; CLOCK_NEVER: nothing. */
uint64_t herald_due_ns(const struct herald *herald);
void herald_attend(struct herald *herald, uint64_t now_ns);
void herald_reloading(struct herald *herald);
void herald_reloaded(
    struct herald *herald); /* also when the reload was refused; else does nothing */
void herald_stopping(struct herald *herald);
void herald_close(struct herald *herald);

#endif
