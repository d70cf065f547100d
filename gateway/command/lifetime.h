/* lifetime - from serving to the end: signals, grace, drain, stop, in this order and within a bound.
 * thread: main.
 * owns:   a signal descriptor and an event descriptor while it runs.
 * fails:  what does not end in time, or a third signal, ends the process at once with 1. */
#ifndef GATEWAY_COMMAND_LIFETIME_H
#define GATEWAY_COMMAND_LIFETIME_H

#include "core/gate.h"
#include "gateway/command/certificates.h"
#include "gateway/command/herald.h"
#include "gateway/command/reconfigure.h"
#include "gateway/grpc/server.h"
#include "gateway/http/server.h"

struct lifetime_parts {
    struct gate *gate;
    struct http_server *http;
    struct rpc_server *rpc;
    struct certificates *certificates;
    struct access *access;
    struct reconfigure *reconfigure;
    struct herald *herald;
};

/* SIGTERM, SIGINT, SIGHUP and SIGCHLD wait to be read; before the first thread starts. */
void lifetime_block_signals(void);
/* Serves until a signal to end, then drains the gate and closes both front ends. SIGHUP: reconfigures.
 * Certificates and a key file that changed are read again until the drain begins. */
void lifetime_run(const struct lifetime_parts *parts);
/* Drains a gate that no front end uses. */
void lifetime_drain(struct gate *gate, uint64_t timeout_ns);

#endif
