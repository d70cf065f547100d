/* json_values - the values that all our JSON is made of.
 * thread: any; pure.
 * owns:   nothing: the caller gets a new reference.
 * fails:  NULL when out of memory. */
#ifndef GATEWAY_HTTP_JSON_VALUES_H
#define GATEWAY_HTTP_JSON_VALUES_H

#include <jansson.h>
#include <stdint.h>

/* Counters that fit a JSON integer for the next centuries. */
json_t *json_number(uint64_t value);
json_t *json_milliseconds(uint64_t ns);
/* RFC 3339, of a time of the monotonic clock. */
json_t *json_time(uint64_t monotonic_ns);
json_t *json_time_or_null(uint64_t monotonic_ns); /* 0: null */
/* A text that is not ours: what is not UTF-8 is shown as '?', and at most the first 191 bytes. */
json_t *json_foreign(const char *text);
json_t *json_text_or_null(const char *text); /* a foreign one; "": null */

#endif
