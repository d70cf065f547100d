/* plugin - a worker's shared object: opened, checked against the ABI, its table copied.
 * thread: the compute thread's.
 * owns:   the library stays loaded until the process ends; texts of the table are the library's.
 * fails:  both say why in `error`, a text for people, and leaves the table empty. */
#ifndef WORKERS_HOST_PLUGIN_H
#define WORKERS_HOST_PLUGIN_H

#include <poolgate/worker.h>

#include <stdbool.h>

bool plugin_open(struct poolgate_worker *out, const char *path, char error[POOLGATE_ERROR_BYTES]);
/* The second half of it: a copy of a table of this ABI. Members that it does not reach are NULL; handle
 * or handle_batch is set. */
bool plugin_adopt(struct poolgate_worker *out, const struct poolgate_worker *table,
                  char error[POOLGATE_ERROR_BYTES]);

#endif
