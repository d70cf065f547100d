/* request_id - names of requests: fresh ones as UUID version 7 (RFC 9562), and what a client may use.
 * thread: the owner's of struct request_ids; request_id_usable from any.
 * owns:   a small stock of random bytes from the kernel.
 * fails:  never: the process ends if the kernel has no randomness. */
#ifndef GATEWAY_REQUEST_ID_H
#define GATEWAY_REQUEST_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_ID_LONGEST     128 /* characters of a client's own */
#define REQUEST_ID_FRESH_BYTES 37  /* 36 characters and the end */

struct request_ids {
    uint8_t random[640];
    size_t left; /* unused bytes at the end of random; zero to begin with */
};

/* Later ones sort after earlier ones, to the millisecond. */
void request_id_fresh(struct request_ids *ids, char out[REQUEST_ID_FRESH_BYTES]);
/* 1 to 128 visible ASCII characters. */
bool request_id_usable(const char *text, size_t bytes);

#endif
