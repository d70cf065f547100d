/* plan - what the command line asked for.
 * thread: constant once it was read. owns: nothing. fails: plan_read ends the program with 2. */
#ifndef BENCH_CORE_POOL_PLAN_H
#define BENCH_CORE_POOL_PLAN_H

#include "core/policy/pool_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan {
    const char *measure; /* name of the measure to run */
    const char *build;   /* holds poolgate-worker and workers/ */
    enum isolation isolation;
    uint32_t slots, staged, callers, caller_threads, tenants, waiting, trials;
    double seconds;
    uint64_t work_ms; /* how long a worker sleeps over a request; 0: answers at once */
    uint64_t deadline_ns;
    bool fair;
    uint64_t aging_ns, dedup_ns;
    enum overload overload;
    const char *factors; /* of the capacity, for the measure of overload */
    uint64_t seed;
    bool json;
};

void plan_read(struct plan *plan, int argc, char **argv);
const char *isolation_name(enum isolation isolation);
const char *overload_name(enum overload overload);

/* Ends the program with 1: the measurement is not valid. */
_Noreturn void invalid(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The value below which `share` of them lie (nearest rank); sorts them. 0 of none. */
double percentile(double *values, size_t count, double share);

/* The measures. Each prints its table, or with --json one line for each of its results. */
void measure_rate(const struct plan *plan);
void measure_memory(const struct plan *plan);
void measure_jump(const struct plan *plan);
void measure_cancel(const struct plan *plan);
void measure_overload(const struct plan *plan);

#endif
