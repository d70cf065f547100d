/* gate - the only door of the core: front ends submit, cancel and read state here.
 * thread: open and close on one thread (main); everything else from any thread, nothing blocks.
 * owns:   gate_submit moves the request on OK; otherwise it is still the caller's. The options' texts
 *         stay the caller's and live as long as the gate.
 * fails:  each function names its outcomes. */
#ifndef CORE_GATE_H
#define CORE_GATE_H

#include "core/base/request.h"
#include "core/buried.h"
#include "core/event_stream.h"
#include "core/policy/pool_options.h"
#include "core/pool_order.h"
#include "core/question.h"
#include "core/snapshot.h"

struct gate;
struct thread_worker;

struct gate_options {
    const struct pool_options *pools;
    size_t pools_count;
    const char *worker_program;  /* path of poolgate-worker */
    const char *plugin_folder;   /* holds NAME.so */
    uint64_t memory_limit_bytes; /* for the gateway and its workers together; 0: no bound */
    /* Runs a plug-in on a thread (core/transport/thread.h); NULL: no pool has thread slots. */
    void (*thread_worker)(const struct thread_worker *worker);
};

/* Starts the pool loop on its own thread and begins to load every pool's min slots. */
enum outcome gate_open(struct gate **out, const struct gate_options *options);

#define GATE_NO_POOL UINT32_MAX
size_t gate_pools_count(const struct gate *gate);
/* Pools have numbers below this one, now and later. The first have those of their order. */
size_t gate_pools_most(const struct gate *gate);
/* The pool that has this name now; false when there is none. Its number is its own, whatever a reload
 * does, until it was let go as often as it was held: from before the first call that names it until its
 * request was answered. Bodies that are charged to it keep it by themselves. */
bool gate_hold_pool(struct gate *gate, const char *name, uint32_t *pool);
void gate_let_go_pool(struct gate *gate, uint32_t pool);
/* Of a pool that is held; they stay readable until gate_close. */
const struct pool_options *gate_pool(const struct gate *gate, uint32_t pool);

/* Other pools from now on, in this order, names as the key: those that differ in no more than numbers
 * take these up while they run, others are replaced, added, removed; all of it or nothing. A replaced or
 * removed one finishes what it has. One at a time: `reloaded` is called first, on the pool loop or before
 * this returns. The new options live as long as the gate if they were kept (some KiB a time). */
struct gate_reloaded {
    enum outcome outcome; /* OK, SHUTTING_DOWN, QUEUE_FULL (too many still end), MEMORY_EXHAUSTED */
    size_t added, changed, removed, unchanged;
    size_t restarted; /* of the changed: they have other workers */
    bool kept;        /* the new options are in use */
};
typedef void gate_reloaded_fn(void *owner, const struct gate_reloaded *result);
void gate_reload(struct gate *gate, const struct pool_options *pools, size_t pools_count,
                 gate_reloaded_fn *reloaded, void *owner);

/* What is known of a request when its headers have come. */
struct gate_ask {
    uint32_t pool; /* held */
    enum priority priority;
    const char *tenant; /* NULL or "": none */
    uint64_t deadline_ns;
};
/* What gate_submit would answer now, for a refusal at first sight of the headers. Takes nothing.
 * *retry_after_ns: advice for a refusal. */
enum outcome gate_would_admit(struct gate *gate, const struct gate_ask *ask,
                              uint64_t *retry_after_ns);

/* Charges body bytes as they arrive against queue.bytes: OK or QUEUE_FULL (nothing charged). */
enum outcome gate_charge(struct gate *gate, uint32_t pool, uint64_t bytes);
void gate_uncharge(struct gate *gate, uint32_t pool, uint64_t bytes);

/* Takes a permit and hands the request to its pool, or refuses it: in this order SHUTTING_DOWN,
 * CIRCUIT_OPEN, MEMORY_EXHAUSTED, SPAWN_FAILED, NO_WORKERS, QUEUE_FULL, DEADLINE_UNMEETABLE.
 * On OK request->id is set, the request belongs to
 * the pool, and request->done will be called exactly once, perhaps before this returns: write what
 * you need of it down before. *id receives request->id (copied before the hand-over). */
enum outcome gate_submit(struct gate *gate, struct request *request, uint64_t *id,
                         uint64_t *retry_after_ns);

/* The request still leaves through done. Unknown ids (answered just now) are ignored. Call at most
 * once per submitted request: the channel keeps room for that many. */
void gate_cancel(struct gate *gate, uint32_t pool, uint64_t id, enum cancel_cause cause);

/* Questions (question.h, buried.h, pool_order.h): on OK `answered` will be called once, on the pool loop, perhaps before this
 * returns. QUEUE_FULL (QUESTIONS_MOST are under way) and SHUTTING_DOWN: it never will. */
enum outcome gate_order(struct gate *gate, struct pool_order *order);
enum outcome gate_look(struct gate *gate, struct look *look);
/* Stops it, as if its client had asked: what it finds is what it leaves behind. */
enum outcome gate_stop(struct gate *gate, struct look *look);
enum outcome gate_quarantine_list(struct gate *gate, struct buried_list *list);
enum outcome gate_quarantine_delete(struct gate *gate, struct buried_order *order);
/* order->id is set. */
enum outcome gate_quarantine_kick(struct gate *gate, struct buried_order *order);

/* Everything that happens from now on; see event_stream.h. */
enum outcome gate_listen(struct gate *gate, struct event_feed **out, uint32_t kinds,
                         size_t capacity, event_wake_fn *wake, void *owner);

const struct snapshot *gate_snapshot(struct gate *gate);
void gate_snapshot_release(struct gate *gate, const struct snapshot *snapshot);

/* Refuse new work (SHUTTING_DOWN), finish what was accepted, stop the slots, call `drained` once on the
 * pool loop. What has not finished `timeout_ns` from now is answered SHUTTING_DOWN, its slots killed.
 * A later call can only shorten the time left. */
typedef void gate_drained_fn(void *owner);
void gate_drain(struct gate *gate, uint64_t timeout_ns, gate_drained_fn *drained, void *owner);
/* After drained was called: joins the loop's thread, asserts that it closed clean, frees everything. */
void gate_close(struct gate *gate);

#endif
