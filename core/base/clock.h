/* clock - monotonic time in nanoseconds, and the wall clock where people read it.
 * thread: any. Policies never call it: they are given `now_ns`.
 * owns:   nothing.
 * fails:  never. */
#ifndef CORE_BASE_CLOCK_H
#define CORE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define CLOCK_US    UINT64_C(1000)
#define CLOCK_MS    UINT64_C(1000000)
#define CLOCK_S     UINT64_C(1000000000)
#define CLOCK_NEVER UINT64_MAX /* a time that does not come */

uint64_t clock_now_ns(void);
/* The wall clock's moment of a monotonic time, as nanoseconds since 1970. */
uint64_t clock_wall_ns(uint64_t monotonic_ns);
/* Writes RFC 3339 with milliseconds, UTC ("2026-01-31T12:00:00.000Z"). */
#define CLOCK_TEXT_BYTES 32
void clock_text(uint64_t monotonic_ns, char text[CLOCK_TEXT_BYTES]);
/* a + b, but never past CLOCK_NEVER. */
uint64_t clock_add(uint64_t a_ns, uint64_t b_ns);

#endif
