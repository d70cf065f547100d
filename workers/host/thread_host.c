#include "workers/host/thread_host.h"

#include "workers/host/host.h"

#include <unistd.h>

/* The configuration was checked; with a text that cannot be read nothing happens. */
static bool open_chaos(struct chaos *chaos, const struct thread_worker *worker) {
    struct chaos_options options;
    char error[CHAOS_ERROR_BYTES];
    if (worker->chaos == NULL || chaos_parse(&options, worker->chaos, error) != OK) return false;
    chaos_open(chaos, &options, worker->slot, worker->starts);
    return true;
}

void thread_host_run(const struct thread_worker *worker) {
    struct chaos chaos;
    bool rehearses = open_chaos(&chaos, worker);
    (void)host_run(&(struct host_options){.place = HOST_THREAD,
                                          .plugin_path = worker->plugin_path,
                                          .fd = worker->socket,
                                          .rings = worker->rings,
                                          .chaos = rehearses ? &chaos : NULL,
                                          .bell = worker->bell});
    ring_pair_drop(worker->rings, RING_PRIVATE);
    close(worker->bell);
    close(worker->socket);
}
