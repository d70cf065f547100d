#include "core/crew.h"

#include "core/transport/process.h"
#include "core/transport/thread.h"

#include <stdlib.h>

/* What a transport's event needs to find its slot. */
struct crew_address {
    struct crew *crew;
    uint32_t pool, slot;
};

enum outcome crew_open(struct crew *crew, size_t places) {
    crew->addresses = calloc(places, sizeof(struct crew_address *));
    return crew->addresses != NULL ? OK : MEMORY_EXHAUSTED;
}

void crew_close(struct crew *crew) {
    free(crew->addresses);
    crew->addresses = NULL;
}

static void on_event(void *owner, const struct transport_event *event) {
    const struct crew_address *address = owner;
    address->crew->fn(address->crew->owner, address->pool, address->slot, event);
}

static enum outcome open_transport(struct transport **out, struct crew_address *address,
                                   const struct pool_options *pool) {
    const struct crew *crew = address->crew;
    if (pool->isolation == ISOLATION_THREAD)
        return thread_open(out,
                           &(struct thread_options){.loop = crew->loop,
                                                    .pool = pool,
                                                    .slot = address->slot,
                                                    .switchboard = crew->switchboard,
                                                    .plugin_folder = crew->options->plugin_folder,
                                                    .run = crew->options->thread_worker,
                                                    .fn = on_event,
                                                    .owner = address});
    return process_open(out,
                        &(struct process_options){.loop = crew->loop,
                                                  .spawner = crew->spawner,
                                                  .switchboard = crew->switchboard,
                                                  .pool = pool,
                                                  .slot = address->slot,
                                                  .worker_program = crew->options->worker_program,
                                                  .plugin_folder = crew->options->plugin_folder,
                                                  .fn = on_event,
                                                  .owner = address});
}

enum outcome crew_hire(struct crew *crew, struct pool *pool) {
    struct crew_address *addresses = calloc(pool->slots_count, sizeof *addresses);
    crew->addresses[pool->place] = addresses;
    if (addresses == NULL) return MEMORY_EXHAUSTED;
    for (uint32_t i = 0; i < pool->slots_count; i++) {
        addresses[i] = (struct crew_address){crew, pool->place, i};
        enum outcome outcome = open_transport(&pool->transports[i], &addresses[i], pool->options);
        if (outcome != OK) return outcome;
    }
    return OK;
}

void crew_dismiss(struct crew *crew, struct pool *pool) {
    for (uint32_t i = 0; i < pool->slots_count; i++) {
        struct transport *transport = pool->transports[i];
        if (transport != NULL) transport->calls->close(transport);
        pool->transports[i] = NULL;
    }
    free(crew->addresses[pool->place]);
    crew->addresses[pool->place] = NULL;
}
