/* tenant_list - a pool's tenants as they may be shown: every name is text, and there once.
 * thread: any; pure.
 * owns:   copies; nothing to free.
 * fails:  never.
 *
 * A tenant is named by a client: bytes that are no UTF-8, control characters, and two names that a
 * snapshot has cut to the same one would break the pages that list them. Such bytes become '?', the
 * same names become one row. */
#ifndef GATEWAY_TENANT_LIST_H
#define GATEWAY_TENANT_LIST_H

#include "core/snapshot.h"

struct tenant_list {
    size_t count;
    struct tenant_snapshot rows[SNAPSHOT_TENANTS]; /* as in the snapshot: the busiest first */
};

void tenant_list_fill(struct tenant_list *list, const struct pool_snapshot *pool);

#endif
