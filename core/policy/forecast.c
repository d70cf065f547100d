#include "core/policy/forecast.h"

#include <assert.h>

#define SECOND_NS     1e9
#define LOOK_LEAST_NS UINT64_C(1000000)
#define USE           0.8  /* of a slot: above it, waiting grows out of proportion */
#define NOTHING       0.01 /* of a slot: so rare a request is not worth a slot in advance */

/* How much a look counts that covers so many seconds: the smoothing factor at one second, nearly nothing
 * for a blink, nearly all for an hour. (The implicit Euler step of the same decay.) */
static double weight(double smoothing, double seconds) {
    return smoothing * seconds / (smoothing * seconds + 1 - smoothing);
}

static double not_negative(double value) {
    return value > 0 ? value : 0;
}

void forecast_arrival(struct forecast *forecast) {
    forecast->arrivals++;
}

/* Holt 1957: the level moves from where it was expected towards what was seen, the trend towards the
 * level's last move. */
static void smooth(struct forecast *forecast, double rate, double seconds) {
    double before = forecast->level;
    double expected = not_negative(before + forecast->trend * seconds);
    double level = weight(FORECAST_LEVEL, seconds), trend = weight(FORECAST_TREND, seconds);
    forecast->level = expected + level * (rate - expected);
    forecast->trend += trend * ((forecast->level - before) / seconds - forecast->trend);
}

void forecast_look(struct forecast *forecast, uint64_t now_ns) {
    if (forecast->looked_ns == 0) {
        /* Nobody knows in which time these came. */
        forecast->looked_ns = now_ns;
        forecast->arrivals = 0;
        return;
    }
    if (now_ns < forecast->looked_ns + LOOK_LEAST_NS) return;
    double seconds = (double)(now_ns - forecast->looked_ns) / SECOND_NS;
    double rate = (double)forecast->arrivals / seconds;
    if (forecast->looks == 0)
        forecast->level = rate;
    else
        smooth(forecast, rate, seconds);
    if (forecast->looks < UINT32_MAX) forecast->looks++;
    forecast->looked_ns = now_ns;
    forecast->arrivals = 0;
}

double forecast_rate(const struct forecast *forecast, uint64_t horizon_ns) {
    return not_negative(forecast->level + forecast->trend * ((double)horizon_ns / SECOND_NS));
}

/* What rounding has added to a whole number does not cost a slot. */
static uint32_t round_up(double value) {
    value -= 1e-9;
    if (value <= 0) return 0;
    if (value >= UINT32_MAX) return UINT32_MAX;
    uint32_t whole = (uint32_t)value;
    return whole < value ? whole + 1 : whole;
}

uint32_t forecast_slots(double rate, uint64_t mean_run_ns, uint32_t inflight, uint32_t waiting,
                        uint64_t horizon_ns) {
    assert(inflight > 0);
    if (mean_run_ns == 0) return 0;
    double run_ns = (double)mean_run_ns;
    double running = not_negative(rate) * run_ns / SECOND_NS; /* Little 1961 */
    if (running < NOTHING) running = 0;
    /* Within less than one run a place takes one of those that wait, not more. */
    double span_ns = horizon_ns > mean_run_ns ? (double)horizon_ns : run_ns;
    return round_up((running / USE + waiting * (run_ns / span_ns)) / inflight);
}
