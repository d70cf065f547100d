/* shelf - the vectors of the texts that were embedded last, so that a text which comes again while they are
 *         there is not embedded again.
 * thread: the caller's.
 * owns:   the vectors. Texts are borrowed from shelf_embed until shelf_clear.
 * fails:  shelf_open: -1, no memory. shelf_embed: as features_embed does; nothing is kept then. */
#ifndef WORKERS_EMBED_SHELF_H
#define WORKERS_EMBED_SHELF_H

#include "text_features.h"

#include <stddef.h>

#define SHELF_PLACES 64 /* a text's hash chooses one; the text that was there is forgotten */

struct shelf_place {
    const char *text; /* NULL: empty */
    size_t text_bytes, dimensions, words;
};

struct shelf {
    size_t dimensions_max;
    float *vectors; /* SHELF_PLACES times dimensions_max */
    struct shelf_place places[SHELF_PLACES];
};

int shelf_open(struct shelf *shelf, size_t dimensions_max);
void shelf_close(struct shelf *shelf);
/* The vector of a text, dimensions floats long, valid until the next call. */
enum features_result shelf_embed(struct shelf *shelf, const char *text, size_t text_bytes,
                                 size_t dimensions, const float **vector, size_t *words);
void shelf_clear(struct shelf *shelf);

#endif
