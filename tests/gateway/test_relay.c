#include "core/base/clock.h"
#include "gateway/edge/relay.h"
#include "tests/support/suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The client's connection is a pair of its own: `client` is the far end of it. */
static struct relay *relay;
static int epoll, client, near, library;
static enum relay_state state;

enum { CLIENT_TAG = 1, LIBRARY_TAG = 2 };

static void arrange(enum relay_guard guard) {
    int pair[2];
    struct epoll_event event = {.events = RELAY_CLIENT_EVENTS, .data.u64 = CLIENT_TAG};
    epoll = epoll_create1(EPOLL_CLOEXEC);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    client = pair[0];
    near = pair[1];
    ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, near, &event), 0);
    const struct relay_options options = {.client = stream_plain(near),
                                          .epoll = epoll,
                                          .client_tag = CLIENT_TAG,
                                          .library_tag = LIBRARY_TAG,
                                          .guard = guard};
    ck_assert(relay_open(&relay, &options, &library));
    state = RELAY_MOVING;
}

static void end(void) {
    relay_close(relay);
    close(near);
    if (client >= 0) close(client);
    if (library >= 0) close(library);
    close(epoll);
}

/* Runs what is ready; says how many events there were. */
static unsigned turn(void) {
    unsigned count = 0;
    struct epoll_event ready;
    while (count < 100000 && epoll_wait(epoll, &ready, 1, 0) == 1) {
        count++;
        state = ready.data.u64 == CLIENT_TAG ? relay_client_event(relay, ready.events, count)
                                             : relay_library_event(relay, ready.events, count);
        if (state >= RELAY_EMPTIED) break;
    }
    return count;
}

/* Byte number n of a way is n % 251. */
static size_t fill_from(int fd, size_t from, size_t most) {
    static char bytes[8192];
    size_t sent = 0;
    while (sent < most) {
        size_t next = most - sent < sizeof bytes ? most - sent : sizeof bytes;
        for (size_t i = 0; i < next; i++) bytes[i] = (char)((from + sent + i) % 251);
        ssize_t count = send(fd, bytes, next, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0) break;
        sent += (size_t)count;
    }
    return sent;
}

static size_t fill(int fd, size_t most) {
    return fill_from(fd, 0, most);
}

/* Reads what is there and checks that byte number n is n % 251. */
static size_t drain(int fd, size_t from, bool *ended) {
    static char bytes[8192];
    size_t got = 0;
    ssize_t count;
    *ended = false;
    while ((count = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        size_t wrong = 0;
        for (ssize_t i = 0; i < count; i++)
            wrong += bytes[i] != (char)((from + got + (size_t)i) % 251);
        ck_assert_uint_eq(wrong, 0);
        got += (size_t)count;
    }
    *ended = count == 0;
    return got;
}

START_TEST(bytes_go_both_ways_with_one_wake_each) {
    arrange(RELAY_UNGUARDED);
    bool ended;
    turn();
    for (int i = 0; i < 10; i++) {
        ck_assert_uint_eq(fill(client, 100), 100);
        ck_assert_uint_le(turn(), 1);
        ck_assert_uint_eq(drain(library, 0, &ended), 100);
        ck_assert_uint_eq(fill(library, 100), 100);
        turn();
        ck_assert_uint_eq(drain(client, 0, &ended), 100);
        turn();
    }
    ck_assert_int_eq(state, RELAY_MOVING);
    ck_assert_uint_eq(turn(), 0); /* nothing to do is nothing done */
    end();
}
END_TEST

/* Far more than the buffers hold, both ways at once, with sides that take now and then. */
START_TEST(nothing_is_lost_when_nobody_takes_for_a_while) {
    arrange(RELAY_UNGUARDED);
    const size_t all = (size_t)8 << 20;
    size_t up_sent = 0, up_got = 0, down_sent = 0, down_got = 0;
    bool ended;
    for (unsigned round = 0; up_got < all || down_got < all; round++) {
        ck_assert_uint_lt(round, 100000);
        up_sent += fill_from(client, up_sent, all - up_sent);
        down_sent += fill_from(library, down_sent, all - down_sent);
        turn();
        ck_assert_uint_le(relay->up.count, RELAY_HELD_BYTES);
        ck_assert_uint_le(relay->down.count, RELAY_HELD_BYTES);
        if (round % 3 != 0) up_got += drain(library, up_got, &ended);
        if (round % 5 != 0) down_got += drain(client, down_got, &ended);
    }
    ck_assert_uint_eq(up_sent, up_got);
    ck_assert_uint_eq(down_sent, down_got);
    end();
}
END_TEST

START_TEST(a_side_that_takes_nothing_stops_the_reading_of_the_other) {
    arrange(RELAY_UNGUARDED);
    size_t sent = 0, got = 0, more;
    bool ended;
    for (int i = 0; i < 1000; i++) {
        more = fill(client, 1 << 20);
        sent += more;
        turn();
        if (more == 0) break;
    }
    ck_assert_uint_eq(more, 0); /* it has come to a stop */
    ck_assert_ptr_nonnull(relay->up.held);
    ck_assert_uint_le(relay->up.count, RELAY_HELD_BYTES);
    ck_assert_uint_eq(turn(), 0); /* and waits without spinning */
    while (got < sent) {
        static char bytes[65536];
        ssize_t count = recv(library, bytes, sizeof bytes, MSG_DONTWAIT);
        if (count > 0) got += (size_t)count;
        ck_assert(count > 0 || turn() > 0);
    }
    turn();
    ck_assert_ptr_null(relay->up.held);
    ck_assert_uint_eq(drain(library, 0, &ended), 0);
    end();
}
END_TEST

START_TEST(the_clients_half_close_comes_after_its_bytes) {
    arrange(RELAY_UNGUARDED);
    bool ended = false;
    size_t sent = fill(client, 300000), got = 0;
    shutdown(client, SHUT_WR);
    for (int i = 0; i < 100 && !(got == sent && ended); i++) {
        turn();
        got += drain(library, got, &ended);
    }
    ck_assert(ended);
    ck_assert_uint_eq(got, sent);
    ck_assert_int_eq(state, RELAY_MOVING); /* the answer can still come */
    ck_assert_uint_eq(fill(library, 500), 500);
    turn();
    ck_assert_uint_eq(drain(client, 0, &ended), 500);
    ck_assert(!ended);
    end();
}
END_TEST

START_TEST(when_the_library_ends_its_last_bytes_are_brought_first) {
    arrange(RELAY_UNGUARDED);
    bool ended;
    size_t sent = fill(library, 1 << 20), got = 0;
    close(library);
    library = -1;
    for (int i = 0; i < 100 && got < sent; i++) {
        turn();
        if (got + 1 < sent) ck_assert(state < RELAY_EMPTIED || relay->down.held == NULL);
        got += drain(client, got, &ended);
    }
    turn();
    ck_assert_uint_eq(got, sent);
    ck_assert_int_eq(state, RELAY_EMPTIED);
    end();
}
END_TEST

START_TEST(a_library_that_closes_over_unread_bytes_has_only_ended) {
    arrange(RELAY_UNGUARDED);
    bool ended;
    fill(client, 1000);
    turn();
    fill(library, 10);
    close(library);
    library = -1;
    turn();
    ck_assert_int_eq(state, RELAY_EMPTIED);
    ck_assert_uint_eq(drain(client, 0, &ended), 10);
    end();
}
END_TEST

START_TEST(a_client_that_is_gone_is_lost) {
    arrange(RELAY_UNGUARDED);
    turn();
    close(client);
    client = -1;
    turn();
    ck_assert_int_eq(state, RELAY_LOST);
    end();
}
END_TEST

START_TEST(the_http_guard_lets_pass_what_is_clean_and_then_nothing) {
    arrange(RELAY_HTTP_GUARD);
    static const char bytes[] =
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n";
    char got[256];
    ck_assert_int_gt(write(client, bytes, sizeof bytes - 1), 0);
    turn();
    ck_assert_int_eq(state, RELAY_FLAWED);
    ck_assert_uint_eq(relay->guard.http.requests, 1);
    ssize_t count = recv(library, got, sizeof got - 1, MSG_DONTWAIT);
    ck_assert_int_ge(count, 27);
    ck_assert_int_lt(count, (ssize_t)sizeof bytes - 3);
    ck_assert_int_eq(write(client, "more", 4), 4);
    turn();
    ck_assert_int_eq(recv(library, got, sizeof got, MSG_DONTWAIT), -1);
    ck_assert_int_eq(write(library, "answer", 6), 6);
    turn();
    relay_say(relay, "400", 3);
    ck_assert_int_eq(recv(client, got, sizeof got, MSG_DONTWAIT), 9);
    ck_assert(memcmp(got, "answer400", 9) == 0);
    end();
}
END_TEST

START_TEST(the_h2_guard_hears_both_sides_and_no_word_falls_into_a_frame) {
    arrange(RELAY_H2_GUARD);
    static const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    static const char half_a_frame[] = "\0\0\x10\0\0\0\0\0\1half";
    char got[256];
    ck_assert_int_gt(write(client, greeting, sizeof greeting - 1), 0);
    ck_assert_int_gt(write(library, half_a_frame, sizeof half_a_frame - 1), 0);
    turn();
    ck_assert_int_eq(recv(library, got, sizeof got, MSG_DONTWAIT), sizeof greeting - 1);
    ck_assert_int_eq(recv(client, got, sizeof got, MSG_DONTWAIT), sizeof half_a_frame - 1);
    relay_say(relay, "goodbye", 7);
    ck_assert_int_eq(recv(client, got, sizeof got, MSG_DONTWAIT), -1);
    ck_assert_int_eq(write(library, "another half", 12), 12);
    turn();
    relay_say(relay, "goodbye", 7);
    ck_assert_int_eq(recv(client, got, sizeof got, MSG_DONTWAIT), 19);
    end();
}
END_TEST

static size_t descriptors(void) {
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count;
}

START_TEST(a_relay_leaves_no_descriptor_behind) {
    size_t before = descriptors();
    for (int i = 0; i < 100; i++) {
        arrange(RELAY_UNGUARDED);
        fill(client, 300000);
        turn();
        end();
    }
    ck_assert_uint_eq(descriptors(), before);
}
END_TEST

SUITE("gateway/relay", 20, bytes_go_both_ways_with_one_wake_each,
      nothing_is_lost_when_nobody_takes_for_a_while,
      a_side_that_takes_nothing_stops_the_reading_of_the_other,
      the_clients_half_close_comes_after_its_bytes,
      when_the_library_ends_its_last_bytes_are_brought_first,
      a_library_that_closes_over_unread_bytes_has_only_ended, a_client_that_is_gone_is_lost,
      the_http_guard_lets_pass_what_is_clean_and_then_nothing,
      the_h2_guard_hears_both_sides_and_no_word_falls_into_a_frame,
      a_relay_leaves_no_descriptor_behind)
