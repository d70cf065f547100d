/* subject - the core under measurement: a gate with one pool of `echo`.
 * thread: main's.
 * owns:   the gate and the texts of its options.
 * fails:  ends the program: without it there is nothing to measure. */
#ifndef BENCH_CORE_POOL_SUBJECT_H
#define BENCH_CORE_POOL_SUBJECT_H

#include "core/gate.h"
#include "tests/bench/core_pool/plan.h"

#include <limits.h>
#include <stdatomic.h>

struct subject {
    struct gate *gate;
    struct pool_options pool;
    char worker_program[PATH_MAX], plugin_folder[PATH_MAX];
    char work_ms[24];
    struct pair args[1];
    _Atomic uint32_t drained; /* 1 once it was */
};

/* Returns when all slots can serve; capacity: requests that can wait. */
void subject_open(struct subject *subject, const struct plan *plan, uint32_t capacity);
/* Answers what is left with SHUTTING_DOWN, stops the slots, but does not free anything. */
void subject_drain(struct subject *subject);
void subject_close(struct subject *subject); /* drains where that was not done */
/* How many requests wait, as of the last snapshot. */
uint32_t subject_waiting(struct subject *subject);

void pause_ns(uint64_t ns);

#endif
