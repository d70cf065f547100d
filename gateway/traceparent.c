#include "gateway/traceparent.h"

#include <stdio.h>
#include <string.h>

#define VERSION_0_LENGTH (TRACEPARENT_BYTES - 1)
#define TRACE_ID_AT      3
#define PARENT_ID_AT     36
#define FLAGS_AT         53
#define FLAG_SAMPLED     1

static const char digits[] = "0123456789abcdef";

/* Of version 0, or of a later one that begins as that does. */
static bool has_shape(const char *field) {
    static const char shape[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
    for (size_t i = 0; shape[i] != '\0'; i++) {
        if (field[i] == '\0') return false;
        if (shape[i] == 'h' ? strchr(digits, field[i]) == NULL : field[i] != '-') return false;
    }
    if (strncmp(field, "ff", 2) == 0) return false;
    if (field[VERSION_0_LENGTH] == '\0') return true;
    return strncmp(field, "00", 2) != 0 && field[VERSION_0_LENGTH] == '-';
}

static uint8_t digit(char c) {
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void read_hex(const char *text, uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
}

static bool is_zero(const uint8_t *bytes, size_t count) {
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) any |= bytes[i];
    return any == 0;
}

bool trace_present(const struct trace *trace) {
    return !is_zero(trace->trace_id, sizeof trace->trace_id);
}

bool traceparent_read(const char *field, struct trace *trace) {
    struct trace read = {.sampled = false};
    *trace = read;
    if (field == NULL || !has_shape(field)) return false;
    read_hex(field + TRACE_ID_AT, read.trace_id, sizeof read.trace_id);
    read_hex(field + PARENT_ID_AT, read.parent_id, sizeof read.parent_id);
    if (!trace_present(&read) || is_zero(read.parent_id, sizeof read.parent_id)) return false;
    read.sampled = (digit(field[FLAGS_AT + 1]) & FLAG_SAMPLED) != 0;
    *trace = read;
    return true;
}

const char *trace_hex(const uint8_t *bytes, size_t count, char *out) {
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 0x0f];
    }
    out[2 * count] = '\0';
    return out;
}

const char *traceparent_write(const struct trace *trace, char out[TRACEPARENT_BYTES]) {
    char trace_id[TRACE_ID_TEXT_BYTES], parent_id[SPAN_ID_TEXT_BYTES];
    out[0] = '\0';
    if (!trace_present(trace)) return out;
    bool ours = !is_zero(trace->span_id, sizeof trace->span_id);
    trace_hex(trace->trace_id, sizeof trace->trace_id, trace_id);
    trace_hex(ours ? trace->span_id : trace->parent_id, sizeof trace->span_id, parent_id);
    snprintf(out, TRACEPARENT_BYTES, "00-%s-%s-%s", trace_id, parent_id,
             trace->sampled ? "01" : "00");
    return out;
}
