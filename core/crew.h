/* crew - the transports of the pools' slots: opened for a pool, closed with it, each event with its slot.
 * thread: the pool loop, or before it runs.
 * owns:   what an event needs to find its slot. The transports stand in the pool.
 * fails:  crew_open: MEMORY_EXHAUSTED; crew_hire: what prevents a transport; crew_dismiss takes what came. */
#ifndef CORE_CREW_H
#define CORE_CREW_H

#include "core/gate.h"
#include "core/pool.h"
#include "core/transport/spawner.h"
#include "core/transport/switchboard.h"

#include <uv.h>

typedef void crew_event_fn(void *owner, uint32_t pool, uint32_t slot,
                           const struct transport_event *event);

struct crew {
    uv_loop_t *loop;
    struct spawner *spawner;
    struct switchboard *switchboard;
    const struct gate_options *options;
    crew_event_fn *fn;
    void *owner;
    struct crew_address **addresses; /* by place: of each of its slots */
};

enum outcome crew_open(struct crew *crew, size_t places);
void crew_close(struct crew *crew);
enum outcome crew_hire(struct crew *crew, struct pool *pool);
void crew_dismiss(struct crew *crew, struct pool *pool);

#endif
