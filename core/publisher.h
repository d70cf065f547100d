/* publisher - hands the state of all pools from the loop to whoever asks: the newest snapshot, counted.
 * thread: publisher_publish on the pool loop; take and give_back from any thread, under a tiny lock.
 * owns:   its snapshots; a reader holds one until it gives it back.
 * fails:  publisher_open: MEMORY_EXHAUSTED. A publish without memory keeps the last snapshot. */
#ifndef CORE_PUBLISHER_H
#define CORE_PUBLISHER_H

#include "core/orchestrator.h"
#include "core/snapshot.h"

struct publisher;

enum outcome publisher_open(struct publisher **out, const struct orchestrator *orchestrator);
void publisher_free(struct publisher *publisher); /* no reader may be left */
void publisher_publish(struct publisher *publisher, const struct orchestrator *orchestrator,
                       const struct histogram *loop_lag, uint64_t loop_lag_max_ns, uint64_t now_ns);
const struct snapshot *publisher_take(struct publisher *publisher);
void publisher_give_back(struct publisher *publisher, const struct snapshot *snapshot);

#endif
