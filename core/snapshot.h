/* snapshot - the state of all pools as it was after the loop's last settle; state and health read it.
 * thread: made on the pool loop; immutable once published; read and released from any thread.
 * owns:   gate_snapshot hands out a reference, gate_snapshot_release gives it back.
 * fails:  never. */
#ifndef CORE_SNAPSHOT_H
#define CORE_SNAPSHOT_H

#include "core/base/request.h"
#include "core/policy/circuit_breaker.h"
#include "core/policy/health.h"
#include "core/policy/memory_governor.h"
#include "core/policy/stats.h"
#include "core/policy/worker_state.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SNAPSHOT_TEXT_BYTES  192
#define SNAPSHOT_TENANTS     32 /* the busiest */
#define SNAPSHOT_BATCH_SIZES 11 /* of 1, up to 2, 4, … 1,024 requests */

/* What the four checks of a slot last said. */
struct slot_checks {
    uint64_t pong_ns;     /* when the last pong came; 0: none yet */
    uint64_t ping_rtt_ns; /* how long it took */
    uint32_t pings_missed;
    uint64_t busy_ns;                /* as the worker said: how long its current request ran then */
    uint64_t deep_ns;                /* when the last deep check ended; 0: none yet */
    bool deep_sound;                 /* what it found */
    bool memory_sound;               /* resident within the declared */
    uint64_t run_p50_ns, run_p99_ns; /* of this slot's last window; 0: nothing was run */
};

struct tenant_snapshot {
    char name[64];
    uint32_t waiting, out;
    double share;    /* of the pool's run time lately, 0 to 1 */
    uint32_t weight; /* how many parts it gets where another gets one */
};

struct slot_snapshot {
    uint32_t index; /* the slot's name is POOL/index */
    enum worker_state state;
    uint64_t since_ns;
    pid_t pid; /* 0: no process */
    uint64_t requests, errors, restarts;
    char last_error[SNAPSHOT_TEXT_BYTES]; /* "": none */
    uint64_t resident_bytes;
    uint32_t inflight; /* requests that it has now; current is the oldest */
    uint32_t staged;   /* handed ahead and not begun, besides */
    struct slot_checks checks;
    char current[136]; /* request id, "": none */
    uint64_t current_began_ns;
    uint64_t cold_ns;         /* how long its last load took; 0: never loaded */
    size_t transitions_count; /* oldest first */
    struct transition transitions[WORKER_TRANSITIONS];
};

struct pool_snapshot {
    const char *name, *capability;
    enum health health;
    enum wish wish;
    bool required;
    bool reached_min;     /* has had its min slots able to serve once */
    bool can_serve;       /* a slot can serve, or may be loaded on demand */
    bool loading_first;   /* none can serve yet, one is loading for the first time */
    enum outcome refusal; /* what the gate answers now; OK: it admits */
    uint32_t slots_min, slots_max;
    uint32_t by_state[WORKER_STATE_COUNT];
    uint32_t live; /* permits out: waiting and running */
    uint32_t waiting, capacity;
    uint64_t bytes;
    uint32_t by_priority[PRIORITY_COUNT];
    uint64_t expected_wait_ns;
    uint64_t memory_declared, memory_resident;
    uint32_t abandoned; /* hung threads that were left behind */
    enum breaker_state breaker;
    uint64_t breaker_until_ns; /* while open: when it will try again */
    uint64_t breaker_opened, breaker_rejections;
    size_t tenants_count; /* written; tenants_live: all with live requests */
    uint32_t tenants_live;
    struct tenant_snapshot tenants[SNAPSHOT_TENANTS];
    uint64_t deduplicated, unmeetable, shed, evictions, recycled, staged_back;
    uint64_t batches, batched; /* hand-overs, and requests in them */
    uint64_t batch_sizes[SNAPSHOT_BATCH_SIZES];
    double service_rate; /* requests a second, lately */
    uint32_t quarantined;
    uint64_t alarms; /* free slots beside waiting work for over a second: a bug */
    uint64_t answered, retried, crashed, restarts, cancelled, expired;
    uint64_t transitions_total[WORKER_STATE_COUNT][WORKER_STATE_COUNT];
    uint64_t restarts_by_reason[REASON_COUNT];
    struct histogram queue_time, cold_time, run_time, cancel_time;
    struct percentiles queue_recent, run_recent;
    size_t slots_count;
    const struct slot_snapshot *slots; /* slots_max of them; dead ones that never lived too */
};

struct snapshot {
    uint64_t taken_ns; /* clock_now_ns() */
    uint64_t settled;  /* settles so far: grows while the loop makes progress */
    bool draining;
    struct {
        uint64_t limit_bytes, used_bytes, charged_bytes, gateway_bytes; /* limit 0: unknown */
        double utilization, stall_percent; /* stall negative: unknown */
        enum pressure pressure;
    } memory;
    uint32_t abandoned;   /* threads that hung and were left behind, by all pools there ever were */
    uint64_t events_lost; /* by listeners that were too slow */
    uint64_t loop_lag_max_ns;
    struct histogram loop_lag;
    size_t pools_count; /* that have a name now, in the configuration's order */
    const struct pool_snapshot *pools;
};

/* NULL when there is none of that name. */
const struct pool_snapshot *snapshot_find(const struct snapshot *snapshot, const char *name);

#endif
