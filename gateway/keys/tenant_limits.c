#include "gateway/keys/tenant_limits.h"

#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTED 64

struct tenant_limits {
    struct names by_name;
    struct tenant_limit *all;
};

enum outcome tenant_limits_open(struct tenant_limits **out) {
    uint64_t seed = 0;
    *out = NULL;
    struct tenant_limits *limits = calloc(1, sizeof *limits);
    if (limits == NULL) return MEMORY_EXHAUSTED;
    if (secret_bytes() != NULL) memcpy(&seed, secret_bytes(), sizeof seed);
    if (names_init(&limits->by_name, EXPECTED, seed) != OK) {
        free(limits);
        return MEMORY_EXHAUSTED;
    }
    *out = limits;
    return OK;
}

void tenant_limits_close(struct tenant_limits *limits) {
    if (limits == NULL) return;
    while (limits->all != NULL) {
        struct tenant_limit *limit = limits->all;
        assert(atomic_load(&limit->under_way) == 0);
        limits->all = limit->next;
        free(limit);
    }
    names_free(&limits->by_name);
    free(limits);
}

struct tenant_limit *tenant_limits_find(struct tenant_limits *limits, const char *tenant) {
    size_t bytes = strlen(tenant);
    struct name *found = names_find(&limits->by_name, tenant, bytes);
    if (found != NULL) return LIST_ENTRY(found, struct tenant_limit, by_name);
    struct tenant_limit *limit = calloc(1, sizeof *limit + bytes + 1);
    if (limit == NULL) return NULL;
    memcpy(limit->tenant, tenant, bytes + 1);
    limit->by_name = (struct name){.text = limit->tenant, .bytes = bytes};
    names_add(&limits->by_name, &limit->by_name);
    limit->next = limits->all;
    limits->all = limit;
    return limit;
}

/* --- places --- */

static bool take_place(struct tenant_limit *limit, uint32_t most, struct tenant_quota *quota) {
    uint32_t taken = atomic_load_explicit(&limit->under_way, memory_order_relaxed);
    do {
        if (most > 0 && taken >= most) return false;
    } while (!atomic_compare_exchange_weak_explicit(&limit->under_way, &taken, taken + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    quota->places_left = most > taken ? most - taken - 1 : 0;
    return true;
}

void tenant_limit_give_back(struct tenant_limit *limit) {
    uint32_t before = atomic_fetch_sub_explicit(&limit->under_way, 1, memory_order_relaxed);
    assert(before > 0);
}

static void look_at_places(const struct tenant_limit *limit, struct tenant_quota *quota) {
    uint32_t taken = atomic_load_explicit(&limit->under_way, memory_order_relaxed);
    quota->places_left = taken < quota->places ? quota->places - taken : 0;
}

/* --- turns --- */

static uint32_t seconds_up(uint64_t ns) {
    return (uint32_t)(ns / CLOCK_S + (ns % CLOCK_S != 0 ? 1 : 0));
}

/* The bucket takes one more turn if it is then full no later than a whole bucket from now. */
static bool take_turn(struct tenant_limit *limit, const struct tenant_bounds *bounds,
                      uint64_t now_ns, struct tenant_quota *quota) {
    uint64_t interval_ns = CLOCK_S / bounds->rate, bucket_ns = interval_ns * bounds->burst;
    uint64_t full_ns = atomic_load_explicit(&limit->full_ns, memory_order_relaxed), next_ns;
    bool taken;
    do {
        uint64_t from_ns = full_ns > now_ns ? full_ns : now_ns;
        next_ns = from_ns + interval_ns;
        taken = next_ns - now_ns <= bucket_ns;
        if (!taken) {
            quota->retry_after_ns = next_ns - now_ns - bucket_ns;
            next_ns = from_ns;
            break;
        }
    } while (!atomic_compare_exchange_weak_explicit(&limit->full_ns, &full_ns, next_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    uint64_t used_ns = next_ns - now_ns;
    quota->remaining = used_ns < bucket_ns ? (uint32_t)((bucket_ns - used_ns) / interval_ns) : 0;
    quota->reset_s = seconds_up(used_ns);
    return taken;
}

enum outcome tenant_limit_take(struct tenant_limit *limit, const struct tenant_bounds *bounds,
                               enum tenant_taking taking, uint64_t now_ns,
                               struct tenant_quota *quota) {
    *quota = (struct tenant_quota){.limit = bounds->rate > 0 ? bounds->burst : 0,
                                   .places = bounds->concurrency};
    if (bounds->rate > 0) quota->window_s = seconds_up(CLOCK_S / bounds->rate * bounds->burst);
    look_at_places(limit, quota);
    if (taking == TENANT_PLACE && !take_place(limit, bounds->concurrency, quota))
        return RATE_LIMITED;
    if (bounds->rate == 0 || take_turn(limit, bounds, now_ns, quota)) return OK;
    quota->rate_used_up = true;
    if (taking == TENANT_PLACE) tenant_limit_give_back(limit);
    look_at_places(limit, quota);
    return RATE_LIMITED;
}
