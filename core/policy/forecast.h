/* forecast - how many requests will arrive, and how many slots that takes.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   nothing outside its struct.
 * fails:  never.
 *
 * Holt's double exponential smoothing (Holt 1957) of the arrivals per second, looked at once an
 * interval, so level and trend; Little's law (1961) turns a rate and a run time into slots. The factors
 * hold for a look a second: a longer interval counts for more, a shorter one for less. */
#ifndef CORE_POLICY_FORECAST_H
#define CORE_POLICY_FORECAST_H

#include <stdint.h>

#define FORECAST_LEVEL 0.5 /* alpha */
#define FORECAST_TREND 0.3 /* beta */

struct forecast {
    double level, trend; /* arrivals a second; a second more each second */
    uint64_t arrivals;   /* since looked_ns */
    uint64_t looked_ns;  /* 0: never */
    uint32_t looks;
};

void forecast_arrival(struct forecast *forecast);
/* Folds in what came since the last look. The first only starts the clock; looks less than a millisecond
 * apart change nothing. */
void forecast_look(struct forecast *forecast, uint64_t now_ns);
/* Arrivals a second, horizon_ns from now; never negative. */
double forecast_rate(const struct forecast *forecast, uint64_t horizon_ns);
/* Slots that keep up with the rate at 80 % use, each running `inflight` at once, plus what the
 * `waiting` take within the horizon. Less than a hundredth of a slot is none; 0 when nothing is known
 * (mean_run_ns 0). inflight: at least 1. */
uint32_t forecast_slots(double rate, uint64_t mean_run_ns, uint32_t inflight, uint32_t waiting,
                        uint64_t horizon_ns);

#endif
