/* origin - whether a browser may talk to us for the page that it shows: Host, Origin, CORS.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never; a verdict is a text for people, or NULL.
 *
 * A page from anywhere can make the browser beside a loopback listener send requests to it, under a name of
 * its own that resolves to 127.0.0.1 (DNS rebinding) or with a plain form. So there Host must be a
 * loopback address, localhost or the host of a listed origin, and Origin, which a page cannot leave out
 * or forge, must be the same place or a listed one. See RFC 6454 and the Fetch standard. */
#ifndef GATEWAY_HTTP_ORIGIN_H
#define GATEWAY_HTTP_ORIGIN_H

#include "gateway/config/config.h"

#include <stdbool.h>

/* host and origin: as they came, NULL where they did not; origins: http.origins. */
const char *origin_flaw(const struct text_list *origins, bool loopback, const char *host,
                        const char *origin);
/* Whether answers may be shown to pages of this origin (which may be NULL). */
bool origin_listed(const struct text_list *origins, const char *origin);

#endif
