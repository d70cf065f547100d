/* host - the life of one plug-in in a worker process: hello, setup, loading, ready, requests, shutdown.
 * thread: host_run is the compute thread and runs the plug-in. A second thread owns the socket, so that
 *         pings and cancels are answered however busy the plug-in is.
 * owns:   the process: the second thread ends it at once when the gateway is gone or breaks the protocol.
 * fails:  host_run returns the exit status: HOST_EXIT_… */
#ifndef WORKERS_HOST_HOST_H
#define WORKERS_HOST_HOST_H

#include "core/policy/chaos.h"
#include "core/transport/ring_pair.h"

#define HOST_EXIT_OK       0 /* shut down, could not load (READY said why), or the gateway is gone */
#define HOST_EXIT_PROTOCOL 70 /* the gateway broke the protocol */
#define HOST_EXIT_SYSTEM   71 /* no memory or no thread; an answer could not be sent */

enum host_place { HOST_PROCESS, HOST_THREAD };

struct host_options {
    enum host_place
        place; /* on a thread of the gateway the host only returns, it never ends the process */
    const char *plugin_path;
    int fd;                  /* the connected control socket */
    struct ring_pair *rings; /* NULL: everything goes over the socket */
    struct chaos *chaos;     /* faults that befall it; NULL: none */
    int bell;                /* the eventfd at which the gateway sleeps, or -1 */
};
/* fd, bell, rings and chaos stay the caller's. */
int host_run(const struct host_options *options);

#endif
