/* reply - queues the reply of an exchange, with the headers that every reply has.
 * thread: the HTTP thread's.
 * owns:   what it is given to send, also when it fails.
 * fails:  MHD_NO: out of memory, or the connection is no more; the library then cuts it. */
#ifndef GATEWAY_HTTP_REPLY_H
#define GATEWAY_HTTP_REPLY_H

#include "gateway/http/exchange.h"

/* text is from malloc. With 503 the reply asks to come back in a second. */
enum MHD_Result reply_text(struct exchange *exchange, unsigned status, const char *content_type,
                           char *text, size_t bytes);
struct json_t;
enum MHD_Result reply_json(struct exchange *exchange, unsigned status, struct json_t *json);
enum MHD_Result reply_problem(struct exchange *exchange, const struct refusal *refusal);
enum MHD_Result reply_options(struct exchange *exchange); /* 204 with Allow */
/* The reply has a body of so many bytes; of HEAD none of them is sent. */
void reply_counts(struct exchange *exchange, size_t bytes);
/* Adds what every reply has, queues it, and lets go of it. NULL is allowed and fails. */
enum MHD_Result reply_queue(struct exchange *exchange, unsigned status,
                            struct MHD_Response *response);
/* A problem with headers of one's own still to be added; NULL when out of memory. */
struct MHD_Response *reply_make_problem(struct exchange *exchange, const struct refusal *refusal);

#endif
