/* answer - the JSON list of vectors that goes back to the client, written as it grows.
 * thread: the caller's.
 * owns:   an answer owns its bytes until answer_take, which hands them to the caller (free), or
 *         answer_free.
 * fails:  only for want of memory; then everything after does nothing and answer_take returns NULL.
 *
 * Floats are printed with nine digits, which float32 survives unchanged, or as the base64 (RFC 4648)
 * of their little-endian octets. The caller sees to it that the decimal point is a point. */
#ifndef WORKERS_EMBED_ANSWER_H
#define WORKERS_EMBED_ANSWER_H

#include "question.h"

struct answer {
    char *bytes;
    size_t size, capacity, vectors;
    int failed;
};

void answer_begin(struct answer *answer, size_t configured_dimensions);
void answer_add(struct answer *answer, const float *vector, size_t dimensions,
                enum question_form form);
void answer_end(struct answer *answer, size_t tokens);
char *answer_take(struct answer *answer, size_t *bytes);
void answer_free(struct answer *answer);

#endif
