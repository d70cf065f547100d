#include "shelf.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int shelf_open(struct shelf *shelf, size_t dimensions_max) {
    *shelf = (struct shelf){.dimensions_max = dimensions_max};
    shelf->vectors = calloc(SHELF_PLACES * dimensions_max, sizeof *shelf->vectors);
    return shelf->vectors != NULL ? 0 : -1;
}

void shelf_close(struct shelf *shelf) {
    free(shelf->vectors);
    *shelf = (struct shelf){0};
}

void shelf_clear(struct shelf *shelf) {
    memset(shelf->places, 0, sizeof shelf->places);
}

/* FNV-1a (Fowler, Noll and Vo) over the text; cheap beside embedding it. */
static size_t place_of(const char *text, size_t bytes) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 32) % SHELF_PLACES;
}

static bool holds(const struct shelf_place *place, const char *text, size_t bytes,
                  size_t dimensions) {
    return place->text != NULL && place->text_bytes == bytes && place->dimensions == dimensions &&
           memcmp(place->text, text, bytes) == 0;
}

enum features_result shelf_embed(struct shelf *shelf, const char *text, size_t text_bytes,
                                 size_t dimensions, const float **vector, size_t *words) {
    assert(dimensions <= shelf->dimensions_max);
    size_t index = place_of(text, text_bytes);
    struct shelf_place *place = &shelf->places[index];
    float *room = shelf->vectors + index * shelf->dimensions_max;
    *vector = room;
    if (holds(place, text, text_bytes, dimensions)) {
        *words = place->words;
        return FEATURES_OK;
    }
    enum features_result result = features_embed(text, text_bytes, room, dimensions, words);
    *place = result == FEATURES_OK ? (struct shelf_place){text, text_bytes, dimensions, *words}
                                   : (struct shelf_place){0};
    return result;
}
