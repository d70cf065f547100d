#include "core/base/clock.h"
#include "gateway/process/notify.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME "poolgate-notify-test"

static int ear;
static struct notify notify;

static void arrange(const char *watchdog_us, const char *watchdog_pid) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, NAME, sizeof NAME - 1);
    ear = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t bytes = (socklen_t)(sizeof address.sun_family + sizeof NAME);
    ck_assert_int_eq(bind(ear, (struct sockaddr *)&address, bytes), 0);
    setenv("NOTIFY_SOCKET", "@" NAME, 1);
    if (watchdog_us != NULL) setenv("WATCHDOG_USEC", watchdog_us, 1);
    if (watchdog_pid != NULL) setenv("WATCHDOG_PID", watchdog_pid, 1);
    notify_open(&notify);
}

static void end(void) {
    notify_close(&notify);
    close(ear);
}

static const char *heard(void) {
    static char text[600];
    ssize_t bytes = recv(ear, text, sizeof text - 1, 0);
    text[bytes > 0 ? bytes : 0] = '\0';
    return text;
}

START_TEST(what_is_said_is_one_message_and_the_environment_forgets_the_socket) {
    arrange(NULL, NULL);
    ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
    ck_assert(notify_say(&notify, "READY=%d\nSTATUS=%s", 1, "here"));
    ck_assert_str_eq(heard(), "READY=1\nSTATUS=here");
    ck_assert_str_eq(heard(), "");
    end();
}
END_TEST

START_TEST(without_a_socket_nothing_is_said_and_nothing_fails) {
    unsetenv("NOTIFY_SOCKET");
    setenv("WATCHDOG_USEC", "1000", 1);
    notify_open(&notify);
    ck_assert_int_eq(notify.fd, -1);
    ck_assert(notify_say(&notify, "READY=1"));
    ck_assert(notify_due_ns(&notify) == CLOCK_NEVER);
    notify_close(&notify);
    setenv("NOTIFY_SOCKET", "relative", 1);
    notify_open(&notify);
    ck_assert_int_eq(notify.fd, -1);
    notify_close(&notify);
}
END_TEST

START_TEST(a_sign_of_life_is_given_when_it_is_due_and_only_by_the_living) {
    arrange("20000", NULL);
    ck_assert_uint_eq(notify.every_ns, 10 * CLOCK_MS);
    notify_feed(&notify, true, 100 * CLOCK_MS);
    ck_assert_str_eq(heard(), "WATCHDOG=1");
    ck_assert_uint_eq(notify_due_ns(&notify), 110 * CLOCK_MS);
    notify_feed(&notify, true, 109 * CLOCK_MS);
    ck_assert_str_eq(heard(), "");
    notify_feed(&notify, false, 110 * CLOCK_MS);
    ck_assert_str_eq(heard(), "");
    ck_assert_uint_eq(notify_due_ns(&notify), 120 * CLOCK_MS);
    notify_feed(&notify, true, 121 * CLOCK_MS);
    ck_assert_str_eq(heard(), "WATCHDOG=1");
    end();
}
END_TEST

START_TEST(the_watchdog_of_another_process_or_one_that_is_no_number_is_not_ours) {
    char own[32];
    snprintf(own, sizeof own, "%d", (int)getpid());
    static const char *const wrong[][2] = {{"20000", "1"},
                                           {"20000", "x"},
                                           {"soon", NULL},
                                           {"-5", NULL},
                                           {"99999999999999999999", NULL}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        arrange(wrong[i][0], wrong[i][1]);
        ck_assert_msg(notify_due_ns(&notify) == CLOCK_NEVER, "%s", wrong[i][0]);
        end();
    }
    arrange("20000", own);
    ck_assert_uint_eq(notify.every_ns, 10 * CLOCK_MS);
    end();
}
END_TEST

SUITE("gateway/notify", 20, what_is_said_is_one_message_and_the_environment_forgets_the_socket,
      without_a_socket_nothing_is_said_and_nothing_fails,
      a_sign_of_life_is_given_when_it_is_due_and_only_by_the_living,
      the_watchdog_of_another_process_or_one_that_is_no_number_is_not_ours)
