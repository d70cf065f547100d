/* self_dial - the gateway dials its own ports, as a client would: a port that listens may be dead.
 * thread: open and close are main's; the rest may be asked from any.
 * owns:   a thread that dials every five seconds, two seconds at most for each port.
 * fails:  self_dial_open: MEMORY_EXHAUSTED. A dial that cannot be made for want of a descriptor counts for
 *         nothing: it says nothing about the port. */
#ifndef GATEWAY_SELF_DIAL_H
#define GATEWAY_SELF_DIAL_H

#include "core/base/outcome.h"
#include "gateway/address.h"

#include <stdbool.h>

/* Of a port with TLS any byte or end that comes back is an answer. */
struct self_dial_port {
    const char *address; /* as the server says it: "127.0.0.1:8080" */
    bool tls;
};

enum outcome self_dial_open(const struct self_dial_port *http, const struct self_dial_port *grpc);
void self_dial_close(void); /* may be called when it is not open */

/* "http" or "grpc": it did not answer three times in a row. NULL: none, or nobody dials. */
const char *self_dial_dead_port(void);
/* How long ago both ports last answered in one round; CLOCK_NEVER: they never have. */
uint64_t self_dial_answered_ago_ns(uint64_t now_ns);
/* A connection from there is the gateway's own. */
bool self_dial_is_own(const struct address *peer);

#endif
