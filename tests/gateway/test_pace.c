#include "gateway/edge/pace.h"
#include "tests/support/suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define S UINT64_C(1000000000)

static const struct pace_rule rule = {.window_ns = 5 * S, .least_bytes = 5 * 1024};

static bool judge(struct pace *pace, uint64_t moved, bool owes, uint64_t now_ns) {
    const struct pace_sample sample = {.moved = moved, .owes = owes};
    return pace_judge(pace, &sample, &rule, now_ns);
}

START_TEST(a_window_below_the_rate_is_too_slow_and_not_before_it_is_over) {
    struct pace pace = {.since_ns = 0};
    for (uint64_t s = 0; s < 5; s++) ck_assert(!judge(&pace, 100 + s, true, (100 + s) * S));
    ck_assert(judge(&pace, 105, true, 105 * S));
}
END_TEST

START_TEST(the_rate_itself_is_enough_in_every_window) {
    struct pace pace = {.since_ns = 0};
    for (uint64_t s = 0; s < 60; s++) ck_assert(!judge(&pace, s * 1024, true, (100 + s) * S));
}
END_TEST

START_TEST(a_fast_beginning_does_not_pay_for_a_slow_end) {
    struct pace pace = {.since_ns = 0};
    ck_assert(!judge(&pace, 0, true, 100 * S));
    ck_assert(!judge(&pace, 1 << 30, true, 105 * S));
    ck_assert(judge(&pace, (1 << 30) + 100, true, 110 * S));
}
END_TEST

START_TEST(a_client_that_is_not_waited_for_cannot_be_slow) {
    struct pace pace = {.since_ns = 0};
    for (uint64_t s = 0; s < 30; s++) ck_assert(!judge(&pace, 7, s % 4 != 0, (100 + s) * S));
}
END_TEST

static void make_pair(int *near, int *far) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &bytes);
    *far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(*far, (struct sockaddr *)&address, sizeof address), 0);
    *near = accept(listener, NULL, NULL);
    ck_assert_int_ge(*near, 0);
    close(listener);
}

START_TEST(the_kernel_says_what_has_come_and_what_waits_to_be_taken) {
    int near, far;
    char bytes[1000] = {0};
    struct pace_sample sample;
    make_pair(&near, &far);
    ck_assert(pace_measure(near, PACE_SENDS, &sample));
    ck_assert(sample.owes && sample.moved == 0);
    ck_assert_int_eq(write(far, bytes, sizeof bytes), sizeof bytes);
    usleep(20000);
    ck_assert(pace_measure(near, PACE_SENDS, &sample));
    ck_assert(!sample.owes); /* it has been sent; who does not read is us */
    ck_assert_uint_eq(sample.moved, sizeof bytes);
    ck_assert_uint_lt(pace_silent_ms(near), 1000);
    ck_assert_int_eq(read(near, bytes, sizeof bytes), sizeof bytes);
    ck_assert(pace_measure(near, PACE_SENDS, &sample) && sample.owes);

    while (send(near, bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
    usleep(20000);
    ck_assert(pace_measure(near, PACE_TAKES, &sample));
    ck_assert(sample.owes && sample.moved > 0);
    close(near);
    close(far);
}
END_TEST

START_TEST(what_is_no_tcp_connection_is_not_measured) {
    int pair[2];
    struct pace_sample sample;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert(!pace_measure(pair[0], PACE_SENDS, &sample));
    ck_assert_uint_eq(pace_silent_ms(pair[0]), UINT32_MAX);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

SUITE("gateway/pace", 10, a_window_below_the_rate_is_too_slow_and_not_before_it_is_over,
      the_rate_itself_is_enough_in_every_window, a_fast_beginning_does_not_pay_for_a_slow_end,
      a_client_that_is_not_waited_for_cannot_be_slow,
      the_kernel_says_what_has_come_and_what_waits_to_be_taken,
      what_is_no_tcp_connection_is_not_measured)
