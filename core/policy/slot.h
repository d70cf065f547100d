/* slot - one place for a worker: its state, the work it has, and every moment at which it needs care.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   its table of assignments; borrows the requests in it.
 * fails:  slot_init: MEMORY_EXHAUSTED. */
#ifndef CORE_POLICY_SLOT_H
#define CORE_POLICY_SLOT_H

#include "core/base/outcome.h"
#include "core/base/request.h"
#include "core/policy/worker_state.h"

#include <sys/types.h>

#define SLOT_ERROR_BYTES 192
#define SLOT_QUIET_NS    UINT64_C(1000000000) /* ready without work so long: idle */

/* One request at this slot. It may outlive its request: answered early (deadline, cancel), the worker
 * is still busy with it until it replies or dies. */
struct assignment {
    uint64_t id;             /* 0: free */
    struct request *request; /* NULL once answered */
    uint64_t began_ns;
    uint64_t given_up_ns; /* when it was answered early; 0: not */
    uint64_t stop_ns;     /* TERM if the worker still has it then; CLOCK_NEVER: no */
    enum reason stop_why; /* DEADLINE or CANCEL */
};

struct slot {
    uint32_t index, capacity; /* capacity: inflight of the configuration */
    uint32_t inflight;        /* assignments in use */
    struct assignment *assignments;
    bool solo; /* its one request must stay alone (a retry after a shared crash) */
    struct worker_record record;
    pid_t pid;
    uint64_t requests, errors, restarts;
    uint64_t resident_bytes;
    uint64_t last_used_ns;        /* last time it was given work, or finished its last */
    uint64_t ready_ns;            /* since when it can serve; 0: it cannot */
    uint64_t started_ns, cold_ns; /* this start; how long the last load took */
    uint32_t failures;            /* in a row, for the back-off */
    bool ever_ready;
    enum reason failed_why; /* why the last worker failed; START: it did not */
    char last_error[SLOT_ERROR_BYTES];

    /* Moments, CLOCK_NEVER when there is none. */
    uint64_t respawn_ns; /* not started again before this */
    uint64_t load_deadline_ns;
    uint64_t quiet_ns; /* becomes idle */
    uint64_t ping_ns;  /* next ping due */
    uint64_t pong_deadline_ns;
    uint64_t stable_ns;        /* its failures are forgotten */
    uint64_t term_ns, kill_ns; /* a stopping worker is told more firmly */
    uint64_t measure_ns;
    uint32_t pings_missed;
    uint64_t ping_id;
};

enum outcome slot_init(struct slot *slot, uint32_t index, uint32_t capacity,
                       struct worker_census *census, uint64_t now_ns);
void slot_free(struct slot *slot);
/* All moments to never, no work, no pid: as before a start. Its counters and last_error stay. */
void slot_reset(struct slot *slot);
/* How many more requests it may be given now; solo needs an empty slot. */
uint32_t slot_room(const struct slot *slot, bool solo);
/* Gives it the request (there must be room). */
struct assignment *slot_assign(struct slot *slot, struct request *request, uint64_t now_ns);
struct assignment *slot_find(struct slot *slot, uint64_t id); /* NULL: it has no such work */
/* The worker is done with it. */
void slot_unassign(struct slot *slot, struct assignment *assignment);
/* Copies text to last_error, cut, control characters as spaces. */
void slot_blame(struct slot *slot, const char *text);
/* The earliest of all its moments. */
uint64_t slot_next_ns(const struct slot *slot);

#endif
