/* h2_guard: what honest clients do passes, each flood ends within a second, wherever a piece ends. */
#include "core/base/clock.h"
#include "gateway/edge/h2_guard.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

enum { DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static struct h2_guard guard;
static uint64_t now_ns;
static uint8_t zeros[1 << 20];

static size_t write_frame(uint8_t *out, uint8_t type, uint8_t flags, uint32_t stream,
                          uint32_t bytes) {
    const uint8_t header[9] = {(uint8_t)(bytes >> 16),
                               (uint8_t)(bytes >> 8),
                               (uint8_t)bytes,
                               type,
                               flags,
                               (uint8_t)(stream >> 24),
                               (uint8_t)(stream >> 16),
                               (uint8_t)(stream >> 8),
                               (uint8_t)stream};
    memcpy(out, header, 9);
    return 9;
}

/* Header and payload of zeros; whether it passed. */
static bool frame(enum h2_guard_side side, uint8_t type, uint8_t flags, uint32_t stream,
                  uint32_t bytes) {
    uint8_t header[9];
    write_frame(header, type, flags, stream, bytes);
    if (h2_guard_see(&guard, side, header, 9, now_ns) < 9) return false;
    require(h2_guard_see(&guard, side, zeros, bytes, now_ns) == bytes);
    require(h2_guard_between(&guard, side));
    return true;
}

static bool client(uint8_t type, uint8_t flags, uint32_t stream, uint32_t bytes) {
    return frame(H2_FROM_CLIENT, type, flags, stream, bytes);
}

static bool server(uint8_t type, uint8_t flags, uint32_t stream, uint32_t bytes) {
    return frame(H2_FROM_SERVER, type, flags, stream, bytes);
}

static void greet(void) {
    now_ns = 5 * CLOCK_S;
    h2_guard_init(&guard, false, now_ns);
    require(h2_guard_see(&guard, H2_FROM_CLIENT, (const uint8_t *)PREFACE, 24, now_ns) == 24);
}

static void announce(uint16_t setting, uint32_t value) {
    uint8_t bytes[15] = {0};
    write_frame(bytes, SETTINGS, 0, 0, 6);
    bytes[9] = (uint8_t)(setting >> 8);
    bytes[10] = (uint8_t)setting;
    for (int i = 0; i < 4; i++) bytes[11 + i] = (uint8_t)(value >> (24 - 8 * i));
    require(h2_guard_see(&guard, H2_FROM_SERVER, bytes, sizeof bytes, now_ns) == sizeof bytes);
}

/* A connection on which calls may begin. */
static void open_connection(void) {
    greet();
    require(client(SETTINGS, 0, 0, 18));
    announce(3, 1000);
    require(client(SETTINGS, ACK, 0, 0));
    require(server(SETTINGS, ACK, 0, 0));
}

static void verdict_is(enum h2_guard_verdict verdict) {
    ck_assert_str_eq(h2_guard_verdict_name(guard.verdict), h2_guard_verdict_name(verdict));
}

static uint32_t call(uint32_t *stream) {
    *stream += 2;
    require(client(HEADERS, END_HEADERS, *stream, 120));
    return *stream;
}

static void answer(uint32_t stream) {
    require(server(HEADERS, END_HEADERS, stream, 30));
    require(server(DATA, 0, stream, 100));
    require(server(HEADERS, END_HEADERS | END_STREAM, stream, 20));
}

/* Frames of one kind, 10,000 a second, until one is refused: within the second. */
static int flood(uint8_t type, uint8_t flags, uint32_t stream, uint32_t bytes) {
    for (int i = 0; i < 10000; i++, now_ns += CLOCK_S / 10000)
        if (!client(type, flags, stream, bytes)) return i;
    return -1;
}

START_TEST(a_unary_client_of_a_hundred_streams_passes) {
    open_connection();
    uint32_t next = 0xffffffff, oldest = 1;
    for (int i = 0; i < 50000; i++, now_ns += CLOCK_S / 50000) {
        const uint32_t stream = call(&next);
        require(client(DATA, 0, stream, 200));
        require(client(DATA, END_STREAM, stream, 0));
        if (i < 99) continue;
        answer(oldest);
        require(client(WINDOW, 0, 0, 4) && client(WINDOW, 0, oldest, 4));
        oldest += 2;
    }
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(a_client_that_does_not_wait_for_settings_passes) {
    greet();
    require(client(SETTINGS, 0, 0, 18));
    uint32_t next = 0xffffffff;
    for (int i = 0; i < 100; i++) require(client(DATA, END_STREAM, call(&next), 50));
    announce(3, 100);
    for (uint32_t stream = 1; stream < 200; stream += 2) answer(stream);
    require(client(SETTINGS, ACK, 0, 0));
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(two_hundred_cancels_a_second_pass_for_ever) {
    open_connection();
    uint32_t next = 0xffffffff;
    for (int i = 0; i < 20000; i++, now_ns += CLOCK_S / 200)
        require(client(RST, 0, call(&next), 4));
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(a_client_may_cancel_as_many_calls_as_it_lets_end) {
    open_connection();
    uint32_t next = 0xffffffff;
    for (int i = 0; i < 20000; i++, now_ns += CLOCK_S / 5000) {
        answer(call(&next));
        require(client(RST, 0, call(&next), 4));
    }
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(messages_of_64_mib_pass_both_ways) {
    open_connection();
    uint32_t next = 0xffffffff;
    const uint32_t stream = call(&next);
    for (int i = 0; i < 4096; i++, now_ns += CLOCK_US) {
        require(client(DATA, 0, stream, 16384));
        if (i % 2 == 0) require(server(WINDOW, 0, stream, 4) && server(WINDOW, 0, 0, 4));
    }
    for (int i = 0; i < 4096; i++, now_ns += CLOCK_US) {
        require(server(DATA, 0, stream, 16384));
        require(client(WINDOW, 0, stream, 4) && client(WINDOW, 0, 0, 4));
    }
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(a_large_answer_may_be_acknowledged_in_small_steps) {
    open_connection();
    uint32_t next = 0xffffffff;
    const uint32_t stream = call(&next);
    for (int i = 0; i < 64; i++) {
        require(server(DATA, 0, stream, 1 << 20));
        for (int step = 0; step < 512; step++)
            require(client(WINDOW, 0, stream, 4) && client(WINDOW, 0, 0, 4));
    }
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(keepalive_and_one_measurement_for_each_answer_pass) {
    open_connection();
    uint32_t next = 0xffffffff;
    for (int i = 0; i < 1000; i++, now_ns += 10 * CLOCK_S) require(client(PING, 0, 0, 8));
    for (int i = 0; i < 20000; i++, now_ns += CLOCK_S / 20000) {
        answer(call(&next));
        require(client(PING, 0, 0, 8));
    }
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(what_the_server_asks_is_answered_without_a_limit) {
    open_connection();
    for (int i = 0; i < 10000; i++) {
        require(server(PING, 0, 0, 8) && client(PING, ACK, 0, 8));
        announce(4, 65535);
        require(client(SETTINGS, ACK, 0, 0));
    }
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(a_window_that_is_adapted_ten_times_a_second_passes) {
    open_connection();
    for (int i = 0; i < 1000; i++, now_ns += CLOCK_S / 10) require(client(SETTINGS, 0, 0, 12));
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(headers_of_16_kib_pass_ten_times_a_second) {
    open_connection();
    uint32_t next = 0xffffffff;
    for (int i = 0; i < 100; i++, now_ns += CLOCK_S / 10) {
        next += 2;
        require(client(HEADERS, 0, next, 8192) && client(CONTINUATION, 0, next, 4096));
        require(client(CONTINUATION, END_HEADERS, next, 4096));
        answer(next);
    }
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(a_stream_that_lives_long_is_not_mistaken_for_many) {
    open_connection();
    uint32_t next = 0xffffffff;
    call(&next);
    for (int i = 0; i < 3 * H2_GUARD_STREAM_BITS; i++) answer(call(&next));
    ck_assert_uint_le(guard.open, 1);
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(a_rapid_reset_is_ended) {
    open_connection();
    uint32_t next = 0xffffffff;
    int resets = 0;
    for (; resets < 20000; resets++, now_ns += CLOCK_S / 20000)
        if (!client(RST, 0, call(&next), 4)) break;
    verdict_is(H2_GUARD_RAPID_RESET);
    ck_assert_int_ge(resets, 300);
    ck_assert_int_lt(resets, 600);
}
END_TEST

START_TEST(resets_of_streams_that_are_not_there_are_ended) {
    open_connection();
    ck_assert_int_ge(flood(RST, 0, 77, 4), 0);
    verdict_is(H2_GUARD_RAPID_RESET);
}
END_TEST

START_TEST(a_server_that_is_made_to_reset_is_saved) {
    open_connection();
    uint32_t next = 0xffffffff;
    int resets = 0;
    for (; resets < 20000; resets++, now_ns += CLOCK_S / 20000) {
        const uint32_t stream = call(&next);
        require(client(WINDOW, 0, stream, 4)); /* of nothing: an error of the stream */
        if (!server(RST, 0, stream, 4)) break;
    }
    verdict_is(H2_GUARD_MADE_RESET);
    ck_assert_int_lt(resets, 300);
}
END_TEST

START_TEST(a_reset_by_the_server_after_its_answer_is_free) {
    open_connection();
    uint32_t next = 0xffffffff;
    for (int i = 0; i < 20000; i++, now_ns += CLOCK_S / 20000) {
        const uint32_t stream = call(&next);
        answer(stream);
        require(server(RST, 0, stream, 4));
    }
    verdict_is(H2_GUARD_CLEAN);
}
END_TEST

START_TEST(streams_without_an_acknowledgement_are_bounded) {
    greet();
    require(client(SETTINGS, 0, 0, 0));
    uint32_t stream = 1;
    while (client(HEADERS, END_HEADERS, stream, 50)) stream += 2;
    verdict_is(H2_GUARD_STREAMS);
    ck_assert_uint_eq(stream / 2, 1024);

    greet();
    require(client(SETTINGS, 0, 0, 0));
    announce(3, 1000);
    for (stream = 1; client(HEADERS, END_HEADERS, stream, 50); stream += 2)
        require(server(HEADERS, END_HEADERS | END_STREAM, stream, 20));
    verdict_is(H2_GUARD_STREAMS);
    ck_assert_uint_eq(stream / 2, 1024);
}
END_TEST

START_TEST(who_has_flooded_before_gets_an_eighth_at_once) {
    for (int wary = 0; wary < 2; wary++) {
        h2_guard_init(&guard, wary != 0, 5 * CLOCK_S);
        now_ns = 5 * CLOCK_S;
        require(h2_guard_see(&guard, H2_FROM_CLIENT, (const uint8_t *)PREFACE, 24, now_ns) == 24);
        require(client(SETTINGS, 0, 0, 18));
        uint32_t count = 0;
        while (client(PING, 0, 0, 8)) count++;
        verdict_is(H2_GUARD_PING);
        ck_assert_uint_eq(count, wary ? 100 / 8 : 100);
    }
}
END_TEST

START_TEST(more_streams_than_the_server_allows_are_ended) {
    open_connection();
    uint32_t stream = 1;
    while (client(HEADERS, END_HEADERS, stream, 50)) stream += 2;
    verdict_is(H2_GUARD_STREAMS);
    ck_assert_uint_eq(stream / 2, 1000);
}
END_TEST

START_TEST(headers_for_old_or_impossible_streams_are_ended) {
    open_connection();
    uint32_t next = 0xffffffff;
    answer(call(&next));
    ck_assert_int_ge(flood(HEADERS, END_HEADERS | END_STREAM, 1, 10), 0);
    verdict_is(H2_GUARD_STREAMS);
    open_connection();
    ck_assert(!client(HEADERS, END_HEADERS, 2, 10));
    verdict_is(H2_GUARD_STREAMS);
    open_connection();
    ck_assert(!client(HEADERS, END_HEADERS, 0, 10));
    verdict_is(H2_GUARD_STREAMS);
}
END_TEST

START_TEST(continuations_without_end_are_ended) {
    open_connection();
    require(client(HEADERS, 0, 1, 10));
    ck_assert_int_eq(flood(CONTINUATION, 0, 1, 0), 8);
    verdict_is(H2_GUARD_CONTINUATION);
}
END_TEST

START_TEST(continuations_out_of_place_are_ended) {
    open_connection();
    ck_assert(!client(CONTINUATION, END_HEADERS, 1, 10));
    verdict_is(H2_GUARD_CONTINUATION);
    open_connection();
    require(client(HEADERS, 0, 1, 10));
    ck_assert(!client(CONTINUATION, 0, 3, 10));
    verdict_is(H2_GUARD_CONTINUATION);
    open_connection();
    require(client(HEADERS, 0, 1, 10));
    ck_assert(!client(PING, 0, 0, 8));
    verdict_is(H2_GUARD_CONTINUATION);
    open_connection();
    require(client(HEADERS, END_HEADERS, 1, 10));
    ck_assert(!client(CONTINUATION, END_HEADERS, 1, 10));
    verdict_is(H2_GUARD_CONTINUATION);
}
END_TEST

START_TEST(a_header_block_may_have_just_so_many_bytes) {
    open_connection();
    require(client(HEADERS, 0, 1, 16384) && client(CONTINUATION, END_HEADERS, 1, 16384));
    require(client(HEADERS, 0, 3, 16384) && client(CONTINUATION, 0, 3, 16384));
    ck_assert(!client(CONTINUATION, END_HEADERS, 3, 1));
    verdict_is(H2_GUARD_HEADER_BLOCK);
}
END_TEST

START_TEST(padding_counts_as_a_part_of_the_block) {
    open_connection();
    uint32_t stream = 1;
    while (client(HEADERS, END_HEADERS | PADDED, stream, 16384)) {
        answer(stream);
        stream += 2;
    }
    verdict_is(H2_GUARD_HEADER_BLOCK);
    ck_assert_uint_lt(stream, 200);
}
END_TEST

START_TEST(floods_of_one_kind_are_ended) {
    static const struct {
        uint8_t type, flags;
        uint32_t stream, bytes;
        enum h2_guard_verdict verdict;
    } floods[] = {
        {SETTINGS, 0, 0, 0, H2_GUARD_SETTINGS},
        {SETTINGS, 0, 0, 60, H2_GUARD_SETTINGS},
        {SETTINGS, ACK, 0, 0, H2_GUARD_SETTINGS},
        {PING, 0, 0, 8, H2_GUARD_PING},
        {PING, ACK, 0, 8, H2_GUARD_PING},
        {WINDOW, 0, 0, 4, H2_GUARD_WINDOW_UPDATE},
        {WINDOW, 0, 1, 4, H2_GUARD_WINDOW_UPDATE},
        {PRIORITY, 0, 9, 5, H2_GUARD_PRIORITY},
        {DATA, 0, 1, 0, H2_GUARD_EMPTY_DATA},
        {DATA, END_STREAM, 1, 0, H2_GUARD_EMPTY_DATA},
        {DATA, PADDED, 1, 256, H2_GUARD_EMPTY_DATA},
        {GOAWAY, 0, 0, 8, H2_GUARD_UNKNOWN_FRAME},
        {PUSH, END_HEADERS, 1, 20, H2_GUARD_UNKNOWN_FRAME},
        {10, 0, 0, 20, H2_GUARD_UNKNOWN_FRAME},
        {0xfa, 0xff, 1, 0, H2_GUARD_UNKNOWN_FRAME},
    };
    for (size_t i = 0; i < sizeof floods / sizeof floods[0]; i++) {
        open_connection();
        require(client(HEADERS, END_HEADERS, 1, 50));
        const int after = flood(floods[i].type, floods[i].flags, floods[i].stream, floods[i].bytes);
        ck_assert_int_gt(after, 10);
        ck_assert_int_lt(after, 500);
        verdict_is(floods[i].verdict);
    }
}
END_TEST

START_TEST(settings_of_too_many_entries_are_ended) {
    open_connection();
    ck_assert(!client(SETTINGS, 0, 0, 246));
    verdict_is(H2_GUARD_SETTINGS);
}
END_TEST

START_TEST(frames_larger_than_announced_are_ended) {
    open_connection();
    ck_assert(!client(DATA, 0, 1, 16385));
    verdict_is(H2_GUARD_FRAME_SIZE);
    open_connection();
    announce(5, 1 << 20);
    announce(5, 16384); /* what was allowed before may be under way */
    require(client(HEADERS, END_HEADERS, 1, 50) && client(DATA, 0, 1, 1 << 20));
    ck_assert(!client(DATA, 0, 1, (1 << 20) + 1));
    verdict_is(H2_GUARD_FRAME_SIZE);
    open_connection();
    announce(5, 1 << 20);
    ck_assert(!client(GOAWAY, 0, 0, 16385)); /* what is not DATA has no use for that */
    verdict_is(H2_GUARD_FRAME_SIZE);
}
END_TEST

START_TEST(frames_of_a_wrong_size_are_ended) {
    static const struct {
        uint8_t type, flags;
        uint32_t bytes;
    } frames[] = {{SETTINGS, 0, 7}, {SETTINGS, ACK, 6}, {PING, 0, 7},     {PING, ACK, 9},
                  {RST, 0, 5},      {WINDOW, 0, 0},     {PRIORITY, 0, 4}, {PRIORITY, 0, 16000}};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        open_connection();
        ck_assert(!client(frames[i].type, frames[i].flags, 1, frames[i].bytes));
        verdict_is(H2_GUARD_FRAME_SIZE);
    }
}
END_TEST

START_TEST(a_stranger_to_http_2_is_known_at_its_first_wrong_byte) {
    h2_guard_init(&guard, false, 0);
    ck_assert_uint_eq(
        h2_guard_see(&guard, H2_FROM_CLIENT, (const uint8_t *)"PRI / HTTP/1.1\r\n", 16, 0), 4);
    verdict_is(H2_GUARD_PREFACE);
    ck_assert_uint_eq(h2_guard_see(&guard, H2_FROM_CLIENT, zeros, 5, 0), 0);
    greet();
    ck_assert(!client(HEADERS, END_HEADERS, 1, 50)); /* SETTINGS come first */
    verdict_is(H2_GUARD_PREFACE);
    greet();
    ck_assert(!client(SETTINGS, ACK, 0, 0));
    verdict_is(H2_GUARD_PREFACE);
}
END_TEST

START_TEST(a_clock_that_stands_gives_no_more_than_the_first_budget) {
    open_connection();
    int pings = 0;
    while (client(PING, 0, 0, 8)) pings++;
    ck_assert_int_eq(pings, 100);
    open_connection();
    now_ns += 1000 * CLOCK_S;
    for (pings = 0; client(PING, 0, 0, 8);) pings++;
    ck_assert_int_eq(pings, 100);
}
END_TEST

/* A client's first bytes; the last frame is a large one, and is cut. */
static uint8_t client_bytes[4096];

static size_t write_client(void) {
    uint8_t *at = client_bytes;
    memset(client_bytes, 0, sizeof client_bytes);
    memcpy(at, PREFACE, 24);
    at += 24;
    at += write_frame(at, SETTINGS, 0, 0, 12) + 12;
    at += write_frame(at, HEADERS, 0, 1, 40) + 40;
    at += write_frame(at, CONTINUATION, END_HEADERS, 1, 40) + 40;
    at += write_frame(at, DATA, 0, 1, 17000) + 100;
    return (size_t)(at - client_bytes);
}

START_TEST(where_a_piece_ends_changes_nothing) {
    uint8_t settings[15] = {0};
    write_frame(settings, SETTINGS, 0, 0, 6);
    settings[10] = 5;
    settings[12] = 1; /* 65,536 */
    const size_t count = write_client();
    for (size_t split = 0; split <= sizeof settings; split++) {
        h2_guard_init(&guard, false, 0);
        require(h2_guard_see(&guard, H2_FROM_SERVER, settings, split, 0) == split);
        h2_guard_see(&guard, H2_FROM_SERVER, settings + split, sizeof settings - split, 0);
        ck_assert_uint_eq(h2_guard_see(&guard, H2_FROM_CLIENT, client_bytes, count, 0), count);
        verdict_is(H2_GUARD_CLEAN);
    }
    for (size_t split = 0; split <= count; split++) {
        h2_guard_init(&guard, false, 0); /* without the announcement the last one is too large */
        size_t passed = h2_guard_see(&guard, H2_FROM_CLIENT, client_bytes, split, 0);
        passed += h2_guard_see(&guard, H2_FROM_CLIENT, client_bytes + split, count - split, 0);
        verdict_is(H2_GUARD_FRAME_SIZE);
        ck_assert_uint_ge(passed, count - 109);
        ck_assert_uint_lt(passed, count - 100);
    }
}
END_TEST

START_TEST(the_frame_that_breaks_the_rules_does_not_pass) {
    greet();
    uint8_t bytes[64] = {0};
    size_t count = write_frame(bytes, SETTINGS, 0, 0, 0);
    count += write_frame(bytes + count, PING, 0, 0, 7);
    ck_assert_uint_eq(h2_guard_see(&guard, H2_FROM_CLIENT, bytes, 64, now_ns), 9);
    verdict_is(H2_GUARD_FRAME_SIZE);
}
END_TEST

START_TEST(goodbye_says_why) {
    uint8_t out[17];
    static const uint8_t code[H2_GUARD_COUNT] = {[H2_GUARD_PREFACE] = 1, [H2_GUARD_FRAME_SIZE] = 6};
    for (enum h2_guard_verdict verdict = 1; verdict < H2_GUARD_COUNT; verdict++) {
        ck_assert_uint_eq(h2_guard_goodbye(verdict, out), 17);
        ck_assert_mem_eq(out, "\0\0\10\7\0\0\0\0\0\177\377\377\377\0\0\0", 16);
        ck_assert_uint_eq(out[16], code[verdict] != 0 ? code[verdict] : 11);
        ck_assert_ptr_nonnull(h2_guard_verdict_name(verdict));
    }
}
END_TEST

SUITE("gateway/edge/h2_guard", 30, a_unary_client_of_a_hundred_streams_passes,
      a_client_that_does_not_wait_for_settings_passes, two_hundred_cancels_a_second_pass_for_ever,
      a_client_may_cancel_as_many_calls_as_it_lets_end, messages_of_64_mib_pass_both_ways,
      a_large_answer_may_be_acknowledged_in_small_steps,
      keepalive_and_one_measurement_for_each_answer_pass,
      what_the_server_asks_is_answered_without_a_limit,
      a_window_that_is_adapted_ten_times_a_second_passes, headers_of_16_kib_pass_ten_times_a_second,
      a_stream_that_lives_long_is_not_mistaken_for_many, a_rapid_reset_is_ended,
      resets_of_streams_that_are_not_there_are_ended, a_server_that_is_made_to_reset_is_saved,
      a_reset_by_the_server_after_its_answer_is_free,
      streams_without_an_acknowledgement_are_bounded, who_has_flooded_before_gets_an_eighth_at_once,
      more_streams_than_the_server_allows_are_ended,
      headers_for_old_or_impossible_streams_are_ended, continuations_without_end_are_ended,
      continuations_out_of_place_are_ended, a_header_block_may_have_just_so_many_bytes,
      padding_counts_as_a_part_of_the_block, floods_of_one_kind_are_ended,
      settings_of_too_many_entries_are_ended, frames_larger_than_announced_are_ended,
      frames_of_a_wrong_size_are_ended, a_stranger_to_http_2_is_known_at_its_first_wrong_byte,
      a_clock_that_stands_gives_no_more_than_the_first_budget, where_a_piece_ends_changes_nothing,
      the_frame_that_breaks_the_rules_does_not_pass, goodbye_says_why)
