/* admission - permits and bytes: what a pool lets in, decided before anything enters its channel.
 * thread: take, give_back, charge and uncharge from any thread; the setters by the pool loop.
 * owns:   nothing outside its struct. A permit is taken at admission and given back before done.
 * fails:  take: the pool's refusal, QUEUE_FULL, DEADLINE_UNMEETABLE; charge: QUEUE_FULL. Exact under
 *         any race. */
#ifndef CORE_POLICY_ADMISSION_H
#define CORE_POLICY_ADMISSION_H

#include "core/base/outcome.h"
#include "core/base/request.h"

#include <stdatomic.h>
#include <stdint.h>

#define ADMISSION_TENANTS 1024 /* tenants are told apart by a hash to so many; a power of two */

/* The loop's view: how much can work now, how fast, and what is refused. */
struct admission_view {
    uint32_t places;           /* inflight of the slots that can work now */
    uint32_t ceiling;          /* permits at most, whatever the capacity; 0: no such bound */
    uint64_t mean_run_ns;      /* 0: nothing is known */
    enum outcome refusal;      /* OK: open; else the outcome that everybody gets */
    uint64_t refusal_until_ns; /* when trying again may help; 0: not known */
    /* From now to the end of a run for a newcomer of each class: what its deadline must leave. 0: not
     * known, or not to be looked at here. Not for a tenant that holds
     * nothing while others do: it may be next, which only the loop can say. */
    uint64_t needs_ns[PRIORITY_COUNT];
};

struct admission {
    uint64_t seed;                      /* constant: of the tenants' hash */
    _Atomic uint32_t capacity, reserve; /* constant but for admission_tune */
    _Atomic uint64_t bytes_limit;
    _Atomic uint32_t permits; /* out now */
    _Atomic uint64_t bytes;   /* charged now */
    _Atomic uint32_t tenants; /* with permits out */
    _Atomic uint32_t holds[ADMISSION_TENANTS];
    _Atomic uint32_t places, ceiling;
    _Atomic int refusal;
    _Atomic uint64_t refusal_until_ns, mean_run_ns, needs_ns[PRIORITY_COUNT];
    _Atomic uint64_t refused; /* by the pool's refusal while it is CIRCUIT_OPEN, in all */
    _Atomic uint64_t unmeetable;
};

/* Who asks. */
struct admission_ask {
    enum priority priority;
    const char *tenant;   /* "" when none was named */
    uint64_t deadline_ns; /* CLOCK_NEVER: none */
    uint64_t now_ns;
};

void admission_init(struct admission *admission, uint32_t capacity, uint32_t reserve,
                    uint64_t bytes_limit, uint64_t seed);
/* Other limits from now on; what is out above them comes back in time. */
void admission_tune(struct admission *admission, uint32_t capacity, uint32_t reserve,
                    uint64_t bytes_limit);
void admission_update(struct admission *admission, const struct admission_view *view);
/* Would take succeed now? Takes nothing. */
enum outcome admission_look(struct admission *admission, const struct admission_ask *ask);
/* Limit = capacity + places; the reserve on top is for critical and high, and for a tenant that holds
 * less than its share of the limit (the limit by the tenants that hold permits, itself included). */
enum outcome admission_take(struct admission *admission, const struct admission_ask *ask);
/* Whether it matters what time it is: else now_ns of who asks may be 0, which is early enough. */
bool admission_wants_time(const struct admission *admission, enum priority priority);
void admission_give_back(struct admission *admission, const char *tenant);
enum outcome admission_charge(struct admission *admission, uint64_t bytes);
void admission_uncharge(struct admission *admission, uint64_t bytes);
/* Advice after a refusal: when, from now, it is worth trying again. At least 1 ms. */
uint64_t admission_retry_after(const struct admission *admission, enum outcome refusal,
                               uint64_t now_ns);

#endif
