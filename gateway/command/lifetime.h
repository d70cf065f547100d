/* lifetime - from serving to the end: signals, grace, drain, stop, in this order and within a bound.
 * thread: main.
 * owns:   a signal descriptor and an event descriptor while it runs.
 * fails:  what does not end in time, or a third signal, ends the process at once with 1. */
#ifndef GATEWAY_COMMAND_LIFETIME_H
#define GATEWAY_COMMAND_LIFETIME_H

#include "core/gate.h"
#include "gateway/grpc/server.h"
#include "gateway/http/server.h"

/* SIGTERM, SIGINT and SIGCHLD wait to be read; before the first thread starts. */
void lifetime_block_signals(void);
/* Serves until a signal, then drains the gate and closes both front ends. */
void lifetime_run(struct gate *gate, struct http_server *http, struct rpc_server *rpc,
                  uint64_t grace_ns, uint64_t timeout_ns);
/* Drains a gate that no front end uses. */
void lifetime_drain(struct gate *gate, uint64_t timeout_ns);

#endif
