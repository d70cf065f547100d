#include "answer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOAT_BYTES_MAX 20  /* ",-1.23456789e-38" and NUL */
#define AROUND_BYTES    160 /* what stands around the vectors, in each place */

/* Room for so many more; NULL when there is no memory. */
static char *answer_room(struct answer *answer, size_t bytes) {
    if (answer->failed) return NULL;
    if (answer->capacity - answer->size < bytes) {
        size_t capacity = (answer->size + bytes) * 2;
        char *grown = realloc(answer->bytes, capacity);
        if (grown == NULL) {
            answer->failed = 1;
            return NULL;
        }
        answer->bytes = grown;
        answer->capacity = capacity;
    }
    return answer->bytes + answer->size;
}

__attribute__((format(printf, 2, 3))) static void answer_print(struct answer *answer,
                                                               const char *format, ...) {
    char *room = answer_room(answer, AROUND_BYTES);
    if (room == NULL) return;
    va_list arguments;
    va_start(arguments, format);
    int printed = vsnprintf(room, AROUND_BYTES, format, arguments);
    va_end(arguments);
    assert(printed >= 0 && printed < AROUND_BYTES);
    answer->size += (size_t)printed;
}

static void add_floats(struct answer *answer, const float *vector, size_t dimensions) {
    char *start = answer_room(answer, dimensions * FLOAT_BYTES_MAX);
    if (start == NULL) return;
    char *room = start;
    for (size_t i = 0; i < dimensions; i++) {
        if (i > 0) *room++ = ',';
        if (vector[i] == 0) { /* most of a short text's */
            *room++ = '0';
        } else {
            room += snprintf(room, FLOAT_BYTES_MAX, "%.9g", (double)vector[i]);
        }
    }
    answer->size += (size_t)(room - start);
}

/* The octet-th octet of the vector as it goes over the wire. */
static uint32_t vector_octet(const float *vector, size_t octet) {
    uint32_t bits;
    memcpy(&bits, &vector[octet / 4], sizeof bits);
    return bits >> octet % 4 * 8 & 0xFF;
}

static void add_base64(struct answer *answer, const float *vector, size_t dimensions) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t octets = dimensions * 4;
    char *start = answer_room(answer, (octets + 2) / 3 * 4);
    if (start == NULL) return;
    char *room = start;
    for (size_t i = 0; i < octets; i += 3) {
        uint32_t three = 0;
        for (size_t j = i; j < i + 3; j++)
            three = three << 8 | (j < octets ? vector_octet(vector, j) : 0);
        *room++ = letters[three >> 18];
        *room++ = letters[three >> 12 & 63];
        *room++ = i + 1 < octets ? letters[three >> 6 & 63] : '=';
        *room++ = i + 2 < octets ? letters[three & 63] : '=';
    }
    answer->size += (size_t)(room - start);
}

void answer_begin(struct answer *answer, size_t configured_dimensions) {
    *answer = (struct answer){0};
    answer_print(answer, "{\"object\":\"list\",\"model\":\"poolgate-lexical-%zu\",\"data\":[",
                 configured_dimensions);
}

void answer_add(struct answer *answer, const float *vector, size_t dimensions,
                enum question_form form) {
    answer_print(answer, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":",
                 answer->vectors == 0 ? "" : ",", answer->vectors);
    if (form == FORM_FLOAT) {
        answer_print(answer, "[");
        add_floats(answer, vector, dimensions);
        answer_print(answer, "]}");
    } else {
        answer_print(answer, "\"");
        add_base64(answer, vector, dimensions);
        answer_print(answer, "\"}");
    }
    answer->vectors++;
}

void answer_end(struct answer *answer, size_t tokens) {
    answer_print(answer, "],\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", tokens,
                 tokens);
}

char *answer_take(struct answer *answer, size_t *bytes) {
    *bytes = 0;
    if (answer->failed) return NULL;
    char *taken = answer->bytes;
    *bytes = answer->size;
    *answer = (struct answer){0};
    return taken;
}

void answer_free(struct answer *answer) {
    free(answer->bytes);
    *answer = (struct answer){0};
}
