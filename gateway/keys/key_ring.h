/* key_ring - the table of keys that counts now; another one takes its place while it is read.
 * thread: take and give_back from any, without a lock; offer, open and close are main's.
 * owns:   every table that it was given, until nobody reads it any more.
 * fails:  key_ring_offer: false, and nothing has changed: readers still hold all earlier tables. */
#ifndef GATEWAY_KEYS_KEY_RING_H
#define GATEWAY_KEYS_KEY_RING_H

#include "gateway/keys/keys.h"

#include <stdatomic.h>

#define KEY_RING_PLACES 4

/* A reader counts itself in at the place that is current, and looks whether it still is: only then is the
 * table of that place its to read. The writer fills only places that are not current and have no
 * readers; one who counts himself in there meanwhile sees that he is late and goes. */
struct key_ring {
    _Atomic unsigned current;
    struct key_ring_place {
        _Atomic unsigned readers;
        struct keys *keys;
    } places[KEY_RING_PLACES];
};

void key_ring_open(struct key_ring *ring, struct keys *keys);
void key_ring_close(struct key_ring *ring); /* asserts that nobody reads */
bool key_ring_offer(struct key_ring *ring, struct keys *keys);
/* A short while: not over a wait. */
const struct keys *key_ring_take(struct key_ring *ring, unsigned *place);
void key_ring_give_back(struct key_ring *ring, unsigned place);

#endif
