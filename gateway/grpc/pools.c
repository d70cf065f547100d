#include "gateway/grpc/pools.h"

#include "core/base/clock.h"
#include "core/base/uninitialized.h"
#include "gateway/grpc/message.h"
#include "gateway/grpc/pool_state.h"

#include <stdlib.h>

static void reply_list(struct call *call, const struct snapshot *snapshot) {
    Poolgate__V1__ListPoolsResponse list = POOLGATE__V1__LIST_POOLS_RESPONSE__INIT;
    struct pool_state *states = calloc(snapshot->pools_count, sizeof *states);
    Poolgate__V1__PoolState **pointers = calloc(snapshot->pools_count, sizeof *pointers);
    if (states == NULL || pointers == NULL) {
        call_refuse(call, &(struct refused){.outcome = MEMORY_EXHAUSTED});
    } else {
        for (size_t i = 0; i < snapshot->pools_count; i++) {
            pool_state_fill(&states[i], &snapshot->pools[i], clock_now_ns());
            pointers[i] = &states[i].message;
        }
        list.pools = pointers;
        list.n_pools = snapshot->pools_count;
        call_reply_packed(call, &list.base);
    }
    free(pointers);
    free(states);
}

void pools_list(struct call *call) {
    struct gate *gate = call->queue->front->gate;
    const struct snapshot *snapshot = gate_snapshot(gate);
    reply_list(call, snapshot);
    gate_snapshot_release(gate, snapshot);
}

void pools_get(struct call *call) {
    struct gate *gate = call->queue->front->gate;
    UNINITIALIZED struct message_page page;
    struct pool_state state;
    const char *flaw, *name = message_only_text(call->message, &page, TEXT_POOL, &flaw);
    if (name == NULL) {
        call_refuse(call, &(struct refused){.outcome = INVALID_REQUEST, .detail = flaw});
        return;
    }
    const struct snapshot *snapshot = gate_snapshot(gate);
    const struct pool_snapshot *pool = snapshot_find(snapshot, name);
    if (pool != NULL) {
        pool_state_fill(&state, pool, clock_now_ns());
        call_reply_packed(call, &state.message.base);
    } else {
        call_refuse(call, &(struct refused){.outcome = NO_SUCH_POOL});
    }
    gate_snapshot_release(gate, snapshot);
}
