/* process - the transport to a worker process: frames over a Unix socket, its stderr into the log, its
 *           end seen through a pidfd.
 * thread: the pool loop, all of it.
 * owns:   the process while it runs; frames that wait to be written, with a reference to each body.
 * fails:  see transport.h. A worker that breaks a rule is reported BROKEN once; after that only its end. */
#ifndef CORE_TRANSPORT_PROCESS_H
#define CORE_TRANSPORT_PROCESS_H

#include "core/policy/pool_options.h"
#include "core/transport/spawner.h"
#include "core/transport/switchboard.h"
#include "core/transport/transport.h"

struct process_options {
    uv_loop_t *loop;
    struct spawner *spawner;
    struct switchboard *switchboard;
    const struct pool_options *pool; /* lives longer than the transport */
    uint32_t slot;
    const char *worker_program, *plugin_folder;
    transport_event_fn *fn;
    void *owner;
};

enum outcome process_open(struct transport **out, const struct process_options *options);

#endif
