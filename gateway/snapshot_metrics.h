/* snapshot_metrics - what the snapshot says of pools, slots and memory, on the page that Prometheus reads.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_SNAPSHOT_METRICS_H
#define GATEWAY_SNAPSHOT_METRICS_H

#include "core/snapshot.h"

#include <stdio.h>

void snapshot_metrics_write(const struct snapshot *snapshot, FILE *out);

#endif
