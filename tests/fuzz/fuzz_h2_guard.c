/* h2_guard: a conversation whose pieces end anywhere is seen as one whose pieces are whole, and nothing is
 * counted out of its bounds. Input: pieces of [how, length, bytes]; how: the side, a pause, and whether it comes
 * a hundred times. */
#include "core/base/clock.h"
#include "gateway/edge/h2_guard.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct h2_guard *guard) {
    must(guard->verdict < H2_GUARD_COUNT);
    must(guard->open <= guard->opened && guard->open <= H2_GUARD_STREAM_BITS);
    must(guard->readers[0].have < 9 && guard->readers[1].have < 9 && guard->preface <= 24);
    must(guard->setting_have < 6);
    uint32_t set = 0;
    for (size_t i = 0; i < H2_GUARD_STREAM_BITS / 64; i++)
        set += (uint32_t)__builtin_popcountll(guard->open_streams[i]);
    must(set == guard->open);
}

static size_t see_in_pieces(struct h2_guard *guard, enum h2_guard_side side, const uint8_t *bytes,
                            size_t count, uint64_t now_ns, uint64_t *chance) {
    size_t at = 0;
    while (at < count && guard->verdict == H2_GUARD_CLEAN) {
        size_t piece = 1 + chance_below(chance, 1 + chance_below(chance, 24));
        if (piece > count - at) piece = count - at;
        at += h2_guard_see(guard, side, bytes + at, piece, now_ns);
    }
    return at;
}

struct pair_of_guards {
    struct h2_guard whole, pieces;
    uint64_t now_ns, chance;
};

static void see(struct pair_of_guards *guards, enum h2_guard_side side, const uint8_t *bytes,
                size_t count) {
    struct h2_guard *const whole = &guards->whole, *const pieces = &guards->pieces;
    const size_t passed = h2_guard_see(whole, side, bytes, count, guards->now_ns);
    const size_t also = see_in_pieces(pieces, side, bytes, count, guards->now_ns, &guards->chance);
    check(whole);
    must(pieces->verdict == whole->verdict && pieces->open == whole->open);
    must(passed <= count && also >= passed && also < passed + 9);
    must((passed == count) == (whole->verdict == H2_GUARD_CLEAN));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tape tape = tape_of(data, size);
    struct pair_of_guards guards = {.now_ns = CLOCK_S, .chance = chance_of(data, size)};
    h2_guard_init(&guards.whole, false, guards.now_ns);
    h2_guard_init(&guards.pieces, false, guards.now_ns);
    while (tape_more(&tape) && guards.whole.verdict == H2_GUARD_CLEAN) {
        const uint8_t how = tape_byte(&tape);
        const enum h2_guard_side side = how & 1 ? H2_FROM_SERVER : H2_FROM_CLIENT;
        size_t count;
        const uint8_t *bytes = tape_bytes(&tape, 1 + (size_t)tape_byte(&tape), &count);
        guards.now_ns += (uint64_t)(how >> 1 & 63) * 10 * CLOCK_MS;
        int times = how & 128 ? 100 : 1;
        while (count > 0 && times-- > 0 && guards.whole.verdict == H2_GUARD_CLEAN)
            see(&guards, side, bytes, count);
    }
    uint8_t goodbye[17];
    must(h2_guard_goodbye(guards.whole.verdict, goodbye) == sizeof goodbye);
    must(h2_guard_verdict_name(guards.whole.verdict) != NULL);
    return 0;
}
