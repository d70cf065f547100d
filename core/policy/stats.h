/* stats - what was measured of a pool: histograms for metrics, recent percentiles, the mean run time.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   nothing outside its struct.
 * fails:  never. */
#ifndef CORE_POLICY_STATS_H
#define CORE_POLICY_STATS_H

#include <stddef.h>
#include <stdint.h>

/* Upper bounds of the cumulative histogram in nanoseconds; the last bucket has none (+Inf). */
#define HISTOGRAM_BUCKETS 20
extern const uint64_t histogram_bounds_ns[HISTOGRAM_BUCKETS - 1];

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS]; /* not cumulative */
    uint64_t count, sum_ns;
};
void histogram_add(struct histogram *histogram, uint64_t value_ns);

struct percentiles {
    uint64_t p50_ns, p95_ns, p99_ns;
};

/* A log-linear sketch: 8 buckets per power of two, so a percentile is at most 12.5 % too high. Two
 * generations of RECENT_SPAN_NS each: what is reported covers the last one to two spans. */
#define RECENT_BUCKETS 320
#define RECENT_SPAN_NS UINT64_C(30000000000)
struct recent {
    uint32_t counts[2][RECENT_BUCKETS];
    uint64_t started_ns; /* of the current generation */
    uint32_t current;
};
void recent_add(struct recent *recent, uint64_t value_ns, uint64_t now_ns);
struct percentiles recent_percentiles(const struct recent *recent);

/* So many that a few runs that were slow by accident do not make the estimates of a wait. */
#define MEAN_RUNS 32

struct stats {
    struct histogram queue, cold, run, cancel;
    struct recent queue_recent, run_recent;
    uint64_t mean_run_ns; /* of the first MEAN_RUNS, then exponential; 0 before the first */
    uint32_t runs;        /* counted up to MEAN_RUNS */
};
void stats_answered(struct stats *stats, uint64_t queue_ns, uint64_t cold_ns, uint64_t run_ns,
                    uint64_t now_ns);
/* How long `waiting` requests take to start when `places` run at a time: 0 if nothing is known. */
uint64_t stats_expected_wait(uint64_t mean_run_ns, uint32_t waiting, uint32_t places);

#endif
