#include "core/policy/stats.h"

#include <string.h>

#define MS UINT64_C(1000000)
const uint64_t histogram_bounds_ns[HISTOGRAM_BUCKETS - 1] = {
    MS / 10,   MS / 4,     MS / 2,     MS,          5 * MS / 2, 5 * MS,    10 * MS,
    25 * MS,   50 * MS,    100 * MS,   250 * MS,    500 * MS,   1000 * MS, 2500 * MS,
    5000 * MS, 10000 * MS, 30000 * MS, 120000 * MS, 600000 * MS};

void histogram_add(struct histogram *histogram, uint64_t value_ns) {
    size_t bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS - 1 && value_ns > histogram_bounds_ns[bucket]) bucket++;
    histogram->buckets[bucket]++;
    histogram->count++;
    histogram->sum_ns += value_ns;
}

/* Values below 1,024 ns share bucket 0; above, 8 buckets per power of two. */
#define FIRST_POWER 10

static size_t recent_bucket(uint64_t value_ns) {
    if (value_ns < (UINT64_C(1) << FIRST_POWER)) return 0;
    unsigned power = 63u - (unsigned)__builtin_clzll(value_ns);
    size_t part = (size_t)(value_ns >> (power - 3)) & 7;
    size_t bucket = 1 + (size_t)(power - FIRST_POWER) * 8 + part;
    return bucket < RECENT_BUCKETS ? bucket : RECENT_BUCKETS - 1;
}

/* The upper edge of a bucket. */
static uint64_t recent_edge(size_t bucket) {
    if (bucket == 0) return UINT64_C(1) << FIRST_POWER;
    unsigned power = FIRST_POWER + (unsigned)((bucket - 1) / 8);
    uint64_t part = (bucket - 1) % 8;
    return (UINT64_C(1) << power) + ((part + 1) << (power - 3));
}

void recent_add(struct recent *recent, uint64_t value_ns, uint64_t now_ns) {
    if (now_ns - recent->started_ns >= RECENT_SPAN_NS) {
        /* After a silence both are too old. */
        if (now_ns - recent->started_ns >= 2 * RECENT_SPAN_NS) memset(recent, 0, sizeof *recent);
        recent->current ^= 1;
        memset(recent->counts[recent->current], 0, sizeof recent->counts[recent->current]);
        recent->started_ns = now_ns;
    }
    recent->counts[recent->current][recent_bucket(value_ns)]++;
}

static uint64_t quantile(const struct recent *recent, uint64_t total, unsigned permille) {
    uint64_t rank = (total * permille + 999) / 1000, seen = 0;
    for (size_t i = 0; i < RECENT_BUCKETS; i++) {
        seen += recent->counts[0][i] + (uint64_t)recent->counts[1][i];
        if (seen >= rank) return recent_edge(i);
    }
    return 0;
}

struct percentiles recent_percentiles(const struct recent *recent) {
    uint64_t total = 0;
    for (size_t i = 0; i < RECENT_BUCKETS; i++)
        total += recent->counts[0][i] + (uint64_t)recent->counts[1][i];
    if (total == 0) return (struct percentiles){0};
    return (struct percentiles){.p50_ns = quantile(recent, total, 500),
                                .p95_ns = quantile(recent, total, 950),
                                .p99_ns = quantile(recent, total, 990)};
}

void stats_answered(struct stats *stats, uint64_t queue_ns, uint64_t cold_ns, uint64_t run_ns,
                    uint64_t now_ns) {
    histogram_add(&stats->queue, queue_ns);
    if (cold_ns > 0) histogram_add(&stats->cold, cold_ns);
    histogram_add(&stats->run, run_ns);
    recent_add(&stats->queue_recent, queue_ns, now_ns);
    recent_add(&stats->run_recent, run_ns, now_ns);
    if (stats->runs < MEAN_RUNS) stats->runs++;
    int64_t mean_ns = (int64_t)stats->mean_run_ns;
    stats->mean_run_ns = (uint64_t)(mean_ns + ((int64_t)run_ns - mean_ns) / stats->runs);
    if (stats->mean_run_ns == 0) stats->mean_run_ns = 1; /* known, though it took no time */
}

uint64_t stats_expected_wait(uint64_t mean_run_ns, uint32_t waiting, uint32_t places) {
    if (places == 0) places = 1;
    uint64_t rounds = ((uint64_t)waiting + places) / places;
    return mean_run_ns > UINT64_MAX / rounds ? UINT64_MAX : mean_run_ns * rounds;
}
