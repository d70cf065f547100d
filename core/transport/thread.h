/* thread - the transport to a worker on a thread of the gateway: the same frames, the same rings in
 *          private memory, a socket pair for control.
 * thread: the pool loop, all of it; `run` is called on a thread of its own, once for each start.
 * owns:   what it gives to a run is the run's from then on.
 * fails:  see transport.h. A thread cannot be killed: TERM asks it to end, KILL abandons it. Then it keeps
 *         its memory and descriptors until it ends by itself, and EXITED says EXIT_ABANDONED. */
#ifndef CORE_TRANSPORT_THREAD_H
#define CORE_TRANSPORT_THREAD_H

#include "core/policy/pool_options.h"
#include "core/transport/ring_pair.h"
#include "core/transport/switchboard.h"
#include "core/transport/transport.h"

#include <uv.h>

/* What a worker on a thread works with; all of it is the run's to release, the socket last: its end is
 * the sign that the worker has ended. */
struct thread_worker {
    const char *plugin_path; /* lives as long as the gateway */
    int socket, bell;
    struct ring_pair *rings; /* private */
    const char *chaos;       /* faults to inject, or NULL; lives as long as the gateway */
    uint32_t slot, starts;   /* starts so far, this one included */
};
typedef void thread_worker_fn(const struct thread_worker *worker);

struct thread_options {
    uv_loop_t *loop;
    struct switchboard *switchboard;
    const struct pool_options *pool; /* lives longer than the transport */
    uint32_t slot;
    const char *plugin_folder;
    thread_worker_fn *run;
    transport_event_fn *fn;
    void *owner;
};

enum outcome thread_open(struct transport **out, const struct thread_options *options);

#endif
