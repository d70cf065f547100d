/* cpus - a set of processors, its text, and a thread that runs on them and nowhere else.
 * thread: any; cpus_run_on and cpus_prefer_node speak of the calling thread, and of those that it starts.
 * owns:   nothing.
 * fails:  cpus_parse: INVALID_REQUEST, the set is empty then. The last three return an errno, 0 when it is
 *         done. */
#ifndef CORE_BASE_CPUS_H
#define CORE_BASE_CPUS_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stdint.h>

#define CPUS_MOST 4096 /* as many as the configuration takes */

struct cpus {
    uint64_t bits[CPUS_MOST / 64];
};

/* A list as the kernel writes them: 0-3,8. */
enum outcome cpus_parse(struct cpus *out, const char *text);
void cpus_add(struct cpus *cpus, uint32_t cpu);
bool cpus_has(const struct cpus *cpus, uint32_t cpu);
uint32_t cpus_count(const struct cpus *cpus);
/* The one at this place in rising order; there must be one. */
uint32_t cpus_at(const struct cpus *cpus, uint32_t place);

int cpus_read_own(struct cpus *out); /* where the calling thread may run; empty if that fails */
/* EINVAL: none of them can be used. */
int cpus_run_on(const struct cpus *cpus);
/* Memory comes from this NUMA node while it has some. */
int cpus_prefer_node(uint32_t node);

#endif
