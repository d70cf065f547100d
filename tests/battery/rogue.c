/* rogue HOW [NUMBER] - a worker program that speaks the worker protocol well until its second request, then
 * breaks it HOW it was told. The first is echoed, so that it starts again without a long pause.
 *
 *   good       echoes for ever                        leak       keeps NUMBER bytes more for each request
 *   junk       random bytes                           partial    half a header, then silence
 *   type       a frame of no known type               slow       a header, then a byte every 100 ms
 *   side       a frame that only the gateway sends    length     a payload of 0xFFFFFFFF bytes, says the header
 *   unknown    a reply to a request that is not there above      a reply one byte above NUMBER, the limit
 *   double     the reply twice                        stream     a header that says NUMBER bytes, then all of them
 *   any        one of the left column, or `quit`: the end of the process in the middle of a frame
 *   version    HELLO with another version, at once
 *
 * thread: one. owns: descriptor 3. fails: exits with 1. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONTROL        3
#define HEADER_BYTES   16
#define ENVELOPE_BYTES 65536
#define PAYLOAD_BYTES  (1 << 20)

enum frame {
    HELLO = 1,
    SETUP,
    LOADING,
    READY,
    REQUEST,
    CHUNK,
    REPLY,
    ERROR,
    PING,
    PONG,
    CANCEL,
    SHUTDOWN
};

static uint8_t envelope[ENVELOPE_BYTES], payload[PAYLOAD_BYTES];
static size_t payload_bytes;
static uint64_t number;
void *kept; /* visible from outside, or the compiler would leave out what nobody reads */

static void put32(uint8_t *out, uint32_t value) {
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get32(const uint8_t *in) {
    return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static void write_all(const void *data, size_t bytes) {
    for (const uint8_t *at = data; bytes > 0;) {
        ssize_t sent = send(CONTROL, at, bytes, MSG_NOSIGNAL);
        if (sent <= 0) exit(errno == EPIPE ? 0 : 1);
        at += sent;
        bytes -= (size_t)sent;
    }
}

static void read_all(void *out, size_t bytes) {
    for (uint8_t *at = out; bytes > 0;) {
        ssize_t got = read(CONTROL, at, bytes);
        if (got <= 0) exit(got == 0 ? 0 : 1);
        at += got;
        bytes -= (size_t)got;
    }
}

static void write_header(int type, size_t envelope_length, uint64_t payload_length) {
    uint8_t header[HEADER_BYTES] = {'P', 'G', 'W', '1', (uint8_t)type};
    put32(header + 8, (uint32_t)envelope_length);
    put32(header + 12, (uint32_t)payload_length);
    write_all(header, sizeof header);
}

/* {1: id}, and for an answer {2: "text/plain"}. */
static size_t name_request(uint8_t *out, uint64_t id, bool with_type) {
    size_t used = 0;
    out[used++] = 0x08;
    for (; id > 127; id >>= 7) out[used++] = (uint8_t)(id | 128);
    out[used++] = (uint8_t)id;
    if (!with_type) return used;
    memcpy(out + used, "\x12\x0atext/plain", 12);
    return used + 12;
}

static void answer_with(uint64_t id, const void *data, uint64_t said, size_t sent) {
    uint8_t head[32];
    size_t bytes = name_request(head, id, true);
    write_header(REPLY, bytes, said);
    write_all(head, bytes);
    write_all(data, sent);
}

static void echo(uint64_t id) {
    answer_with(id, payload, payload_bytes, payload_bytes);
}

/* ---- how to break it ---- */

static void junk(uint64_t id) {
    uint8_t noise[64];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)(rand() >> 7);
    noise[0] = (uint8_t)(noise[0] | 0x80);
    (void)id;
    write_all(noise, sizeof noise);
}

static void type(uint64_t id) {
    (void)id;
    write_header(99, 0, 0);
}

static void side(uint64_t id) {
    uint8_t head[32];
    size_t bytes = name_request(head, id, false);
    write_header(CANCEL, bytes, 0);
    write_all(head, bytes);
}

static void unknown(uint64_t id) {
    echo(id + 1000);
}

static void twice(uint64_t id) {
    echo(id);
    echo(id);
}

static void quit(uint64_t id) {
    answer_with(id, "", 100, 0);
    exit(9);
}

static void partial(uint64_t id) {
    (void)id;
    write_all("PGW1\7", 5);
    for (;;) pause();
}

static void slow(uint64_t id) {
    answer_with(id, "", 100000, 0);
    for (struct timespec step = {.tv_nsec = 100000000};; write_all("x", 1)) nanosleep(&step, NULL);
}

static void length(uint64_t id) {
    answer_with(id, "", UINT32_MAX, 0);
    for (;;) pause();
}

static void above(uint64_t id) {
    answer_with(id, "", number + 1, 0);
    for (;;) pause();
}

static void stream(uint64_t id) {
    answer_with(id, "", number, 0);
    for (uint64_t sent = 0; sent < number; sent += sizeof envelope)
        write_all(envelope, sizeof envelope);
}

static void leak(uint64_t id) {
    kept = malloc(number);
    if (kept == NULL) exit(1);
    memset(kept, 0x5a, number);
    echo(id);
}

static void any(uint64_t id) {
    static void (*const ways[])(uint64_t) = {junk, type, side, unknown, twice, quit};
    ways[(unsigned)rand() % (sizeof ways / sizeof ways[0])](id);
}

static const struct {
    const char *name;
    void (*answer)(uint64_t id);
} hows[] = {{"good", echo},       {"junk", junk},     {"type", type},   {"side", side},
            {"unknown", unknown}, {"double", twice},  {"quit", quit},   {"partial", partial},
            {"slow", slow},       {"length", length}, {"above", above}, {"stream", stream},
            {"leak", leak},       {"any", any},       {"version", echo}};

/* ---- the protocol ---- */

/* Reads a frame; the id is the first field of every envelope that has one. */
static int take_frame(uint64_t *id) {
    uint8_t header[HEADER_BYTES];
    read_all(header, sizeof header);
    size_t envelope_length = get32(header + 8);
    payload_bytes = get32(header + 12);
    if (envelope_length > sizeof envelope || payload_bytes > sizeof payload) exit(1);
    read_all(envelope, envelope_length);
    read_all(payload, payload_bytes);
    *id = 0;
    if (envelope_length < 2 || envelope[0] != 0x08) return header[4];
    for (unsigned at = 1, shift = 0; at < envelope_length; at++, shift += 7) {
        *id |= (uint64_t)(envelope[at] & 127) << shift;
        if (envelope[at] < 128) break;
    }
    return header[4];
}

static void serve(void (*answer)(uint64_t id)) {
    uint64_t id;
    for (bool first = true;;) {
        int type = take_frame(&id);
        if (type == SHUTDOWN) exit(0);
        if (type == SETUP) {
            write_header(READY, 9, 0);
            write_all("\x12\x05rogue\x20\x01", 9);
        } else if (type == PING) {
            uint8_t head[32];
            size_t bytes = name_request(head, id, false);
            write_header(PONG, bytes, 0);
            write_all(head, bytes);
        } else if (type == REQUEST) {
            first ? echo(id) : answer(id);
            first = false;
        }
    }
}

int main(int count, char **words) {
    number = count > 2 ? strtoull(words[2], NULL, 10) : 0;
    srand((unsigned)getpid());
    for (size_t i = 0; count > 1 && i < sizeof hows / sizeof hows[0]; i++) {
        if (strcmp(hows[i].name, words[1]) != 0) continue;
        bool other = strcmp(words[1], "version") == 0;
        write_header(HELLO, 9, 0);
        write_all(other ? "\x08\x63\x12\x05rogue" : "\x08\x01\x12\x05rogue", 9);
        serve(hows[i].answer);
    }
    fprintf(stderr, "usage: rogue HOW [NUMBER]\n");
    return 1;
}
