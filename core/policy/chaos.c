#include "core/policy/chaos.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define WORD_BYTES   64
#define ALLOWED_RATE "a rate from 0%% to 100%% such as 0.5%%"

struct unit {
    const char *name; /* NULL ends the list */
    uint64_t factor;
};

static const struct unit times[] = {
    {"ms", 1000000}, {"s", 1000000000}, {"m", UINT64_C(60000000000)}, {NULL, 0}};
static const struct unit sizes[] = {{"B", 1},
                                    {"KiB", UINT64_C(1) << 10},
                                    {"MiB", UINT64_C(1) << 20},
                                    {"GiB", UINT64_C(1) << 30},
                                    {NULL, 0}};

static const char *const names[] = {
#define CHAOS_TEXT(name, text, amount) text,
    CHAOS_FAULTS(CHAOS_TEXT)
#undef CHAOS_TEXT
};

static const enum chaos_amount amounts[] = {
#define CHAOS_AMOUNT(name, text, amount) amount,
    CHAOS_FAULTS(CHAOS_AMOUNT)
#undef CHAOS_AMOUNT
};

const char *chaos_name(enum chaos_fault fault) {
    return fault < CHAOS_NONE ? names[fault] : "none";
}

/* --- reading --------------------------------------------------------------------------------------- */

static bool refuse(char error[CHAOS_ERROR_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(char error[CHAOS_ERROR_BYTES], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, CHAOS_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

/* Digits; *text moves behind them. */
static bool parse_digits(const char **text, uint64_t *number) {
    const char *start = *text;
    *number = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        if (__builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, (uint64_t)(**text - '0'), number))
            return false;
    }
    return *text != start;
}

static bool parse_amount(const char *text, const struct unit *units, uint64_t *amount) {
    if (!parse_digits(&text, amount) || *amount == 0) return false;
    while (units->name != NULL && strcmp(units->name, text) != 0) units++;
    return units->name != NULL && !__builtin_mul_overflow(*amount, units->factor, amount);
}

/* "5%", "0.25%", with at most four digits behind the point; *text moves behind it. */
static bool parse_rate(const char **text, uint32_t *rate) {
    uint64_t whole, part = 0;
    if (!parse_digits(text, &whole) || whole > 100) return false;
    whole *= CHAOS_MILLION / 100;
    if (**text == '.') {
        const char *start = ++*text;
        if (!parse_digits(text, &part) || *text - start > 4) return false;
        for (ptrdiff_t digits = *text - start; digits < 4; digits++) part *= 10;
    }
    if (**text != '%' || whole + part > CHAOS_MILLION) return false;
    ++*text;
    *rate = (uint32_t)(whole + part);
    return true;
}

/* What stands behind the colon of a fault that has an amount. */
static bool parse_rest(const char *word, const char *rest, enum chaos_fault fault, uint64_t *amount,
                       char error[CHAOS_ERROR_BYTES]) {
    const char *name = names[fault];
    switch (amounts[fault]) {
    case CHAOS_RATE:
        if (*rest == '\0') return true;
        return refuse(error, "\"%s\" is not a rate, allowed is %s= and " ALLOWED_RATE, word, name);
    case CHAOS_TIME:
        if (*rest == ':' && parse_amount(rest + 1, times, amount)) return true;
        return refuse(error,
                      "\"%s\" has no time, allowed is a rate and a time such as %s=10%%:50ms", word,
                      name);
    case CHAOS_SIZE:
        if (*rest == ':' && parse_amount(rest + 1, sizes, amount)) return true;
        return refuse(error,
                      "\"%s\" has no size, allowed is a rate and a size such as %s=5%%:64MiB", word,
                      name);
    }
    return false;
}

static bool parse_fault(struct chaos_options *options, const char *word, enum chaos_fault fault,
                        uint32_t *given, char error[CHAOS_ERROR_BYTES]) {
    const char *rest = word + strlen(names[fault]) + 1;
    if ((*given & UINT32_C(1) << fault) != 0)
        return refuse(error, "%s is given twice, allowed is once", names[fault]);
    *given |= UINT32_C(1) << fault;
    if (!parse_rate(&rest, &options->faults[fault].rate))
        return refuse(error, "\"%s\" has no rate, allowed is %s= and " ALLOWED_RATE, word,
                      names[fault]);
    return parse_rest(word, rest, fault, &options->faults[fault].amount, error);
}

static bool parse_seed(struct chaos_options *options, const char *word,
                       char error[CHAOS_ERROR_BYTES]) {
    const char *digits = word + strlen("seed=");
    if (options->seeded) return refuse(error, "seed is given twice, allowed is once");
    options->seeded = true;
    if (parse_digits(&digits, &options->seed) && *digits == '\0') return true;
    return refuse(error, "\"%s\" is not a seed, allowed is a whole number such as seed=42", word);
}

static bool parse_word(struct chaos_options *options, const char *word, uint32_t *given,
                       char error[CHAOS_ERROR_BYTES]) {
    size_t bytes = strcspn(word, "=");
    if (strncmp(word, "seed=", 5) == 0) return parse_seed(options, word, error);
    for (int i = 0; i < CHAOS_NONE; i++)
        if (word[bytes] == '=' && strlen(names[i]) == bytes && memcmp(names[i], word, bytes) == 0)
            return parse_fault(options, word, (enum chaos_fault)i, given, error);
    return refuse(error,
                  "\"%s\" is not a fault, allowed are seed=, crash=, hang=, delay=, garbage=, "
                  "balloon= and slow-load=",
                  word);
}

static uint32_t total_rate(const struct chaos_options *options) {
    uint32_t total = 0;
    for (int i = 0; i < CHAOS_SLOW_LOAD; i++) total += options->faults[i].rate;
    return total;
}

enum outcome chaos_parse(struct chaos_options *out, const char *text,
                         char error[CHAOS_ERROR_BYTES]) {
    *out = (struct chaos_options){0};
    error[0] = '\0';
    uint32_t given = 0;
    for (const char *at = text + strspn(text, " "); *at != '\0';) {
        size_t bytes = strcspn(at, " ");
        char word[WORD_BYTES];
        snprintf(word, sizeof word, "%.*s", (int)(bytes < WORD_BYTES ? bytes : WORD_BYTES), at);
        if (bytes >= WORD_BYTES) refuse(error, "\"%s…\" is too long, allowed are 63 bytes", word);
        if (bytes >= WORD_BYTES || !parse_word(out, word, &given, error)) return INVALID_REQUEST;
        at += bytes;
        at += strspn(at, " ");
    }
    if (total_rate(out) <= CHAOS_MILLION) return OK;
    refuse(error, "the rates of what befalls requests add up to %u%%, allowed is at most 100%%",
           (total_rate(out) + CHAOS_MILLION / 100 - 1) / (CHAOS_MILLION / 100));
    return INVALID_REQUEST;
}

/* --- deciding -------------------------------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t chaos_draw(struct chaos *chaos) {
    uint64_t z = chaos->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Stirred after each, so that neighbours do not get the same sequence at another place. */
void chaos_open(struct chaos *chaos, const struct chaos_options *options, uint32_t slot,
                uint32_t run) {
    *chaos = (struct chaos){.options = *options, .state = options->seed};
    chaos->state = chaos_draw(chaos) ^ slot;
    chaos->state = chaos_draw(chaos) ^ run;
    chaos->state = chaos_draw(chaos);
}

static uint32_t draw_of_million(struct chaos *chaos) {
    return (uint32_t)((chaos_draw(chaos) >> 32) * CHAOS_MILLION >> 32);
}

enum chaos_fault chaos_on_load(struct chaos *chaos) {
    bool slow = draw_of_million(chaos) < chaos->options.faults[CHAOS_SLOW_LOAD].rate;
    return slow ? CHAOS_SLOW_LOAD : CHAOS_NONE;
}

enum chaos_fault chaos_on_request(struct chaos *chaos) {
    uint32_t drawn = draw_of_million(chaos), below = 0;
    for (int i = 0; i < CHAOS_SLOW_LOAD; i++) {
        below += chaos->options.faults[i].rate;
        if (drawn < below) return (enum chaos_fault)i;
    }
    return CHAOS_NONE;
}
