/* admission - permits and bytes: what a pool lets in, decided before anything enters its channel.
 * thread: take, give_back, charge and uncharge from any thread; the setters by the pool loop.
 * owns:   nothing outside its struct. A permit is taken at admission and given back before done.
 * fails:  take: the pool's refusal or QUEUE_FULL; charge: QUEUE_FULL. Exact under any race. */
#ifndef CORE_POLICY_ADMISSION_H
#define CORE_POLICY_ADMISSION_H

#include "core/base/outcome.h"
#include "core/base/request.h"

#include <stdatomic.h>
#include <stdint.h>

struct admission {
    uint32_t capacity, reserve;        /* constant */
    uint64_t bytes_limit;              /* constant */
    _Atomic uint32_t permits;          /* out now */
    _Atomic uint32_t places;           /* inflight of the slots that can work now */
    _Atomic uint64_t bytes;            /* charged now */
    _Atomic int refusal;               /* OK: open; else the outcome that everybody gets */
    _Atomic uint64_t refusal_until_ns; /* when trying again may help; 0: not known */
    _Atomic uint64_t mean_run_ns;
};

void admission_init(struct admission *admission, uint32_t capacity, uint32_t reserve,
                    uint64_t bytes_limit);
/* The loop's view: how much can work now, how fast, and what is refused. */
void admission_update(struct admission *admission, uint32_t places, uint64_t mean_run_ns,
                      enum outcome refusal, uint64_t refusal_until_ns);
/* Would take succeed now? Takes nothing. */
enum outcome admission_look(const struct admission *admission, enum priority priority);
/* Limit = capacity + places, plus the reserve for critical and high. */
enum outcome admission_take(struct admission *admission, enum priority priority);
void admission_give_back(struct admission *admission);
enum outcome admission_charge(struct admission *admission, uint64_t bytes);
void admission_uncharge(struct admission *admission, uint64_t bytes);
/* Advice after a refusal: when, from now, it is worth trying again. At least 1 ms. */
uint64_t admission_retry_after(const struct admission *admission, enum outcome refusal,
                               uint64_t now_ns);

#endif
