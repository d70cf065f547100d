/* slot - one place for a worker: its state, the work it has, and every moment at which it needs care.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   its table of assignments; borrows the requests in it.
 * fails:  slot_init: MEMORY_EXHAUSTED. */
#ifndef CORE_POLICY_SLOT_H
#define CORE_POLICY_SLOT_H

#include "core/base/outcome.h"
#include "core/base/request.h"
#include "core/policy/memory_governor.h"
#include "core/policy/stats.h"
#include "core/policy/worker_state.h"

#include <sys/types.h>

#define SLOT_ERROR_BYTES 192
#define SLOT_QUIET_NS    UINT64_C(1000000000) /* ready without work so long: idle */

/* One request at this slot. It may outlive its request: answered early (deadline, cancel), the worker
 * is still busy with it until it replies or dies. Requests that were handed over together are one unit. */
struct assignment {
    uint64_t id;             /* under which the worker knows it; 0: free */
    struct request *request; /* NULL once answered; an heir when its leader left */
    bool staged;             /* handed ahead: not begun as far as is known */
    struct list_node node;   /* while it is staged: among the slot's, in the order of units */
    uint64_t unit;           /* its hand-over: grows, so the oldest staged is the one begun next */
    uint64_t began_ns;       /* of a staged one: when it was handed over */
    uint64_t given_up_ns;    /* when it was answered early; 0: not */
    uint64_t stop_ns;        /* TERM if the worker still has it then; CLOCK_NEVER: no */
    enum reason stop_why;    /* DEADLINE or CANCEL */
    uint64_t breaker_era;    /* of one given up: as a probe it keeps its place; 0: it was none */
    uint32_t next;           /* in its bucket, or among the free; SLOT_NO_PLACE: the last */
    uint32_t before, after;  /* in the ring of its unit; its own place while it is alone */
};
#define SLOT_NO_PLACE UINT32_MAX

struct slot {
    uint32_t index,
        capacity;       /* capacity: units that may run at once, inflight of the configuration */
    uint32_t units;     /* running now */
    uint32_t inflight;  /* requests in them */
    uint32_t staged;    /* requests handed ahead, besides */
    uint32_t given_up;  /* assignments whose request was answered early */
    uint32_t places;    /* assignments there are */
    uint64_t handed;    /* units so far */
    uint32_t max_batch; /* requests that its worker takes in one unit */
    bool checks;        /* its worker can check itself */
    bool checking;      /* and does so now: no work meanwhile */
    bool retiring;      /* gets no work any more: it is recycled when it is done */
    bool full;          /* its transport has just had no room: passed over in this round */
    struct assignment *assignments;
    uint32_t *buckets; /* the first assignment of each, by id; a power of two of them */
    uint32_t buckets_count, free, newest; /* places of assignments */
    struct list_node ahead;               /* the staged ones, the next to begin first */
    bool solo; /* its one request must stay alone (a retry after a shared crash) */
    struct worker_record record;
    pid_t pid;
    uint64_t requests, errors, restarts;
    uint64_t run_requests; /* since its worker started */
    uint64_t resident_bytes;
    struct memory_guard guard;
    struct recent *runs;          /* run times of its requests; allocated with the slot */
    uint64_t last_used_ns;        /* last time it was given work, or finished its last */
    uint64_t ready_ns;            /* since when it can serve; 0: it cannot */
    uint64_t started_ns, cold_ns; /* this start; how long the last load took */
    uint32_t failures;            /* in a row, for the back-off */
    enum reason failed_why;       /* why the last worker failed; START: it did not */
    enum reason stopped_why;      /* why the last one that was evicted had to go */
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
    uint64_t check_ns;          /* next deep check due */
    uint64_t check_deadline_ns; /* the one that runs must have ended */
    uint32_t pings_missed;
    uint64_t ping_id, pinged_ns;
    /* What the checks last said; 0: nothing yet. */
    uint64_t pong_ns, ping_rtt_ns, busy_ns, deep_ns;
    bool deep_sound;
};

struct slot_options {
    uint32_t index, inflight, batch_max, staged;
};

enum outcome slot_init(struct slot *slot, const struct slot_options *options,
                       struct worker_census *census, uint64_t now_ns);
void slot_free(struct slot *slot);
/* All moments to never, no work, no pid: as before a start. Its counters and last_error stay. */
void slot_reset(struct slot *slot);
/* How many more units it may be given now; solo needs an empty slot. */
uint32_t slot_room(const struct slot *slot, bool solo);
/* Nothing at all is at it: it may be stopped, or check itself. */
bool slot_vacant(const struct slot *slot);
/* A new unit, running or staged; assign its requests to it (there must be places). */
uint64_t slot_open_unit(struct slot *slot, bool staged);
struct assignment *slot_assign(struct slot *slot, struct request *request, uint64_t unit,
                               bool staged, uint64_t now_ns);
struct assignment *slot_find(struct slot *slot, uint64_t id); /* NULL: it has no such work */
struct assignment *slot_find_request(struct slot *slot, const struct request *request);
/* The worker has it for somebody else from now on. */
void slot_hand_on(struct slot *slot, struct assignment *assignment, struct request *heir);
/* The staged one that is begun next; NULL when there is none. */
struct assignment *slot_next_staged(struct slot *slot);
/* Its request was answered early; the worker has until stop_ns. */
void slot_give_up(struct slot *slot, struct assignment *assignment, enum reason why,
                  uint64_t stop_ns, uint64_t now_ns);
/* A staged one has begun. */
void slot_begin(struct slot *slot, struct assignment *assignment, uint64_t now_ns);
/* The worker is done with it, or never had it. */
void slot_unassign(struct slot *slot, struct assignment *assignment);
/* Copies text to last_error, cut, control characters as spaces. */
void slot_blame(struct slot *slot, const char *text);
/* The earliest of all its moments. */
uint64_t slot_next_ns(const struct slot *slot);

#endif
