/* difference - which keys of two configurations say different things, the pools apart.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_CONFIG_DIFFERENCE_H
#define GATEWAY_CONFIG_DIFFERENCE_H

#include "gateway/config/config.h"

/* The path of the next key that differs, NULL when there is no further one; *cursor starts at 0. */
const char *difference_next(const struct config *a, const struct config *b, size_t *cursor);

#endif
