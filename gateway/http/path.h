/* path - the request target, decoded once and by us: the library is told to leave it alone. What could
 *        name one place in two ways is refused, not cleaned.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  INVALID_REQUEST, and why: escapes that are not, or that hide a slash, a NUL or a control
 *         character; a backslash, an empty segment, "." or ".."; what is not UTF-8; a target that is
 *         neither a path, "*" nor http://HOST/PATH. NOT_FOUND: longer than out. */
#ifndef GATEWAY_HTTP_PATH_H
#define GATEWAY_HTTP_PATH_H

#include "core/base/outcome.h"

#include <stddef.h>

/* flaw: a constant text, NULL unless INVALID_REQUEST. */
enum outcome path_decode(const char *target, char *out, size_t capacity, const char **flaw);

#endif
