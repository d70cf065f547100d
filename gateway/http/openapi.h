/* openapi - openapi.yaml, as it was when the program was built; GET /openapi.yaml answers with it.
 * thread: any; constant. The handler (handlers.h): the HTTP thread's.
 * owns:   nothing: the text lies in the program itself and lives as long as it.
 * fails:  never. */
#ifndef GATEWAY_HTTP_OPENAPI_H
#define GATEWAY_HTTP_OPENAPI_H

#include <stdbool.h>
#include <stddef.h>

extern const char openapi_text[]; /* UTF-8, ends with a NUL that is not counted */
size_t openapi_bytes(void);

/* If-None-Match of RFC 9110 section 13.1.2: "*", or a list of tags; W/ before a tag does not matter.
 * field: NULL when there is none. */
bool openapi_tag_matches(const char *field, const char *etag);

#endif
