/* life - the life of a worker in its slot: start, load, ready, stop, end. Its care is care.h's.
 * thread: the pool loop.
 * owns:   nothing beyond the pool.
 * fails:  never: a start that fails is an end like any other. */
#ifndef CORE_LIFE_H
#define CORE_LIFE_H

#include "core/pool.h"
#include "core/work.h"

/* A dead slot gets a worker; its room must have been reserved. */
void life_start(struct pool *pool, struct slot *slot, uint64_t now_ns);
/* What its transport reports, replies and errors included. random: uniform, for the back-off. */
void life_event(struct pool *pool, struct slot *slot, const struct transport_event *event,
                uint32_t random, uint64_t now_ns);
/* Ends a worker that has no work: asked first, then told, then killed. Nothing if it is ending. */
void life_stop(struct pool *pool, struct slot *slot, enum reason why, uint64_t now_ns);
/* Ends a worker now, whatever it does. Its work must have been taken from it. */
void life_kill(struct pool *pool, struct slot *slot, enum reason why, uint64_t now_ns);
/* A worker that works on for nobody: failed, terminated, killed after timeouts.kill. */
void life_terminate(struct pool *pool, struct slot *slot, enum reason why, uint64_t now_ns);
/* A worker that cannot be reached or trusted: failed, its work lost, killed at once. */
void life_condemn(struct pool *pool, struct slot *slot, enum reason why, enum blame blame,
                  uint64_t now_ns);
/* A worker exists or is on its way. */
bool life_alive(const struct slot *slot);
/* Its last load has failed and it may not be tried again yet. */
bool life_backs_off(const struct slot *slot, uint64_t now_ns);

#endif
