/* reactor - the pool loop: a thread with one libuv loop that feeds the orchestrator and lets it act.
 * thread: open and close on one thread; send from any; everything else happens on the loop.
 * owns:   the orchestrator, the transports, the publisher, its channel.
 * fails:  reactor_open: MEMORY_EXHAUSTED, SPAWN_FAILED. submit, cancel: as channel_try_send. */
#ifndef CORE_REACTOR_H
#define CORE_REACTOR_H

#include "core/gate.h"
#include "core/orchestrator.h"
#include "core/publisher.h"
#include "core/question.h"
#include "core/reload.h"

struct reactor;

enum outcome reactor_open(struct reactor **out, const struct gate_options *options);
/* The event travels by value; a submitted request moves on OK. */
enum outcome reactor_submit(struct reactor *reactor, struct request *request);
enum outcome reactor_cancel(struct reactor *reactor, uint32_t pool, uint64_t id,
                            enum cancel_cause cause);
/* QUEUE_FULL: too many are under way. */
enum outcome reactor_order(struct reactor *reactor, struct pool_order *order);
enum outcome reactor_ask(struct reactor *reactor, struct question *question);
/* drained is called once on the loop, when nothing is live and no worker is left. */
void reactor_drain(struct reactor *reactor, uint64_t until_ns, gate_drained_fn *drained,
                   void *owner);
/* Applied before the loop sleeps, or refused as a whole: SHUTTING_DOWN, QUEUE_FULL (no place is free),
 * MEMORY_EXHAUSTED. Both are called on the loop: applied at once, before any pool acts on it; done when the
 * snapshot shows it, and has the order back. */
struct reload_order {
    struct reload *reload;
    void (*applied)(struct reload_order *order);
    void (*done)(struct reload_order *order, enum outcome outcome);
};
void reactor_reload(struct reactor *reactor, struct reload_order *order);
/* After drained: ends the loop, asserts that it closed clean, frees everything. */
void reactor_close(struct reactor *reactor);

/* Who holds the place, and how many places there are. */
_Atomic uint32_t *reactor_holds(struct reactor *reactor, uint32_t pool);
size_t reactor_places(const struct reactor *reactor);
uint64_t reactor_seed(const struct reactor *reactor);
struct admission *reactor_admission(struct reactor *reactor, uint32_t pool);
struct publisher *reactor_publisher(struct reactor *reactor);
struct event_stream *reactor_events(struct reactor *reactor);

#endif
