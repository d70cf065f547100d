/* path - the request target, decoded once and by us: the library is told to leave it alone.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  INVALID_REQUEST: escapes that are not, or that hide a slash, a NUL or a control byte;
 *         a target that is neither a path, "*" nor http://AUTHORITY/PATH. NOT_FOUND: longer than out. */
#ifndef GATEWAY_HTTP_PATH_H
#define GATEWAY_HTTP_PATH_H

#include "core/base/outcome.h"

#include <stddef.h>

enum outcome path_decode(const char *target, char *out, size_t capacity);

#endif
