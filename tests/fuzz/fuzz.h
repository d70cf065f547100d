/* fuzz - what the targets of libFuzzer share. A target is one file, fuzz_NAME.c; `make fuzz` gives it bytes of
 *        libFuzzer's making, `make test` those of corpus/NAME (replay.c).
 * thread: one.
 * owns:   a tape refers to the target's input.
 * fails:  must() aborts: that is what a finding is. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: '%s' does not hold\n", __FILE__, __LINE__, #condition);        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The input read as decisions; zeros when it has ended. */
struct tape {
    const uint8_t *at, *end;
};

static inline struct tape tape_of(const uint8_t *data, size_t size) {
    return (struct tape){data, data + size};
}

static inline bool tape_more(const struct tape *tape) {
    return tape->at < tape->end;
}

static inline uint8_t tape_byte(struct tape *tape) {
    return tape->at < tape->end ? *tape->at++ : 0;
}

static inline uint64_t tape_number(struct tape *tape, size_t bytes) {
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++) number = number << 8 | tape_byte(tape);
    return number;
}

/* At most so many of the bytes that are left. */
static inline const uint8_t *tape_bytes(struct tape *tape, size_t most, size_t *bytes) {
    const size_t left = (size_t)(tape->end - tape->at);
    const uint8_t *const at = tape->at;
    *bytes = left < most ? left : most;
    if (*bytes > 0) tape->at += *bytes;
    return at;
}

/* Numbers that follow from the input without being a part of it: where pieces end. FNV-1a, then steps. */
static inline uint64_t chance_of(const uint8_t *data, size_t size) {
    uint64_t chance = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++) chance = (chance ^ data[i]) * UINT64_C(0x100000001b3);
    return chance;
}

static inline size_t chance_below(uint64_t *chance, size_t bound) {
    *chance = *chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(*chance >> 33) % bound;
}

/* A copy of its own, so that a step outside is seen, ended with NUL. */
static inline char *text_of(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    must(text != NULL);
    if (size > 0) memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

#endif
