/* reconfigure - another configuration while the gateway serves: read again, compared, handed to the gate.
 * thread: main.
 * owns:   every configuration that the gate has kept, until reconfigure_close (after gate_close).
 * fails:  reconfigure_open: MEMORY_EXHAUSTED. A reload that is refused changes nothing and is in the log:
 *         msg=reload_refused, one line each mistake. Keys that need a restart are named in one warning.
 *
 * Several requests in a row are one: a reload begins at most every RECONFIGURE_CALM_NS. */
#ifndef GATEWAY_COMMAND_RECONFIGURE_H
#define GATEWAY_COMMAND_RECONFIGURE_H

#include "core/gate.h"
#include "gateway/command/configuration.h"

#define RECONFIGURE_CALM_NS UINT64_C(100000000)

struct reconfigure;

/* start: as the gateway was started; it and the pools made of it stay the caller's. */
enum outcome reconfigure_open(struct reconfigure **out, struct gate *gate,
                              const struct configuration *start);
/* Somebody wants it. */
void reconfigure_ask(struct reconfigure *reconfigure);
/* When reconfigure_run has something to do; CLOCK_NEVER: not before it is asked, or the fd is readable. */
uint64_t reconfigure_due_ns(const struct reconfigure *reconfigure);
void reconfigure_run(struct reconfigure *reconfigure, uint64_t now_ns);
/* It was asked for one that has not ended. */
bool reconfigure_is_busy(const struct reconfigure *reconfigure);
/* Readable when a reload has ended: then reconfigure_conclude. */
int reconfigure_fd(const struct reconfigure *reconfigure);
void reconfigure_conclude(struct reconfigure *reconfigure);
/* The drain as the newest configuration wants it. */
uint64_t reconfigure_grace_ns(const struct reconfigure *reconfigure);
uint64_t reconfigure_timeout_ns(const struct reconfigure *reconfigure);
void reconfigure_close(struct reconfigure *reconfigure); /* NULL is allowed */

#endif
