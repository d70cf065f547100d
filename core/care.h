/* care - looking after a worker that lives: pings, deep checks, measures, recycling, its last moments.
 * thread: the pool loop.
 * owns:   nothing beyond the pool.
 * fails:  never. */
#ifndef CORE_CARE_H
#define CORE_CARE_H

#include "core/pool.h"

/* It has just become ready: when to look after it first. */
void care_begin(struct pool *pool, struct slot *slot, uint64_t now_ns);
/* Other intervals hold from now on. */
void care_tune(struct pool *pool, struct slot *slot, uint64_t now_ns);
/* Acts on every moment of the slot that has come. */
void care_tend(struct pool *pool, struct slot *slot, uint64_t now_ns);
/* One worker of the pool at a time that has served or grown enough gets no more work, and goes when its
 * last is done. */
void care_recycle(struct pool *pool, uint64_t now_ns);

/* What its transport reports of it. */
void care_pong(struct slot *slot, const struct transport_event *event, uint64_t now_ns);
void care_checked(struct pool *pool, struct slot *slot, const struct transport_event *event,
                  uint64_t now_ns);
void care_measured(struct pool *pool, struct slot *slot, uint64_t resident_bytes);

#endif
