/* question - what a client wants embedded: the texts, how long the vectors, in which form.
 * thread: the caller's.
 * owns:   a question owns what it parsed until question_free; its texts are the request's or its
 *         own and live as long as both.
 * fails:  POOLGATE_INVALID_INPUT, POOLGATE_UNSUPPORTED or POOLGATE_FAILED, with why in words for the
 *         client; a question that failed needs no question_free. */
#ifndef WORKERS_EMBED_QUESTION_H
#define WORKERS_EMBED_QUESTION_H

#include "poolgate/worker.h"

#include <jansson.h>

#define QUESTION_TEXTS_MAX 2048
#define QUESTION_JSON_MAX                                                                          \
    ((size_t)32 * 1024 * 1024) /* of a document; parsing takes some times that */
#define QUESTION_DIMENSIONS_MIN 8
#define QUESTION_WHY_BYTES      512

enum question_form { FORM_FLOAT, FORM_BASE64 };

struct question {
    json_t *document;   /* NULL: the whole body is the one text */
    const json_t *list; /* NULL: there is one text */
    const char *text;   /* that one */
    size_t text_bytes;
    size_t count;
    size_t dimensions;
    enum question_form form;
};

/* dimensions: what the slot is configured to; a client may ask for fewer. 0, or how it failed. */
int question_read(struct question *out, const struct poolgate_request *request, size_t dimensions,
                  char why[QUESTION_WHY_BYTES]);
/* The index-th text; it may contain NUL and ends where *bytes says. */
const char *question_text(const struct question *question, size_t index, size_t *bytes);
void question_free(struct question *question);

#endif
