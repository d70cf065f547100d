#include "core/base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * CLOCK_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_now_ns(void) {
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(uint64_t monotonic_ns) {
    return read_clock(CLOCK_REALTIME) - (clock_now_ns() - monotonic_ns);
}

void clock_text(uint64_t monotonic_ns, char text[CLOCK_TEXT_BYTES]) {
    uint64_t wall_ns = clock_wall_ns(monotonic_ns);
    time_t seconds = (time_t)(wall_ns / CLOCK_S);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t length = strftime(text, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + length, CLOCK_TEXT_BYTES - length, ".%03uZ",
             (unsigned)(wall_ns % CLOCK_S / CLOCK_MS));
}

uint64_t clock_add(uint64_t a_ns, uint64_t b_ns) {
    return a_ns > CLOCK_NEVER - b_ns ? CLOCK_NEVER : a_ns + b_ns;
}
