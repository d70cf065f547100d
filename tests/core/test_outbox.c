/* outbox: frames arrive whole and in order through a socket that takes little at a time. */
#include "core/transport/outbox.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAMES     300
#define HEAD_BYTES 24
#define FLUSH_MOST (128 * 1024) /* "about 64 KiB" */

static struct outbox outbox;
static int ends[2]; /* the outbox writes into the first */
static uint32_t released;
static size_t released_bytes;

struct frame {
    size_t head_bytes, body_bytes;
    enum outbox_payload how;
    bool has_body;
};
static struct frame frames[FRAMES];

static void open_outbox(int buffer_bytes) {
    released = 0;
    released_bytes = 0;
    outbox_init(&outbox);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
}

static void close_outbox(void) {
    outbox_clear(&outbox);
    ck_assert(outbox_empty(&outbox));
    close(ends[0]);
    close(ends[1]);
}

static void count_release(void *owner, size_t bytes) {
    (void)owner;
    released++;
    released_bytes += bytes;
}

/* Every byte of every frame is known: by its frame and its place. */
static uint8_t byte_of(uint32_t frame, size_t offset) {
    return (uint8_t)(frame * 7 + offset * 13 + (offset >> 8));
}

static uint8_t *make_bytes(uint32_t frame, size_t first, size_t count) {
    uint8_t *bytes = malloc(count > 0 ? count : 1);
    for (size_t i = 0; i < count; i++) bytes[i] = byte_of(frame, first + i);
    return bytes;
}

/* The bytes of its body go on where those of its head end. */
static struct body *make_body(uint32_t number, size_t first, size_t bytes,
                              enum outbox_payload how) {
    struct body *body;
    ck_assert_int_eq(body_create(&body, how == OUTBOX_MEMFD ? BODY_MEMFD_BYTES : bytes), OK);
    uint8_t *data = make_bytes(number, first, bytes);
    ck_assert_int_eq(body_append(body, data, bytes), OK);
    ck_assert_int_eq(body_seal(body), OK);
    free(data);
    body->released = count_release;
    return body;
}

static void add(uint32_t number, struct frame frame) {
    frames[number] = frame;
    struct body *body =
        frame.has_body ? make_body(number, frame.head_bytes, frame.body_bytes, frame.how) : NULL;
    ck_assert_int_eq(outbox_add(&outbox, make_bytes(number, 0, frame.head_bytes), frame.head_bytes,
                                body, frame.how),
                     OK);
    body_unref(body); /* the outbox has its own reference */
}

static void add_head(uint32_t number, size_t bytes) {
    add(number, (struct frame){.head_bytes = bytes});
}

static void add_stream(uint32_t number, size_t bytes) {
    add(number, (struct frame){HEAD_BYTES, bytes, OUTBOX_STREAM, true});
}

static void add_memfd(uint32_t number, size_t bytes) {
    add(number, (struct frame){HEAD_BYTES, bytes, OUTBOX_MEMFD, true});
}

/* Reads what is there, at most so many bytes; *memfd is the descriptor that came along, or -1. */
static size_t receive(uint8_t *data, size_t most, int *memfd) {
    char space[CMSG_SPACE(sizeof(int))];
    struct iovec part = {.iov_base = data, .iov_len = most};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    ssize_t got = recvmsg(ends[1], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *memfd = -1;
    struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header != NULL) memcpy(memfd, CMSG_DATA(header), sizeof *memfd);
    return got > 0 ? (size_t)got : 0;
}

static void flush(void) {
    ck_assert(outbox_flush(&outbox, ends[0]));
}

/* Reads so many bytes of the frame, flushing as often as the socket is empty. A descriptor may come with
 * its first byte only; returns it. */
static int read_part(uint32_t number, size_t first, size_t count) {
    static uint8_t data[65536];
    int memfd = -1;
    for (size_t done = 0; done < count;) {
        int came;
        size_t most = count - done < sizeof data ? count - done : sizeof data;
        size_t got = receive(data, most, &came);
        if (got == 0) flush();
        for (size_t i = 0; i < got; i++) require(data[i] == byte_of(number, first + done + i));
        require(came < 0 || (first == 0 && done == 0));
        if (came >= 0) memfd = came;
        done += got;
    }
    return memfd;
}

static void assert_memfd_holds(int memfd, uint32_t number) {
    const struct frame *frame = &frames[number];
    struct body *body;
    ck_assert_int_eq(body_from_memfd(&body, memfd, frame->body_bytes), OK);
    const uint8_t *data = body_data(body);
    for (size_t i = 0; i < frame->body_bytes; i++)
        require(data[i] == byte_of(number, frame->head_bytes + i));
    body_unref(body);
}

static void assert_frame_comes(uint32_t number) {
    const struct frame *frame = &frames[number];
    int memfd = read_part(number, 0, frame->head_bytes);
    ck_assert_int_eq(memfd >= 0, frame->has_body && frame->how == OUTBOX_MEMFD);
    if (memfd >= 0)
        assert_memfd_holds(memfd, number);
    else
        read_part(number, frame->head_bytes, frame->body_bytes);
}

static void assert_nothing_more_comes(void) {
    uint8_t byte;
    int memfd;
    flush();
    ck_assert_uint_eq(receive(&byte, 1, &memfd), 0);
    ck_assert(outbox_empty(&outbox));
}

START_TEST(an_empty_outbox_has_nothing_to_write) {
    open_outbox(65536);
    ck_assert(outbox_empty(&outbox));
    assert_nothing_more_comes();
    close_outbox();
}
END_TEST

START_TEST(a_frame_is_its_head_and_then_its_body) {
    open_outbox(65536);
    add_stream(0, 1000);
    ck_assert(!outbox_empty(&outbox));
    flush();
    ck_assert(outbox_empty(&outbox));
    ck_assert_uint_eq(released, 1); /* written: its reference is gone */
    assert_frame_comes(0);
    assert_nothing_more_comes();
    close_outbox();
}
END_TEST

START_TEST(small_frames_keep_their_order) {
    open_outbox(1 << 20);
    for (uint32_t i = 0; i < FRAMES; i++) add_head(i, 1 + i % 40);
    for (uint32_t i = 0; i < FRAMES; i++) assert_frame_comes(i);
    assert_nothing_more_comes();
    close_outbox();
}
END_TEST

START_TEST(large_frames_go_out_in_pieces_and_keep_their_order) {
    open_outbox(4096);
    for (uint32_t i = 0; i < 20; i++) add_stream(i, 1 + (size_t)i * 9973);
    for (uint32_t i = 0; i < 20; i++) assert_frame_comes(i);
    assert_nothing_more_comes();
    ck_assert_uint_eq(released, 20);
    close_outbox();
}
END_TEST

START_TEST(a_memfd_travels_with_the_first_byte_of_its_head) {
    open_outbox(65536);
    add_head(0, 10);
    add_memfd(1, 5000);
    add_memfd(2, BODY_MEMFD_BYTES + 1);
    add_stream(3, 100);
    add_memfd(4, 1);
    for (uint32_t i = 0; i < 5; i++) assert_frame_comes(i);
    assert_nothing_more_comes();
    ck_assert_uint_eq(released, 4);
    close_outbox();
}
END_TEST

START_TEST(a_large_body_can_be_streamed_from_its_memfd) {
    open_outbox(4096);
    add_stream(0, BODY_MEMFD_BYTES + 12345);
    assert_frame_comes(0);
    assert_nothing_more_comes();
    close_outbox();
}
END_TEST

START_TEST(an_empty_body_is_held_and_released) {
    open_outbox(65536);
    add_stream(0, 0);
    ck_assert_uint_eq(released, 0);
    assert_frame_comes(0);
    assert_nothing_more_comes();
    ck_assert_uint_eq(released, 1);
    close_outbox();
}
END_TEST

START_TEST(one_flush_writes_about_64_KiB) {
    static uint8_t data[1 << 20];
    int memfd;
    open_outbox(8 << 20);
    add_stream(0, 1 << 20);
    flush();
    size_t got = receive(data, sizeof data, &memfd);
    ck_assert_uint_gt(got, 0);
    ck_assert_uint_le(got, FLUSH_MOST);
    ck_assert(!outbox_empty(&outbox));
    close_outbox();
}
END_TEST

START_TEST(a_full_socket_is_no_fault) {
    open_outbox(4096);
    add_stream(0, 100000);
    for (int i = 0; i < 10; i++) flush();
    ck_assert(!outbox_empty(&outbox));
    ck_assert_uint_eq(released, 0);
    assert_frame_comes(0);
    close_outbox();
}
END_TEST

START_TEST(a_socket_whose_other_end_is_gone_is_of_no_use) {
    open_outbox(65536);
    add_stream(0, 10);
    shutdown(ends[1], SHUT_RD);
    ck_assert(!outbox_flush(&outbox, ends[0])); /* and no SIGPIPE */
    close_outbox();
    ck_assert_uint_eq(released, 1);
}
END_TEST

START_TEST(clearing_releases_every_body_once) {
    open_outbox(4096);
    for (uint32_t i = 0; i < 10; i++) add_stream(i, 20000);
    add_memfd(10, 300);
    flush(); /* the first may be half written */
    uint32_t before = released;
    ck_assert_uint_lt(before, 11);
    outbox_clear(&outbox);
    ck_assert_uint_eq(released, 11);
    ck_assert_uint_eq(released_bytes, 10 * 20000 + 300);
    ck_assert(outbox_empty(&outbox));
    add_head(11, 5); /* and may be filled again */
    ck_assert(!outbox_empty(&outbox));
    close_outbox();
}
END_TEST

static struct frame random_frame(struct chance *chance) {
    uint32_t roll = chance_below(chance, 100);
    struct frame frame = {.head_bytes = 1 + chance_below(chance, 3000)};
    if (roll < 30) return frame;
    frame.has_body = true;
    frame.how = roll < 80 ? OUTBOX_STREAM : OUTBOX_MEMFD;
    frame.body_bytes = 1 + chance_below(chance, roll % 2 == 0 ? 300 : 100000);
    return frame;
}

START_TEST(random_frames_arrive_whole_and_in_order) {
    struct chance chance = chance_open();
    open_outbox(4096 + (int)chance_below(&chance, 60000));
    uint32_t added = 0, arrived = 0;
    while (arrived < FRAMES) {
        if (added < FRAMES && (added == arrived || chance_percent(&chance, 60))) {
            add(added, random_frame(&chance));
            added++;
        } else {
            assert_frame_comes(arrived++);
        }
        if (chance_percent(&chance, 30)) flush();
    }
    assert_nothing_more_comes();
    close_outbox();
}
END_TEST

SUITE("core/outbox", 60, an_empty_outbox_has_nothing_to_write,
      a_frame_is_its_head_and_then_its_body, small_frames_keep_their_order,
      large_frames_go_out_in_pieces_and_keep_their_order,
      a_memfd_travels_with_the_first_byte_of_its_head, a_large_body_can_be_streamed_from_its_memfd,
      an_empty_body_is_held_and_released, one_flush_writes_about_64_KiB, a_full_socket_is_no_fault,
      a_socket_whose_other_end_is_gone_is_of_no_use, clearing_releases_every_body_once,
      random_frames_arrive_whole_and_in_order)
