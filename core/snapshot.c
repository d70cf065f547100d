#include "core/snapshot.h"

#include <string.h>

const struct pool_snapshot *snapshot_find(const struct snapshot *snapshot, const char *name) {
    for (size_t i = 0; i < snapshot->pools_count; i++)
        if (strcmp(snapshot->pools[i].name, name) == 0) return &snapshot->pools[i];
    return NULL;
}
