#include "gateway/keys/key_ring.h"

#include <assert.h>

void key_ring_open(struct key_ring *ring, struct keys *keys) {
    atomic_store(&ring->current, 0);
    for (unsigned i = 0; i < KEY_RING_PLACES; i++) {
        atomic_store(&ring->places[i].readers, 0);
        ring->places[i].keys = i == 0 ? keys : NULL;
    }
}

void key_ring_close(struct key_ring *ring) {
    for (unsigned i = 0; i < KEY_RING_PLACES; i++) {
        assert(atomic_load(&ring->places[i].readers) == 0);
        keys_free(ring->places[i].keys);
        ring->places[i].keys = NULL;
    }
}

bool key_ring_offer(struct key_ring *ring, struct keys *keys) {
    unsigned current = atomic_load(&ring->current);
    for (unsigned i = 1; i < KEY_RING_PLACES; i++) {
        unsigned at = (current + i) % KEY_RING_PLACES;
        struct key_ring_place *place = &ring->places[at];
        if (atomic_load(&place->readers) > 0) continue;
        keys_free(place->keys);
        place->keys = keys;
        atomic_store(&ring->current, at);
        return true;
    }
    return false;
}

const struct keys *key_ring_take(struct key_ring *ring, unsigned *place) {
    for (;;) {
        *place = atomic_load(&ring->current);
        atomic_fetch_add(&ring->places[*place].readers, 1);
        if (atomic_load(&ring->current) == *place) return ring->places[*place].keys;
        key_ring_give_back(ring, *place);
    }
}

void key_ring_give_back(struct key_ring *ring, unsigned place) {
    atomic_fetch_sub(&ring->places[place].readers, 1);
}
