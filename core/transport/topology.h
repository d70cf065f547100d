/* topology - the processors and memory nodes of the machine, and which of them a slot gets.
 * thread: any. The machine is read once, by the first that asks: not on a busy loop.
 * owns:   what it read, until the end of the program.
 * fails:  topology_place: INVALID_REQUEST, the text is no list of processors. What cannot be read is as if
 *         it were not there. */
#ifndef CORE_TRANSPORT_TOPOLOGY_H
#define CORE_TRANSPORT_TOPOLOGY_H

#include "core/policy/affinity.h"
#include "core/policy/pool_options.h"

const struct machine *topology_machine(void);
/* Reads it afresh, the nodes from this folder: /sys/devices/system/node. */
void topology_read(struct machine *out, const char *node_folder);
/* By the pool's cpus; none set is any. */
enum outcome topology_place(struct placement *out, const struct pool_options *pool, uint32_t slot);

#endif
