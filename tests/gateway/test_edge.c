#include "core/base/clock.h"
#include "gateway/edge/edge.h"
#include "tests/support/suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PLACES 8

/* A front end that keeps its clients' sockets open and remembers what it was told. */
static struct front_end {
    struct edge_client *clients[PLACES];
    size_t entered, left;
    enum edge_presence presence;
} front;

static uv_loop_t loop;
static struct edge *edge;

static void on_enter(void *owner, struct edge_client *client, const struct sockaddr *address,
                     socklen_t bytes) {
    (void)owner, (void)address, (void)bytes;
    ck_assert_uint_lt(front.entered, PLACES);
    front.clients[front.entered++] = client;
}

static void on_left(void *owner, struct edge_client *client) {
    (void)owner;
    front.left++;
    front.presence = client->presence;
}

static const struct edge_door door = {
    .enter = on_enter, .left = on_left, .answer_full = "full", .answer_slow = "slow"};

static enum outcome open_edge(const char *host, uint16_t port) {
    const struct edge_options options = {.host = host,
                                         .port = port,
                                         .max_connections = 2,
                                         .probe_connections = 1,
                                         .header_timeout_ns = 300 * CLOCK_MS};
    return edge_open(&edge, &loop, &options, &door, &front);
}

static void arrange(void) {
    memset(&front, 0, sizeof front);
    uv_loop_init(&loop);
    ck_assert_int_eq(open_edge("127.0.0.1", 0), OK);
    ck_assert_uint_ne(edge_port(edge), 0);
}

static void close_client(struct edge_client *client) {
    int fd = client->fd;
    edge_forget(edge, client);
    close(fd);
}

static void end(void) {
    for (size_t i = 0; i < front.entered; i++)
        if (front.clients[i] != NULL) close_client(front.clients[i]);
    edge_close(edge);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static int dial(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(edge_port(edge))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void turn(uint64_t ms) {
    uint64_t until_ns = clock_now_ns() + ms * CLOCK_MS;
    do {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(1000);
    } while (clock_now_ns() < until_ns);
}

static const char *read_all(int fd) {
    static char text[64];
    ssize_t bytes = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    text[bytes > 0 ? bytes : 0] = '\0';
    return text;
}

static bool at_end(int fd) {
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

START_TEST(a_client_that_sends_fin_has_half_closed) {
    arrange();
    int fd = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 1);
    ck_assert_uint_eq(front.left, 0);
    shutdown(fd, SHUT_WR);
    turn(20);
    ck_assert_uint_eq(front.left, 1);
    ck_assert_int_eq(front.presence, EDGE_HALF_CLOSED);
    close(fd);
    end();
}
END_TEST

START_TEST(a_client_that_resets_is_gone_also_after_a_fin) {
    arrange();
    int fd = dial();
    turn(20);
    shutdown(fd, SHUT_WR);
    turn(20);
    struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    turn(20);
    ck_assert_uint_eq(front.left, 2);
    ck_assert_int_eq(front.presence, EDGE_GONE);
    end();
}
END_TEST

START_TEST(bytes_that_arrive_are_none_of_the_edges_business) {
    arrange();
    int fd = dial();
    turn(20);
    ck_assert_int_eq(write(fd, "hello", 5), 5);
    turn(20);
    ck_assert_uint_eq(front.left, 0);
    ck_assert_str_eq(read_all(front.clients[0]->fd), "hello");
    close(fd);
    end();
}
END_TEST

START_TEST(an_event_of_an_earlier_client_does_not_reach_a_later_one) {
    arrange();
    int fd = dial();
    turn(20);
    /* A starting child process may hold a duplicate for a moment: the watch then goes on. */
    int duplicate = dup(front.clients[0]->fd);
    close_client(front.clients[0]);
    front.clients[0] = NULL;
    int later = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 2);
    shutdown(fd, SHUT_WR);
    turn(20);
    ck_assert_uint_eq(front.left, 0);
    ck_assert_int_eq(front.clients[1]->presence, EDGE_HERE);
    close(duplicate);
    close(fd);
    close(later);
    end();
}
END_TEST

START_TEST(above_the_limit_are_places_for_probes_and_then_an_answer_and_the_end) {
    arrange();
    int fds[4];
    for (int i = 0; i < 4; i++) fds[i] = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 3);
    ck_assert_int_eq(front.clients[1]->room, EDGE_ROOM_ALL);
    ck_assert_int_eq(front.clients[2]->room, EDGE_ROOM_PROBES);
    ck_assert_str_eq(read_all(fds[3]), "full");
    ck_assert(at_end(fds[3]));
    for (int i = 0; i < 4; i++) close(fds[i]);
    end();
}
END_TEST

START_TEST(a_place_is_free_again_once_its_client_is_forgotten) {
    arrange();
    for (size_t round = 0; round < PLACES; round++) {
        int fd = dial();
        turn(5);
        ck_assert_uint_eq(front.entered, round + 1);
        ck_assert_int_eq(front.clients[round]->room, EDGE_ROOM_ALL);
        close_client(front.clients[round]);
        front.clients[round] = NULL;
        close(fd);
    }
    end();
}
END_TEST

START_TEST(a_client_that_says_nothing_is_told_so_and_shut_out) {
    arrange();
    int silent = dial(), heard = dial();
    turn(20);
    edge_heard(front.clients[1]);
    turn(700);
    ck_assert_str_eq(read_all(silent), "slow");
    ck_assert(at_end(silent));
    ck_assert(at_end(front.clients[0]->fd));
    ck_assert(!at_end(front.clients[1]->fd));
    close(silent);
    close(heard);
    end();
}
END_TEST

START_TEST(an_answer_survives_the_bytes_that_come_after_it) {
    arrange();
    int fd = dial();
    turn(20);
    ck_assert_int_eq(write(fd, "unread", 6), 6);
    edge_linger(front.clients[0]);
    ck_assert_int_eq(write(front.clients[0]->fd, "no", 2), 2);
    close_client(front.clients[0]);
    front.clients[0] = NULL;
    turn(20);
    ck_assert_int_eq(write(fd, "more", 4), 4);
    turn(20);
    ck_assert_str_eq(read_all(fd), "no");
    ck_assert(at_end(fd)); /* FIN, no reset */
    close(fd);
    turn(20);
    end();
}
END_TEST

START_TEST(running_out_of_descriptors_refuses_and_recovers) {
    arrange();
    int waiting = dial(), next = dup(0);
    close(next);
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &none);
    turn(30);
    ck_assert_uint_eq(front.entered, 0);
    ck_assert_str_eq(read_all(waiting), "full");
    setrlimit(RLIMIT_NOFILE, &limit);
    int fd = dial();
    turn(150);
    ck_assert_uint_eq(front.entered, 1);
    close(waiting);
    close(fd);
    end();
}
END_TEST

START_TEST(after_stop_listening_the_kernel_refuses) {
    arrange();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(edge_port(edge))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    edge_stop_listening(edge);
    edge_stop_listening(edge);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    close(fd);
    end();
}
END_TEST

START_TEST(an_address_that_is_taken_or_is_none_cannot_be_opened) {
    arrange();
    struct edge *first = edge;
    ck_assert_int_eq(open_edge("127.0.0.1", edge_port(first)), INVALID_REQUEST);
    ck_assert_int_eq(errno, EADDRINUSE);
    ck_assert_int_eq(open_edge("localhost", 0), INVALID_REQUEST);
    ck_assert_int_eq(errno, EADDRNOTAVAIL);
    edge = first;
    end();
}
END_TEST

static void open_inherited(int fd) {
    const struct edge_options options = {.inherited_fd = fd,
                                         .max_connections = 2,
                                         .probe_connections = 1,
                                         .header_timeout_ns = 300 * CLOCK_MS};
    memset(&front, 0, sizeof front);
    uv_loop_init(&loop);
    ck_assert_int_eq(edge_open(&edge, &loop, &options, &door, &front), OK);
}

START_TEST(a_socket_that_was_bound_before_is_listened_on_and_refuses_after_the_end) {
    int fd = edge_bind("127.0.0.1", 0);
    ck_assert_int_gt(fd, 2);
    open_inherited(fd);
    ck_assert_uint_ne(edge_port(edge), 0);
    int client = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 1);
    edge_stop_listening(edge);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(edge_port(edge))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(late, (struct sockaddr *)&address, sizeof address), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    close(late);
    close(client);
    end();
}
END_TEST

START_TEST(a_socket_that_listens_already_goes_on_listening_for_who_comes_next) {
    int fd = edge_bind("127.0.0.1", 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    int theirs = dup(fd); /* as the service manager keeps it */
    open_inherited(fd);
    edge_stop_listening(edge);
    int late = dial();
    turn(20);
    ck_assert_uint_eq(front.entered, 0);
    end();
    int accepted = accept4(theirs, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(accepted, 0);
    close(accepted);
    close(late);
    close(theirs);
}
END_TEST

SUITE("gateway/edge", 10, a_client_that_sends_fin_has_half_closed,
      a_client_that_resets_is_gone_also_after_a_fin,
      bytes_that_arrive_are_none_of_the_edges_business,
      an_event_of_an_earlier_client_does_not_reach_a_later_one,
      above_the_limit_are_places_for_probes_and_then_an_answer_and_the_end,
      a_place_is_free_again_once_its_client_is_forgotten,
      a_client_that_says_nothing_is_told_so_and_shut_out,
      an_answer_survives_the_bytes_that_come_after_it,
      running_out_of_descriptors_refuses_and_recovers, after_stop_listening_the_kernel_refuses,
      an_address_that_is_taken_or_is_none_cannot_be_opened,
      a_socket_that_was_bound_before_is_listened_on_and_refuses_after_the_end,
      a_socket_that_listens_already_goes_on_listening_for_who_comes_next)
