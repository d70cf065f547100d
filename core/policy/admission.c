#include "core/policy/admission.h"

#include "core/base/clock.h"
#include "core/policy/stats.h"

void admission_init(struct admission *admission, uint32_t capacity, uint32_t reserve,
                    uint64_t bytes_limit, uint64_t seed) {
    *admission = (struct admission){
        .capacity = capacity, .reserve = reserve, .bytes_limit = bytes_limit, .seed = seed};
}

void admission_tune(struct admission *admission, uint32_t capacity, uint32_t reserve,
                    uint64_t bytes_limit) {
    /* What shrinks goes first: in between no more is let in than before or after. */
    bool shrinks = capacity < atomic_load_explicit(&admission->capacity, memory_order_relaxed);
    if (shrinks) atomic_store(&admission->capacity, capacity);
    atomic_store(&admission->reserve, reserve);
    if (!shrinks) atomic_store(&admission->capacity, capacity);
    atomic_store_explicit(&admission->bytes_limit, bytes_limit, memory_order_relaxed);
}

void admission_update(struct admission *admission, const struct admission_view *view) {
    atomic_store_explicit(&admission->places, view->places, memory_order_relaxed);
    atomic_store_explicit(&admission->ceiling, view->ceiling, memory_order_relaxed);
    atomic_store_explicit(&admission->mean_run_ns, view->mean_run_ns, memory_order_relaxed);
    for (int i = 0; i < PRIORITY_COUNT; i++)
        atomic_store_explicit(&admission->needs_ns[i], view->needs_ns[i], memory_order_relaxed);
    atomic_store(&admission->refusal_until_ns, view->refusal_until_ns);
    if (atomic_load_explicit(&admission->refusal, memory_order_relaxed) != (int)view->refusal)
        atomic_store(&admission->refusal, (int)view->refusal);
}

/* FNV-1a (Fowler, Noll, Vo) from a seed of this process, so that nobody can aim for another's place. */
static _Atomic uint32_t *holdings(struct admission *admission, const char *tenant) {
    uint64_t hash = admission->seed ^ UINT64_C(0xcbf29ce484222325);
    for (; *tenant != '\0'; tenant++)
        hash = (hash ^ (unsigned char)*tenant) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    return &admission->holds[hash & (ADMISSION_TENANTS - 1)];
}

static bool below_its_share(struct admission *admission, const char *tenant, uint32_t limit) {
    uint32_t holds = atomic_load_explicit(holdings(admission, tenant), memory_order_relaxed);
    uint32_t sharers = atomic_load_explicit(&admission->tenants, memory_order_relaxed);
    if (holds == 0) sharers++;
    return sharers > 1 && (uint64_t)holds * sharers < limit;
}

static uint32_t limit_for(struct admission *admission, const struct admission_ask *ask,
                          uint32_t permits) {
    uint32_t limit = atomic_load_explicit(&admission->capacity, memory_order_relaxed) +
                     atomic_load_explicit(&admission->places, memory_order_relaxed);
    uint32_t reserve = atomic_load_explicit(&admission->reserve, memory_order_relaxed);
    uint32_t ceiling = atomic_load_explicit(&admission->ceiling, memory_order_relaxed);
    if (ceiling > 0) return ceiling < limit ? ceiling : limit;
    if (permits < limit || reserve == 0) return limit;
    bool favoured =
        ask->priority <= PRIORITY_HIGH || below_its_share(admission, ask->tenant, limit);
    return favoured ? limit + reserve : limit;
}

static enum outcome refusal_of(const struct admission *admission) {
    return (enum outcome)atomic_load(&admission->refusal);
}

bool admission_wants_time(const struct admission *admission, enum priority priority) {
    return atomic_load_explicit(&admission->needs_ns[priority], memory_order_relaxed) > 0;
}

static bool is_meetable(struct admission *admission, const struct admission_ask *ask) {
    uint64_t needs_ns =
        atomic_load_explicit(&admission->needs_ns[ask->priority], memory_order_relaxed);
    if (needs_ns == 0 || ask->deadline_ns == CLOCK_NEVER) return true;
    if (ask->deadline_ns >= clock_add(ask->now_ns, needs_ns)) return true;
    /* All that waits is another tenant's: this one may be next, which only the loop can say. */
    bool holds = atomic_load_explicit(holdings(admission, ask->tenant), memory_order_relaxed) > 0;
    return !holds && atomic_load_explicit(&admission->tenants, memory_order_relaxed) > 0;
}

/* A half-open breaker lets in no more than its probes: what is above is still its refusal. */
static enum outcome full(struct admission *admission) {
    bool probing = atomic_load_explicit(&admission->ceiling, memory_order_relaxed) > 0;
    return probing ? CIRCUIT_OPEN : QUEUE_FULL;
}

static enum outcome count(struct admission *admission, enum outcome outcome) {
    if (outcome == CIRCUIT_OPEN) atomic_fetch_add(&admission->refused, 1);
    if (outcome == DEADLINE_UNMEETABLE) atomic_fetch_add(&admission->unmeetable, 1);
    return outcome;
}

/* The refusals in their order; what is full comes before what is late. */
static enum outcome look(struct admission *admission, const struct admission_ask *ask) {
    enum outcome refusal = refusal_of(admission);
    if (refusal != OK) return refusal;
    uint32_t permits = atomic_load(&admission->permits);
    if (permits >= limit_for(admission, ask, permits)) return full(admission);
    return is_meetable(admission, ask) ? OK : DEADLINE_UNMEETABLE;
}

enum outcome admission_look(struct admission *admission, const struct admission_ask *ask) {
    return count(admission, look(admission, ask));
}

static void hold(struct admission *admission, const char *tenant) {
    if (atomic_fetch_add(holdings(admission, tenant), 1) == 0)
        atomic_fetch_add(&admission->tenants, 1);
}

enum outcome admission_take(struct admission *admission, const struct admission_ask *ask) {
    enum outcome refusal = look(admission, ask);
    if (refusal != OK) return count(admission, refusal);
    uint32_t permits = atomic_load(&admission->permits);
    do {
        if (permits >= limit_for(admission, ask, permits)) return count(admission, full(admission));
    } while (!atomic_compare_exchange_weak(&admission->permits, &permits, permits + 1));
    hold(admission, ask->tenant);
    /* Whoever began to refuse meanwhile either sees this permit or is seen here. */
    refusal = refusal_of(admission);
    if (refusal != OK) admission_give_back(admission, ask->tenant);
    return count(admission, refusal);
}

void admission_give_back(struct admission *admission, const char *tenant) {
    if (atomic_fetch_sub(holdings(admission, tenant), 1) == 1)
        atomic_fetch_sub(&admission->tenants, 1);
    atomic_fetch_sub(&admission->permits, 1);
}

enum outcome admission_charge(struct admission *admission, uint64_t bytes) {
    uint64_t held = atomic_load(&admission->bytes);
    uint64_t limit = atomic_load_explicit(&admission->bytes_limit, memory_order_relaxed);
    do {
        if (bytes > limit || held > limit - bytes) return QUEUE_FULL;
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
