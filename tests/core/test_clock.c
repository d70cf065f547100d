/* clock: time that only grows, sums that never wrap, and a text that people read. */
#include "core/base/clock.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>
#include <time.h>

#define LOOKS   100000
#define NEAR_NS (5 * CLOCK_S) /* between two looks at a clock on a busy machine */

static uint64_t wall_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * CLOCK_S + (uint64_t)now.tv_nsec;
}

static uint64_t parse(const char *text) {
    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    ck_assert_ptr_nonnull(rest);
    unsigned milliseconds = 0;
    char zone = 0, more = 0;
    ck_assert_int_eq(sscanf(rest, ".%3u%c%c", &milliseconds, &zone, &more), 2);
    ck_assert_int_eq(zone, 'Z');
    return (uint64_t)timegm(&parts) * CLOCK_S + milliseconds * CLOCK_MS;
}

START_TEST(time_never_goes_back) {
    uint64_t last_ns = clock_now_ns();
    ck_assert_uint_gt(last_ns, 0);
    for (int i = 0; i < LOOKS; i++) {
        uint64_t now_ns = clock_now_ns();
        require(now_ns >= last_ns);
        last_ns = now_ns;
    }
}
END_TEST

START_TEST(now_is_now_on_the_wall) {
    uint64_t before_ns = wall_now_ns(), wall_ns = clock_wall_ns(clock_now_ns());
    ck_assert_uint_ge(wall_ns + NEAR_NS, before_ns);
    ck_assert_uint_le(wall_ns, wall_now_ns() + NEAR_NS);
}
END_TEST

START_TEST(a_moment_before_or_after_keeps_its_distance) {
    uint64_t now_ns = clock_now_ns();
    uint64_t earlier_ns = clock_wall_ns(now_ns - 1),
             later_ns = clock_wall_ns(now_ns + 3600 * CLOCK_S);
    ck_assert_uint_ge(later_ns - earlier_ns, 3600 * CLOCK_S - NEAR_NS);
    ck_assert_uint_le(later_ns - earlier_ns, 3600 * CLOCK_S + NEAR_NS);
}
END_TEST

START_TEST(the_text_is_rfc_3339_with_milliseconds) {
    char text[CLOCK_TEXT_BYTES];
    uint64_t before_ns = wall_now_ns();
    clock_text(clock_now_ns(), text);
    ck_assert_uint_eq(strlen(text), strlen("2026-01-31T12:00:00.000Z"));
    ck_assert_uint_ge(parse(text) + CLOCK_MS, before_ns);
    ck_assert_uint_le(parse(text), wall_now_ns() + NEAR_NS);
}
END_TEST

START_TEST(the_text_of_every_millisecond_has_three_digits) {
    uint64_t now_ns = clock_now_ns();
    for (uint64_t i = 0; i < 1000; i++) {
        char text[CLOCK_TEXT_BYTES];
        clock_text(now_ns + i * CLOCK_MS, text);
        ck_assert_uint_eq(strlen(text), 24);
        ck_assert_int_eq(text[19], '.');
        ck_assert_int_eq(text[23], 'Z');
    }
}
END_TEST

START_TEST(sums_stop_at_never) {
    ck_assert_uint_eq(clock_add(1, 2), 3);
    ck_assert_uint_eq(clock_add(0, 0), 0);
    ck_assert_uint_eq(clock_add(CLOCK_NEVER, 0), CLOCK_NEVER);
    ck_assert_uint_eq(clock_add(CLOCK_NEVER - 1, 1), CLOCK_NEVER);
    ck_assert_uint_eq(clock_add(CLOCK_NEVER - 1, 2), CLOCK_NEVER);
    ck_assert_uint_eq(clock_add(CLOCK_NEVER, CLOCK_NEVER), CLOCK_NEVER);
    ck_assert_uint_eq(clock_add(2, CLOCK_NEVER - 2), CLOCK_NEVER);
    ck_assert_uint_eq(clock_add(2, CLOCK_NEVER - 3), CLOCK_NEVER - 1);
}
END_TEST

SUITE("core/clock", 30, time_never_goes_back, now_is_now_on_the_wall,
      a_moment_before_or_after_keeps_its_distance, the_text_is_rfc_3339_with_milliseconds,
      the_text_of_every_millisecond_has_three_digits, sums_stop_at_never)
