#include "gateway/config/value.h"

#include "core/base/clock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name; /* NULL ends the list; largest first */
    uint64_t factor;
};

static const struct unit ones[] = {{"", 1}, {NULL, 0}};
static const struct unit hundredths[] = {{"%", 1}, {NULL, 0}};
static const struct unit sizes[] = {{"TiB", UINT64_C(1) << 40},
                                    {"GiB", UINT64_C(1) << 30},
                                    {"MiB", UINT64_C(1) << 20},
                                    {"KiB", UINT64_C(1) << 10},
                                    {"B", 1},
                                    {"", 1},
                                    {NULL, 0}};
static const struct unit times[] = {
    {"h", 3600 * CLOCK_S}, {"m", 60 * CLOCK_S}, {"s", CLOCK_S}, {"ms", CLOCK_MS}, {NULL, 0}};

static const struct choice booleans[] = {{"true", true}, {"false", false}, {"yes", true},
                                         {"no", false},  {"on", true},     {"off", false},
                                         {NULL, 0}};

/* Digits, then a unit. What is too large for 64 bits becomes UINT64_MAX, which no range holds. */
static bool parse_amount(const char *text, const struct unit *units, uint64_t *amount) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0) return false;
    *amount = 0;
    for (size_t i = 0; i < digits; i++) {
        if (__builtin_mul_overflow(*amount, 10, amount) ||
            __builtin_add_overflow(*amount, (uint64_t)(text[i] - '0'), amount)) {
            *amount = UINT64_MAX;
            break;
        }
    }
    while (units->name != NULL && strcmp(units->name, text + digits) != 0) units++;
    if (units->name == NULL) return false;
    if (__builtin_mul_overflow(*amount, units->factor, amount)) *amount = UINT64_MAX;
    return true;
}

static bool parse_choice(const char *text, const struct choice *choices, unsigned *choice) {
    for (; choices->name != NULL; choices++) {
        if (strcmp(choices->name, text) == 0) {
            *choice = choices->value;
            return true;
        }
    }
    return false;
}

/* The host of "HOST:PORT" and "[HOST]:PORT" without brackets. */
static bool split_address(const char *text, char host[64], const char **port) {
    const char *start = text, *end = strrchr(text, ':');
    if (end == NULL) return false;
    *port = end + 1;
    if (*text == '[') {
        if (end[-1] != ']') return false;
        start++;
        end--;
    }
    size_t bytes = (size_t)(end - start);
    if (bytes >= 64) return false;
    memcpy(host, start, bytes);
    host[bytes] = '\0';
    return true;
}

static bool parse_listen(char *text, struct listen_address *listen) {
    const char *port;
    uint64_t number;
    bool bracketed = *text == '[';
    if (!split_address(text, listen->host, &port)) return false;
    if (!parse_amount(port, ones, &number) || number > UINT16_MAX) return false;
    listen->port = (uint16_t)number;
    listen->text = text;

    struct in_addr v4;
    struct in6_addr v6;
    if (bracketed) {
        if (inet_pton(AF_INET6, listen->host, &v6) != 1) return false;
        listen->loopback =
            IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
        return true;
    }
    if (strcmp(listen->host, "localhost") == 0)
        snprintf(listen->host, sizeof listen->host, "127.0.0.1");
    if (inet_pton(AF_INET, listen->host, &v4) != 1) return false;
    listen->loopback = ntohl(v4.s_addr) >> 24 == 127;
    return true;
}

static enum verdict in_range(const struct key *key, uint64_t amount) {
    return amount >= key->least && amount <= key->most ? VALUE_FITS : VALUE_OUT_OF_RANGE;
}

static enum verdict parse_ranged(const struct key *key, const char *text, const struct unit *units,
                                 uint64_t *amount) {
    if (!parse_amount(text, units, amount)) return VALUE_WRONG;
    return in_range(key, *amount);
}

static enum verdict parse_number(const struct key *key, const char *text, const struct unit *units,
                                 uint32_t *number) {
    uint64_t amount;
    enum verdict verdict = parse_ranged(key, text, units, &amount);
    if (verdict == VALUE_FITS) *number = (uint32_t)amount;
    return verdict;
}

static enum verdict parse_share(const struct key *key, const char *text, struct share *share) {
    uint64_t percent;
    if (!parse_amount(text, hundredths, &percent))
        return parse_ranged(key, text, sizes, &share->bytes);
    if (percent < 1 || percent > 100) return VALUE_OUT_OF_RANGE;
    share->percent = (uint32_t)percent;
    return VALUE_FITS;
}

static enum verdict parse_time(const struct key *key, const char *text, uint64_t *time_ns) {
    if (strcmp(text, "0") == 0) return in_range(key, *time_ns = 0);
    return parse_ranged(key, text, times, time_ns);
}

static enum verdict fits(bool whether) {
    return whether ? VALUE_FITS : VALUE_WRONG;
}

enum verdict value_parse(const struct key *key, char *text, union value *value) {
    unsigned choice = 0;
    enum verdict verdict = VALUE_WRONG;
    memset(value, 0, sizeof *value);
    switch (key->kind) {
    case KIND_BOOLEAN:
        verdict = fits(parse_choice(text, booleans, &choice));
        value->boolean = choice != 0;
        return verdict;
    case KIND_NUMBER: return parse_number(key, text, ones, &value->number);
    case KIND_COUNT: return parse_ranged(key, text, ones, &value->amount);
    case KIND_SIZE: return parse_ranged(key, text, sizes, &value->amount);
    case KIND_TIME: return parse_time(key, text, &value->amount);
    case KIND_PERCENT: return parse_number(key, text, hundredths, &value->number);
    case KIND_SHARE: return parse_share(key, text, &value->share);
    case KIND_CHOICE: return fits(parse_choice(text, key->choices, &value->choice));
    case KIND_TEXT: value->text = text; return fits(key->fits == NULL || key->fits(text));
    case KIND_LISTEN: return fits(parse_listen(text, &value->listen));
    case KIND_TEXTS:
    case KIND_PAIRS:
    case KIND_POOLS: break;
    }
    return verdict; /* lists and maps are no scalars */
}

size_t value_bytes(enum kind kind) {
    static const size_t bytes[] = {
#define KIND_BYTES(name, noun, type) [KIND_##name] = sizeof(type),
        KINDS(KIND_BYTES)
#undef KIND_BYTES
    };
    return bytes[kind];
}

const char *value_noun(enum kind kind) {
    static const char *const nouns[] = {
#define KIND_NOUN(name, noun, type) [KIND_##name] = noun,
        KINDS(KIND_NOUN)
#undef KIND_NOUN
    };
    return nouns[kind];
}

/* In the largest unit that says it exactly. */
static void describe_amount(uint64_t amount, const struct unit *units, char text[32]) {
    const struct unit *unit = units;
    while (unit[1].name != NULL && (amount < unit->factor || amount % unit->factor != 0)) unit++;
    snprintf(text, 32, "%llu%s", (unsigned long long)(amount / unit->factor), unit->name);
}

static void describe_range(const struct key *key, const char *what, const struct unit *units,
                           char text[VALUE_ALLOWED_BYTES]) {
    char least[32], most[32];
    describe_amount(key->least, units, least);
    describe_amount(key->most, units, most);
    snprintf(text, VALUE_ALLOWED_BYTES, "%s from %s to %s", what, least, most);
}

static void describe_choices(const struct choice *choices, char text[VALUE_ALLOWED_BYTES]) {
    size_t bytes = 0;
    for (size_t i = 0; choices[i].name != NULL && bytes < VALUE_ALLOWED_BYTES; i++) {
        const char *joint = i == 0 ? "" : choices[i + 1].name == NULL ? " or " : ", ";
        bytes += (size_t)snprintf(text + bytes, VALUE_ALLOWED_BYTES - bytes, "%s%s", joint,
                                  choices[i].name);
    }
}

void value_allowed(const struct key *key, char text[VALUE_ALLOWED_BYTES]) {
    const char *allowed = key->allowed;
    switch (key->kind) {
    case KIND_NUMBER:
    case KIND_COUNT: describe_range(key, "a whole number", ones, text); return;
    case KIND_PERCENT: describe_range(key, "a percentage", hundredths, text); return;
    case KIND_SIZE: describe_range(key, "a size such as 64MiB,", sizes, text); return;
    case KIND_TIME: describe_range(key, "a time such as 5ms, 30s, 2m or 1h,", times, text); return;
    case KIND_SHARE:
        describe_range(key, "a percentage from 1% to 100%, or a size such as 2GiB,", sizes, text);
        return;
    case KIND_CHOICE:
        if (allowed != NULL) break;
        describe_choices(key->choices, text);
        return;
    case KIND_BOOLEAN: allowed = "true or false"; break;
    case KIND_LISTEN:
        allowed = "IPV4:PORT, [IPV6]:PORT or localhost:PORT, with 0 for a free port";
        if (key->empty != EMPTY_WRONG) allowed = "IPV4:PORT, [IPV6]:PORT, or nothing";
        break;
    case KIND_TEXT:
    case KIND_TEXTS:
    case KIND_PAIRS:
    case KIND_POOLS: break;
    }
    snprintf(text, VALUE_ALLOWED_BYTES, "%s", allowed);
}
