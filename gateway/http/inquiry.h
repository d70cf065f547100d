/* inquiry - an exchange that asks the pool loop something and is suspended until that has answered.
 * thread: the HTTP thread's; the pool's loop only posts FRONT_TOLD.
 * owns:   the question with its texts and its pool; freed with the exchange.
 * fails:  inquiry_begin: NULL, and the exchange is refused. */
#ifndef GATEWAY_HTTP_INQUIRY_H
#define GATEWAY_HTTP_INQUIRY_H

#include "core/gate.h"
#include "gateway/http/exchange.h"

#define INQUIRY_BODY_BYTES 1024 /* of a small JSON body */

struct inquiry {
    struct exchange *exchange;
    uint32_t pool; /* held; GATE_NO_POOL: none */
    char why[QUARANTINE_EVIDENCE];
    char fresh_id[REQUEST_ID_FRESH_BYTES];
    char flaw[128]; /* of a refusal, where its text is not constant */
    size_t body_bytes;
    char body[INQUIRY_BODY_BYTES];
    struct buried *buried;
    union {
        struct question question;
        struct look look;
        struct buried_list list;
        struct buried_order grave;
        struct pool_order order;
    };
};

struct inquiry *inquiry_begin(struct exchange *exchange);
/* Collects a small body; a begun inquiry is needed. */
void inquiry_body(struct exchange *exchange, const char *data, size_t bytes);
/* "load, asked by key ci from 127.0.0.1": for the log. */
void inquiry_explain(struct exchange *exchange, const char *what);
/* What the gate said: the exchange waits for its handler's `answered`, or is refused. */
enum MHD_Result inquiry_wait(struct exchange *exchange, enum outcome asked);
/* The channel brought the answer. */
void inquiry_told(struct inquiry *inquiry);
/* The answer is a refusal. */
enum MHD_Result inquiry_refuse(struct exchange *exchange, const char *detail);
void inquiry_end(struct exchange *exchange);

#endif
