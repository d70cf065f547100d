#include "workers/host/thread_host.h"

#include "workers/host/host.h"

#include <unistd.h>

void thread_host_run(const struct thread_worker *worker) {
    (void)host_run(&(struct host_options){.place = HOST_THREAD,
                                          .plugin_path = worker->plugin_path,
                                          .fd = worker->socket,
                                          .rings = worker->rings,
                                          .bell = worker->bell});
    ring_pair_drop(worker->rings, RING_PRIVATE);
    close(worker->bell);
    close(worker->socket);
}
