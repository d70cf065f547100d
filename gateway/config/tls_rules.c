#include "gateway/config/tls_rules.h"

#include "gateway/edge/tls.h"

#include <stdarg.h>
#include <stdio.h>

enum member { MEMBER_CERT, MEMBER_KEY, MEMBER_CLIENT_CA, MEMBER_CLIENT_NAMES, MEMBER_COUNT };

/* One front end's keys. */
struct part {
    const struct scope *scope;
    const struct tls_config *tls;
    const char *paths[MEMBER_COUNT];
    const char *protocol;
};

#define PART(draft, door, alpn)                                                                    \
    {                                                                                              \
        .scope = &(draft)->scope, .tls = &(draft)->config->door.tls, .protocol = (alpn),           \
        .paths = {                                                                                 \
            [MEMBER_CERT] = #door ".tls.cert",                                                     \
            [MEMBER_KEY] = #door ".tls.key",                                                       \
            [MEMBER_CLIENT_CA] = #door ".tls.client_ca",                                           \
            [MEMBER_CLIENT_NAMES] = #door ".tls.client_names",                                     \
        },                                                                                         \
    }

static bool is_sound(const struct part *part) {
    for (size_t i = 0; i < MEMBER_COUNT; i++)
        if (scope_setting(part->scope, part->paths[i])->broken) return false;
    return true;
}

static bool is_given(const struct part *part, enum member member) {
    const char *const texts[] = {part->tls->cert, part->tls->key, part->tls->client_ca};
    return member == MEMBER_CLIENT_NAMES ? part->tls->client_names.count > 0
                                         : texts[member] != NULL;
}

static void blame(const struct part *part, enum member member, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void blame(const struct part *part, enum member member, const char *format, ...) {
    const struct setting *setting = scope_setting(part->scope, part->paths[member]);
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    report_mistake(part->scope->report, &setting->origin, part->scope->prefix, part->paths[member],
                   "%s", text);
}

static const struct {
    enum member member, needs;
} needs[] = {{MEMBER_CERT, MEMBER_KEY},
             {MEMBER_KEY, MEMBER_CERT},
             {MEMBER_CLIENT_CA, MEMBER_CERT},
             {MEMBER_CLIENT_NAMES, MEMBER_CLIENT_CA}};
#define NEEDS_COUNT (sizeof needs / sizeof needs[0])

static bool lacks(const struct part *part, size_t row) {
    return is_given(part, needs[row].member) && !is_given(part, needs[row].needs);
}

static void check(const struct part *part) {
    for (size_t i = 0; i < NEEDS_COUNT && is_sound(part); i++)
        if (lacks(part, i))
            blame(part, needs[i].member, "%s is missing, allowed is nothing, or with it",
                  part->paths[needs[i].needs]);
}

static void check_files(const struct part *part) {
    static const enum member members[] = {
        [TLS_CERT] = MEMBER_CERT, [TLS_KEY] = MEMBER_KEY, [TLS_CLIENT_CA] = MEMBER_CLIENT_CA};
    if (!is_sound(part) || !is_given(part, MEMBER_CERT)) return;
    for (size_t i = 0; i < NEEDS_COUNT; i++)
        if (lacks(part, i)) return;
    const struct tls_options options = {
        .cert = part->tls->cert,
        .key = part->tls->key,
        .client_ca = part->tls->client_ca,
        .client_names = (const char *const *)part->tls->client_names.items,
        .protocol = part->protocol,
    };
    struct tls *tls;
    struct tls_error error;
    enum outcome outcome = tls_open(&tls, &options, &error);
    tls_close(tls);
    if (outcome == INVALID_REQUEST) blame(part, members[error.file], "%s", error.text);
    if (outcome == MEMORY_EXHAUSTED) blame(part, MEMBER_CERT, "out of memory");
}

void tls_rules_check(const struct draft *draft) {
    const struct part http = PART(draft, http, "http/1.1"), grpc = PART(draft, grpc, "h2");
    check(&http);
    check(&grpc);
}

void tls_rules_check_files(const struct draft *draft) {
    const struct part http = PART(draft, http, "http/1.1"), grpc = PART(draft, grpc, "h2");
    check_files(&http);
    check_files(&grpc);
}
