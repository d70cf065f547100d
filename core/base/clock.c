#include "core/base/clock.h"

#include <string.h>
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

/* Whole seconds are written once and kept: a busy log asks for the same one thousands of times. */
static const char *seconds_text(time_t seconds) {
    static _Thread_local struct {
        time_t seconds;
        char text[CLOCK_TEXT_BYTES];
    } kept;
    if (kept.text[0] != '\0' && kept.seconds == seconds) return kept.text;
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(kept.text, sizeof kept.text, "%Y-%m-%dT%H:%M:%S", &parts);
    kept.seconds = seconds;
    return kept.text;
}

void clock_text(uint64_t monotonic_ns, char text[CLOCK_TEXT_BYTES]) {
    uint64_t wall_ns = clock_wall_ns(monotonic_ns);
    const char *seconds = seconds_text((time_t)(wall_ns / CLOCK_S));
    unsigned ms = (unsigned)(wall_ns % CLOCK_S / CLOCK_MS);
    const char fraction[] = {
        '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', '\0'};
    char *end = stpncpy(text, seconds, CLOCK_TEXT_BYTES - sizeof fraction);
    memcpy(end, fraction, sizeof fraction);
}

uint64_t clock_add(uint64_t a_ns, uint64_t b_ns) {
    return a_ns > CLOCK_NEVER - b_ns ? CLOCK_NEVER : a_ns + b_ns;
}
