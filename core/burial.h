/* burial - requests that killed too many workers: put aside with their evidence, listed, run again.
 * thread: the pool loop.
 * owns:   a request that was kicked, until its done: nobody waits for it.
 * fails:  as buried.h says. */
#ifndef CORE_BURIAL_H
#define CORE_BURIAL_H

#include "core/buried.h"
#include "core/orchestrator.h"

/* A worker died in this slot while it alone had it. */
void burial_mark(struct request *request, uint32_t slot, const char *how, uint64_t now_ns);
/* It is answered QUARANTINED next; its detail says why. */
void burial_bury(struct pool *pool, struct request *request, uint64_t now_ns);

void burial_list(const struct orchestrator *orchestrator, struct buried_list *list);
enum outcome burial_delete(struct orchestrator *orchestrator, const struct buried_order *order,
                           uint64_t now_ns);
/* Like a job: a permit, its class, its tenant, timeouts.request from now. It leaves the quarantine when its
 * worker has answered it; killed once more, it is buried under its new number instead. */
enum outcome burial_kick(struct orchestrator *orchestrator, const struct buried_order *order,
                         uint64_t *retry_after_ns, uint64_t now_ns);

#endif
