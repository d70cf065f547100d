#include "core/policy/admission.h"

#include "core/base/clock.h"
#include "core/policy/stats.h"

void admission_init(struct admission *admission, uint32_t capacity, uint32_t reserve,
                    uint64_t bytes_limit) {
    *admission =
        (struct admission){.capacity = capacity, .reserve = reserve, .bytes_limit = bytes_limit};
}

void admission_update(struct admission *admission, uint32_t places, uint64_t mean_run_ns,
                      enum outcome refusal, uint64_t refusal_until_ns) {
    atomic_store(&admission->places, places);
    atomic_store(&admission->mean_run_ns, mean_run_ns);
    atomic_store(&admission->refusal_until_ns, refusal_until_ns);
    atomic_store(&admission->refusal, (int)refusal);
}

static uint32_t limit(const struct admission *admission, enum priority priority) {
    uint32_t places = atomic_load_explicit(&admission->places, memory_order_relaxed);
    uint32_t reserve = priority <= PRIORITY_HIGH ? admission->reserve : 0;
    return admission->capacity + places + reserve;
}

enum outcome admission_look(const struct admission *admission, enum priority priority) {
    enum outcome refusal = (enum outcome)atomic_load(&admission->refusal);
    if (refusal != OK) return refusal;
    return atomic_load(&admission->permits) < limit(admission, priority) ? OK : QUEUE_FULL;
}

enum outcome admission_take(struct admission *admission, enum priority priority) {
    enum outcome refusal = (enum outcome)atomic_load(&admission->refusal);
    if (refusal != OK) return refusal;
    uint32_t permits = atomic_load(&admission->permits);
    do {
        if (permits >= limit(admission, priority)) return QUEUE_FULL;
    } while (!atomic_compare_exchange_weak(&admission->permits, &permits, permits + 1));
    /* Whoever began to refuse meanwhile either sees this permit or is seen here. */
    refusal = (enum outcome)atomic_load(&admission->refusal);
    if (refusal != OK) admission_give_back(admission);
    return refusal;
}

void admission_give_back(struct admission *admission) {
    atomic_fetch_sub(&admission->permits, 1);
}

enum outcome admission_charge(struct admission *admission, uint64_t bytes) {
    uint64_t held = atomic_load(&admission->bytes);
    do {
        if (bytes > admission->bytes_limit || held > admission->bytes_limit - bytes)
            return QUEUE_FULL;
    } while (!atomic_compare_exchange_weak(&admission->bytes, &held, held + bytes));
    return OK;
}

void admission_uncharge(struct admission *admission, uint64_t bytes) {
    atomic_fetch_sub(&admission->bytes, bytes);
}

uint64_t admission_retry_after(const struct admission *admission, enum outcome refusal,
                               uint64_t now_ns) {
    uint64_t until_ns = atomic_load(&admission->refusal_until_ns);
    uint64_t mean_ns = atomic_load(&admission->mean_run_ns);
    uint64_t wait_ns = 0;
    if (refusal == QUEUE_FULL) /* one place is free again after one run, on average */
        wait_ns = stats_expected_wait(mean_ns, 0, atomic_load(&admission->places));
    else if (until_ns > now_ns)
        wait_ns = until_ns - now_ns;
    return wait_ns < CLOCK_MS ? CLOCK_MS : wait_ns;
}
