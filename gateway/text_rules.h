/* text_rules - what a text of a client may be before it goes to workers, headers and logs: one rule,
 *              whichever door it came through.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never; what is wrong is a sentence for people that names the text and what is allowed. */
#ifndef GATEWAY_TEXT_RULES_H
#define GATEWAY_TEXT_RULES_H

#include <stdbool.h>
#include <stddef.h>

#define TEXT_MOST_BYTES      1024
#define TEXT_NAME_MOST_BYTES 64

/* X(NAME, what people call it) */
#define CLIENT_TEXTS(X)                                                                            \
    X(POOL, "the pool's name")                                                                     \
    X(CONTENT_TYPE, "the content type")                                                            \
    X(OPERATION, "the operation")                                                                  \
    X(TENANT, "the tenant")                                                                        \
    X(BATCH_KEY, "the batch key")                                                                  \
    X(REQUEST_ID, "the request id")                                                                \
    X(METADATA_NAME, "a name of metadata")                                                         \
    X(METADATA_VALUE, "a value of metadata")                                                       \
    X(SERVICE, "the service's name")

enum client_text {
#define CLIENT_TEXT_NAME(name, words) TEXT_##name,
    CLIENT_TEXTS(CLIENT_TEXT_NAME)
#undef CLIENT_TEXT_NAME
        CLIENT_TEXT_COUNT
};

/* NULL when it may go on: at most TEXT_MOST_BYTES of UTF-8 without control characters, and a name of
 * metadata 1 to TEXT_NAME_MOST_BYTES of A-Z a-z 0-9 and '-', as in a worker's reply. */
const char *text_flaw(enum client_text which, const char *text, size_t bytes);
/* UTF-8 (RFC 3629) without NUL and without control characters (C0, DEL, C1). */
bool text_valid(const char *text, size_t bytes);

#endif
