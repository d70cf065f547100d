/* launch - what a worker process is given: its command line and its environment, nothing else.
 * thread: any.
 * owns:   both vectors and their texts, until launch_free.
 * fails:  launch_make: MEMORY_EXHAUSTED; INVALID_REQUEST: the pool's cpus are no list. */
#ifndef CORE_TRANSPORT_LAUNCH_H
#define CORE_TRANSPORT_LAUNCH_H

#include "core/base/outcome.h"
#include "core/policy/pool_options.h"

struct launch {
    char **arguments, **environment; /* NULL-terminated */
    uint32_t runs;
};

enum outcome launch_make(struct launch *out, const struct pool_options *pool, uint32_t slot,
                         const char *worker_program, const char *plugin_folder);
/* Before each start: faults that are injected are others each time. */
void launch_count(struct launch *launch);
void launch_free(struct launch *launch);

#endif
