/* request_state - one request as JSON: where it is, and the evidence of those that were buried.
 * thread: any; pure.
 * owns:   nothing: the caller gets a new reference.
 * fails:  NULL when out of memory. */
#ifndef GATEWAY_HTTP_REQUEST_STATE_H
#define GATEWAY_HTTP_REQUEST_STATE_H

#include "core/buried.h"

#include <jansson.h>

json_t *request_state(const struct look *look);
/* A page of the quarantine; `next` is where the following one begins, null after the last. */
json_t *request_state_buried(const struct buried_list *list);

#endif
