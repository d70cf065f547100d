/* Budgets are buckets: so many at once, so many more each second, and some are earned by work that was
 * asked for, so that what a flood needs is never there and what an honest client needs always is.
 *
 *   verdict        at once  a second  earned by                      why this much
 *   RAPID_RESET        300       400  1 a stream that was answered   a client that cancels 200 a second
 *   MADE_RESET         200       100  -                              a stream that breaks the protocol
 *   HEADER_BLOCK     1 MiB     1 MiB  -                              of the bytes beyond 4 KiB of a block
 *   SETTINGS            32        16  an ACK: one of the server's    windows that are adapted
 *   PING               100        10  1 a DATA or HEADERS of the     keepalive; a measurement for each
 *                                     server; ACKs as above          round trip
 *   WINDOW_UPDATE      256       100  4 and 1 a KiB of the server's  one or two for each DATA that
 *                                     DATA, 4 a stream               was read
 *   PRIORITY           128        50  1 a stream                     the tree of browsers' libraries
 *   EMPTY_DATA         128        50  2 a stream                     a call's end, sent by itself
 *   STREAMS             64        50  -                              HEADERS of a stream that is not new
 *   UNKNOWN_FRAME      100        50  1 a stream                     extensions; GOAWAY
 *
 * Never more than so: a header block of 32 KiB and 8 CONTINUATIONs, 40 settings in a frame, 128 streams
 * at a time or what the server allows if that is more; 1,024 before its SETTINGS are acknowledged (a client
 * that sends its burst with its greeting knows of no limit yet), an eighth of it where we are wary.
 * docs/edge.md has this table too. */
#include "gateway/edge/h2_guard.h"

#include "core/base/clock.h"

#include <assert.h>
#include <string.h>

#define DEFAULT_FRAME   16384
#define DEFAULT_STREAMS 128
#define FIRST_STREAMS   1024
#define WARY            8
#define BLOCK_BYTES     32768
#define BLOCK_FREE      4096
#define BLOCK_FRAMES    8
#define SETTINGS_BYTES  240
#define PADDING_BYTES                                                                              \
    256 /* with its length byte: DATA that is padded and no longer may be nothing else */

enum type {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION
};
enum flag { END_STREAM = 0x1, ACK = 0x1, END_HEADERS = 0x4, PADDED = 0x8 };
enum setting { MAX_CONCURRENT_STREAMS = 3, MAX_FRAME_SIZE = 5 };

struct frame {
    uint32_t bytes, stream;
    uint8_t type, flags;
};

struct rule {
    uint32_t at_once, a_second, most; /* most: what may be saved up by earning */
};
static const struct rule rules[H2_GUARD_COUNT] = {
    [H2_GUARD_RAPID_RESET] = {300, 400, 500},
    [H2_GUARD_MADE_RESET] = {200, 100, 200},
    [H2_GUARD_HEADER_BLOCK] = {1 << 20, 1 << 20, 1 << 20},
    [H2_GUARD_SETTINGS] = {32, 16, 32},
    [H2_GUARD_PING] = {100, 10, 100},
    [H2_GUARD_WINDOW_UPDATE] = {256, 100, 16384},
    [H2_GUARD_PRIORITY] = {128, 50, 128},
    [H2_GUARD_EMPTY_DATA] = {128, 50, 1024},
    [H2_GUARD_STREAMS] = {64, 50, 64},
    [H2_GUARD_UNKNOWN_FRAME] = {100, 50, 128},
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_BYTES (sizeof preface - 1)

void h2_guard_init(struct h2_guard *guard, bool wary, uint64_t now_ns) {
    *guard = (struct h2_guard){.max_frame = DEFAULT_FRAME, .max_streams = DEFAULT_STREAMS};
    guard->unacked_streams = wary ? FIRST_STREAMS / WARY : FIRST_STREAMS;
    for (size_t i = 0; i < H2_GUARD_COUNT; i++)
        guard->budgets[i] = (struct h2_guard_budget){
            .left = wary ? rules[i].at_once / WARY : rules[i].at_once, .filled_ns = now_ns};
}

static void fill(struct h2_guard_budget *budget, const struct rule *rule, uint64_t now_ns) {
    const uint64_t passed_ns = now_ns > budget->filled_ns ? now_ns - budget->filled_ns : 0;
    const uint64_t whole_ns = (uint64_t)rule->at_once * CLOCK_S / rule->a_second;
    if (passed_ns >= whole_ns) {
        if (budget->left < rule->at_once) budget->left = rule->at_once;
        budget->filled_ns = now_ns;
        return;
    }
    const uint64_t more = passed_ns * rule->a_second / CLOCK_S;
    if (more == 0) return;
    /* Time alone fills it no higher than at first; what was earned above that stays. */
    const uint64_t sum = budget->left + more;
    if (sum <= rule->at_once)
        budget->left = (uint32_t)sum;
    else if (budget->left < rule->at_once)
        budget->left = rule->at_once;
    budget->filled_ns += more * CLOCK_S / rule->a_second;
}

static enum h2_guard_verdict take(struct h2_guard *guard, enum h2_guard_verdict verdict,
                                  uint32_t count, uint64_t now_ns) {
    struct h2_guard_budget *const budget = &guard->budgets[verdict];
    fill(budget, &rules[verdict], now_ns);
    if (budget->left < count) return verdict;
    budget->left -= count;
    return H2_GUARD_CLEAN;
}

static void earn(struct h2_guard *guard, enum h2_guard_verdict verdict, uint32_t count) {
    uint32_t *const left = &guard->budgets[verdict].left;
    const uint32_t most = rules[verdict].most;
    *left = *left + count < most ? *left + count : most;
}

/* Streams. */

static uint64_t *stream_word(struct h2_guard *guard, uint32_t stream) {
    return &guard->open_streams[stream / 2 % H2_GUARD_STREAM_BITS / 64];
}

static uint64_t stream_bit(uint32_t stream) {
    return UINT64_C(1) << stream / 2 % 64;
}

/* Whether it was open. */
static bool close_stream(struct h2_guard *guard, uint32_t stream) {
    uint64_t *const word = stream_word(guard, stream);
    if (stream % 2 == 0 || (*word & stream_bit(stream)) == 0) return false;
    *word &= ~stream_bit(stream);
    guard->open--;
    return true;
}

static enum h2_guard_verdict open_stream(struct h2_guard *guard, uint32_t stream) {
    uint32_t most = guard->max_streams;
    if (!guard->acked && most < guard->unacked_streams) most = guard->unacked_streams;
    if (guard->open >= most) return H2_GUARD_STREAMS;
    if (!guard->acked && guard->opened >= guard->unacked_streams) return H2_GUARD_STREAMS;
    guard->last_stream = stream;
    guard->opened++;
    uint64_t *const word = stream_word(guard, stream);
    if ((*word & stream_bit(stream)) == 0) guard->open++;
    *word |= stream_bit(stream);
    earn(guard, H2_GUARD_EMPTY_DATA, 2);
    earn(guard, H2_GUARD_WINDOW_UPDATE, 4);
    earn(guard, H2_GUARD_PRIORITY, 1);
    earn(guard, H2_GUARD_UNKNOWN_FRAME, 1);
    return H2_GUARD_CLEAN;
}

/* What the client sends. */

static enum h2_guard_verdict block_grows(struct h2_guard *guard, const struct frame *frame,
                                         uint64_t now_ns) {
    const uint32_t before = guard->block_bytes;
    guard->block_bytes += frame->bytes;
    if (guard->block_bytes > BLOCK_BYTES) return H2_GUARD_HEADER_BLOCK;
    if (frame->flags & END_HEADERS) guard->block_stream = 0;
    if (guard->block_bytes <= BLOCK_FREE) return H2_GUARD_CLEAN;
    const uint32_t counted = before > BLOCK_FREE ? before : BLOCK_FREE;
    return take(guard, H2_GUARD_HEADER_BLOCK, guard->block_bytes - counted, now_ns);
}

static enum h2_guard_verdict see_headers(struct h2_guard *guard, const struct frame *frame,
                                         uint64_t now_ns) {
    if (frame->stream % 2 == 0) return H2_GUARD_STREAMS;
    const enum h2_guard_verdict verdict = frame->stream > guard->last_stream
                                              ? open_stream(guard, frame->stream)
                                              : take(guard, H2_GUARD_STREAMS, 1, now_ns);
    if (verdict != H2_GUARD_CLEAN) return verdict;
    guard->block_stream = frame->stream;
    guard->block_bytes = 0;
    guard->block_frames = 0;
    return block_grows(guard, frame, now_ns);
}

static enum h2_guard_verdict see_continuation(struct h2_guard *guard, const struct frame *frame,
                                              uint64_t now_ns) {
    if (guard->block_stream == 0 || frame->stream != guard->block_stream)
        return H2_GUARD_CONTINUATION;
    if (++guard->block_frames > BLOCK_FRAMES) return H2_GUARD_CONTINUATION;
    return block_grows(guard, frame, now_ns);
}

static enum h2_guard_verdict see_data(struct h2_guard *guard, const struct frame *frame,
                                      uint64_t now_ns) {
    const bool padding = (frame->flags & PADDED) != 0 && frame->bytes <= PADDING_BYTES;
    if (frame->bytes > 0 && !padding) return H2_GUARD_CLEAN;
    return take(guard, H2_GUARD_EMPTY_DATA, 1, now_ns);
}

static enum h2_guard_verdict see_settings(struct h2_guard *guard, const struct frame *frame,
                                          uint64_t now_ns) {
    const bool ack = (frame->flags & ACK) != 0;
    if (frame->bytes % 6 != 0 || (ack && frame->bytes > 0)) return H2_GUARD_FRAME_SIZE;
    if (frame->bytes > SETTINGS_BYTES) return H2_GUARD_SETTINGS;
    if (!ack || guard->settings_unanswered == 0) return take(guard, H2_GUARD_SETTINGS, 1, now_ns);
    guard->settings_unanswered--;
    guard->acked = true;
    return H2_GUARD_CLEAN;
}

static enum h2_guard_verdict see_ping(struct h2_guard *guard, const struct frame *frame,
                                      uint64_t now_ns) {
    if (frame->bytes != 8) return H2_GUARD_FRAME_SIZE;
    if ((frame->flags & ACK) == 0 || guard->pings_unanswered == 0)
        return take(guard, H2_GUARD_PING, 1, now_ns);
    guard->pings_unanswered--;
    return H2_GUARD_CLEAN;
}

static enum h2_guard_verdict see_reset(struct h2_guard *guard, const struct frame *frame,
                                       uint64_t now_ns) {
    if (frame->bytes != 4) return H2_GUARD_FRAME_SIZE;
    close_stream(guard, frame->stream);
    return take(guard, H2_GUARD_RAPID_RESET, 1, now_ns);
}

static enum h2_guard_verdict see_fixed(struct h2_guard *guard, const struct frame *frame,
                                       uint32_t bytes, enum h2_guard_verdict verdict,
                                       uint64_t now_ns) {
    return frame->bytes == bytes ? take(guard, verdict, 1, now_ns) : H2_GUARD_FRAME_SIZE;
}

static enum h2_guard_verdict see_client(struct h2_guard *guard, const struct frame *frame,
                                        uint64_t now_ns) {
    /* Larger ones are announced for the sake of DATA; header blocks have their own bound. */
    const bool large = frame->type == DATA || frame->type == HEADERS || frame->type == CONTINUATION;
    if (frame->bytes > (large ? guard->max_frame : DEFAULT_FRAME)) return H2_GUARD_FRAME_SIZE;
    if (!guard->settled && (frame->type != SETTINGS || (frame->flags & ACK) != 0))
        return H2_GUARD_PREFACE;
    guard->settled = true;
    if (guard->block_stream != 0 && frame->type != CONTINUATION) return H2_GUARD_CONTINUATION;
    switch (frame->type) {
    case DATA: return see_data(guard, frame, now_ns);
    case HEADERS: return see_headers(guard, frame, now_ns);
    case PRIORITY: return see_fixed(guard, frame, 5, H2_GUARD_PRIORITY, now_ns);
    case RST_STREAM: return see_reset(guard, frame, now_ns);
    case SETTINGS: return see_settings(guard, frame, now_ns);
    case PING: return see_ping(guard, frame, now_ns);
    case WINDOW_UPDATE: return see_fixed(guard, frame, 4, H2_GUARD_WINDOW_UPDATE, now_ns);
    case CONTINUATION: return see_continuation(guard, frame, now_ns);
    default: return take(guard, H2_GUARD_UNKNOWN_FRAME, 1, now_ns);
    }
}

/* What the server sends: it is believed. */

static void see_answer(struct h2_guard *guard, const struct frame *frame) {
    earn(guard, H2_GUARD_PING, 1);
    if (frame->type == DATA) earn(guard, H2_GUARD_WINDOW_UPDATE, 4 + frame->bytes / 1024);
    if ((frame->flags & END_STREAM) != 0 && close_stream(guard, frame->stream))
        earn(guard, H2_GUARD_RAPID_RESET, 1);
}

static enum h2_guard_verdict see_server(struct h2_guard *guard, const struct frame *frame,
                                        uint64_t now_ns) {
    const bool ack = (frame->flags & ACK) != 0;
    guard->announces = frame->type == SETTINGS && !ack;
    guard->setting_have = 0;
    if (guard->announces) guard->settings_unanswered++;
    if (frame->type == PING && !ack) guard->pings_unanswered++;
    if (frame->type == DATA || frame->type == HEADERS) see_answer(guard, frame);
    /* After its END_STREAM, or the client's own reset, it is a courtesy. */
    if (frame->type == RST_STREAM && close_stream(guard, frame->stream))
        return take(guard, H2_GUARD_MADE_RESET, 1, now_ns);
    return H2_GUARD_CLEAN;
}

static uint32_t number(const uint8_t bytes[4]) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* What was once allowed may still be on its way: the largest counts. */
static void announced(struct h2_guard *guard) {
    const uint32_t name = (uint32_t)guard->setting[0] << 8 | guard->setting[1];
    const uint32_t value = number(guard->setting + 2);
    if (name == MAX_FRAME_SIZE && value > guard->max_frame) guard->max_frame = value;
    if (name == MAX_CONCURRENT_STREAMS && value > guard->max_streams) guard->max_streams = value;
}

static void read_settings(struct h2_guard *guard, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        guard->setting[guard->setting_have++] = bytes[i];
        if (guard->setting_have < sizeof guard->setting) continue;
        announced(guard);
        guard->setting_have = 0;
    }
}

/* Bytes to frames. */

static size_t see_preface(struct h2_guard *guard, const uint8_t *bytes, size_t count) {
    size_t at = 0;
    while (at < count && guard->preface < PREFACE_BYTES) {
        if (bytes[at] != (uint8_t)preface[guard->preface]) {
            guard->verdict = H2_GUARD_PREFACE;
            return at;
        }
        guard->preface++;
        at++;
    }
    return at;
}

static void judge(struct h2_guard *guard, enum h2_guard_side side, uint64_t now_ns) {
    struct h2_guard_reader *const reader = &guard->readers[side];
    const uint8_t *const header = reader->header;
    const struct frame frame = {.bytes = number(header) >> 8,
                                .type = header[3],
                                .flags = header[4],
                                .stream = number(header + 5) & INT32_MAX};
    reader->have = 0;
    reader->payload = frame.bytes;
    guard->verdict = side == H2_FROM_CLIENT ? see_client(guard, &frame, now_ns)
                                            : see_server(guard, &frame, now_ns);
    if (guard->verdict != H2_GUARD_CLEAN) reader->payload = 0; /* it does not pass */
}

static size_t skip_payload(struct h2_guard *guard, enum h2_guard_side side, const uint8_t *bytes,
                           size_t count) {
    struct h2_guard_reader *const reader = &guard->readers[side];
    const size_t run = count < reader->payload ? count : reader->payload;
    if (side == H2_FROM_SERVER && guard->announces) read_settings(guard, bytes, run);
    reader->payload -= (uint32_t)run;
    return run;
}

size_t h2_guard_see(struct h2_guard *guard, enum h2_guard_side side, const uint8_t *bytes,
                    size_t count, uint64_t now_ns) {
    if (guard->verdict != H2_GUARD_CLEAN) return 0;
    struct h2_guard_reader *const reader = &guard->readers[side];
    size_t at = side == H2_FROM_CLIENT ? see_preface(guard, bytes, count) : 0, frame = at;
    while (at < count && guard->verdict == H2_GUARD_CLEAN) {
        if (reader->payload > 0) {
            at += skip_payload(guard, side, bytes + at, count - at);
            continue;
        }
        if (reader->have == 0) frame = at;
        const size_t room = sizeof reader->header - reader->have;
        const size_t run = count - at < room ? count - at : room;
        memcpy(reader->header + reader->have, bytes + at, run);
        reader->have = (uint8_t)(reader->have + run);
        at += run;
        if (reader->have == sizeof reader->header) judge(guard, side, now_ns);
    }
    return guard->verdict == H2_GUARD_CLEAN || at < frame ? at : frame;
}

bool h2_guard_between(const struct h2_guard *guard, enum h2_guard_side side) {
    const struct h2_guard_reader *const reader = &guard->readers[side];
    return reader->have == 0 && reader->payload == 0;
}

const char *h2_guard_verdict_name(enum h2_guard_verdict verdict) {
    static const char *const names[H2_GUARD_COUNT] = {
        [H2_GUARD_CLEAN] = "clean",
        [H2_GUARD_PREFACE] = "preface",
        [H2_GUARD_FRAME_SIZE] = "frame_size",
        [H2_GUARD_RAPID_RESET] = "rapid_reset",
        [H2_GUARD_MADE_RESET] = "made_reset",
        [H2_GUARD_CONTINUATION] = "continuation",
        [H2_GUARD_HEADER_BLOCK] = "header_block",
        [H2_GUARD_SETTINGS] = "settings",
        [H2_GUARD_PING] = "ping",
        [H2_GUARD_WINDOW_UPDATE] = "window_update",
        [H2_GUARD_PRIORITY] = "priority",
        [H2_GUARD_EMPTY_DATA] = "empty_data",
        [H2_GUARD_STREAMS] = "streams",
        [H2_GUARD_UNKNOWN_FRAME] = "unknown_frame",
    };
    assert(verdict < H2_GUARD_COUNT);
    return names[verdict];
}

static uint8_t goodbye_code(enum h2_guard_verdict verdict) {
    enum { PROTOCOL_ERROR = 0x1, FRAME_SIZE_ERROR = 0x6, ENHANCE_YOUR_CALM = 0xb };
    if (verdict == H2_GUARD_PREFACE) return PROTOCOL_ERROR;
    return verdict == H2_GUARD_FRAME_SIZE ? FRAME_SIZE_ERROR : ENHANCE_YOUR_CALM;
}

/* Every stream that it opened may have been worked on: none is safe to send again. */
size_t h2_guard_goodbye(enum h2_guard_verdict verdict, uint8_t out[17]) {
    const uint8_t frame[17] = {
        0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, goodbye_code(verdict)};
    memcpy(out, frame, sizeof frame);
    return sizeof frame;
}
