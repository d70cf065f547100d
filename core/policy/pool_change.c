#include "core/policy/pool_change.h"

#include <assert.h>
#include <string.h>

/* A new option: say below whether a pool can take it up while it runs. */
static_assert(sizeof(void *) != 8 || sizeof(struct pool_options) == 360,
              "pool_options has changed");

static bool same_text(const char *a, const char *b) {
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static bool same_texts(const char *const *a, const char *const *b) {
    if (a == NULL || b == NULL) return a == b;
    for (; *a != NULL && *b != NULL; a++, b++)
        if (!same_text(*a, *b)) return false;
    return *a == *b;
}

static bool same_list(const char *const *a, size_t a_count, const char *const *b, size_t b_count) {
    if (a_count != b_count) return false;
    for (size_t i = 0; i < a_count; i++)
        if (!same_text(a[i], b[i])) return false;
    return true;
}

static bool same_pairs(const struct pair *a, size_t a_count, const struct pair *b, size_t b_count) {
    if (a_count != b_count) return false;
    for (size_t i = 0; i < a_count; i++)
        if (!same_text(a[i].name, b[i].name) || !same_text(a[i].value, b[i].value)) return false;
    return true;
}

static bool same_worker(const struct worker_options *a, const struct worker_options *b) {
    return same_text(a->plugin, b->plugin) && same_texts(a->command, b->command) &&
           same_pairs(a->args, a->args_count, b->args, b->args_count) &&
           same_list(a->env_pass, a->env_pass_count, b->env_pass, b->env_pass_count) &&
           same_pairs(a->env_set, a->env_set_count, b->env_set, b->env_set_count);
}

/* What a worker is told when it starts, and what its slot is made for. */
static bool same_make(const struct pool_options *a, const struct pool_options *b) {
    return same_text(a->name, b->name) && same_worker(&a->worker, &b->worker) &&
           a->isolation == b->isolation && a->inflight == b->inflight && a->staged == b->staged &&
           same_text(a->cpus, b->cpus) && a->queue.batch_max == b->queue.batch_max &&
           same_text(a->chaos, b->chaos) && a->max_reply_bytes == b->max_reply_bytes;
}

static bool fits(const struct pool_options *built, const struct pool_options *wanted) {
    uint64_t room = (uint64_t)built->queue.capacity + built->queue.reserve;
    return wanted->slots_max <= built->slots_max &&
           (uint64_t)wanted->queue.capacity + wanted->queue.reserve <= room &&
           (wanted->queue.dedup_ns == 0 || built->queue.dedup_ns > 0);
}

static bool same_weights(const struct pool_options *a, const struct pool_options *b) {
    if (a->queue.weights_count != b->queue.weights_count) return false;
    for (size_t i = 0; i < a->queue.weights_count; i++)
        if (a->queue.weights[i].weight != b->queue.weights[i].weight ||
            !same_text(a->queue.weights[i].tenant, b->queue.weights[i].tenant))
            return false;
    return true;
}

static bool same_queue(const struct pool_options *a, const struct pool_options *b) {
    return a->queue.capacity == b->queue.capacity && a->queue.reserve == b->queue.reserve &&
           a->queue.bytes == b->queue.bytes && a->queue.aging_ns == b->queue.aging_ns &&
           a->queue.dedup_ns == b->queue.dedup_ns && a->queue.fair == b->queue.fair &&
           a->queue.overload == b->queue.overload && same_weights(a, b) &&
           a->queue.batch_delay_ns == b->queue.batch_delay_ns;
}

static bool same_times(const struct pool_options *a, const struct pool_options *b) {
    return a->timeouts.load_ns == b->timeouts.load_ns &&
           a->timeouts.request_ns == b->timeouts.request_ns &&
           a->timeouts.max_ns == b->timeouts.max_ns && a->timeouts.idle_ns == b->timeouts.idle_ns &&
           a->timeouts.cancel_ns == b->timeouts.cancel_ns &&
           a->timeouts.kill_ns == b->timeouts.kill_ns;
}

static bool same_care(const struct pool_options *a, const struct pool_options *b) {
    return a->health.interval_ns == b->health.interval_ns &&
           a->health.timeout_ns == b->health.timeout_ns && a->health.misses == b->health.misses &&
           a->health.deep_ns == b->health.deep_ns && a->breaker.failures == b->breaker.failures &&
           a->breaker.open_ns == b->breaker.open_ns && a->breaker.probes == b->breaker.probes &&
           a->breaker.successes == b->breaker.successes &&
           a->recycle.requests == b->recycle.requests &&
           a->recycle.memory_bytes == b->recycle.memory_bytes;
}

static bool same_numbers(const struct pool_options *a, const struct pool_options *b) {
    return same_text(a->capability, b->capability) && a->slots_min == b->slots_min &&
           a->slots_max == b->slots_max && a->memory_bytes == b->memory_bytes && same_queue(a, b) &&
           same_times(a, b) && a->required == b->required && same_care(a, b) &&
           a->scale.policy == b->scale.policy && a->scale.interval_ns == b->scale.interval_ns &&
           a->retry_crashes == b->retry_crashes && a->pick == b->pick;
}

enum pool_change pool_change_of(const struct pool_options *built, const struct pool_options *now,
                                const struct pool_options *wanted) {
    if (!same_make(now, wanted)) return POOL_REPLACED;
    if (same_numbers(now, wanted)) return POOL_SAME;
    return fits(built, wanted) ? POOL_TUNED : POOL_REPLACED;
}
