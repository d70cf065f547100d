/* nearest - what somebody probably meant who mistyped a name.
 * thread: any.
 * owns:   nothing: the wanted name stays the caller's; the best one is a copy.
 * fails:  never; never allocates. */
#ifndef GATEWAY_CONFIG_NEAREST_H
#define GATEWAY_CONFIG_NEAREST_H

#include <stddef.h>

#define NEAREST_BYTES 160 /* longer names are like nothing */

struct nearest {
    const char *wanted;
    size_t wanted_bytes;
    size_t distance;          /* of the best so far */
    char best[NEAREST_BYTES]; /* "" while nothing is near enough */
};

void nearest_open(struct nearest *nearest, const char *wanted, size_t wanted_bytes);
void nearest_offer(struct nearest *nearest, const char *candidate);

#endif
