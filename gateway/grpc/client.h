/* client - one Invoke from a command to a running gateway, over gRPC.
 * thread: main.
 * owns:   the answer's texts until rpc_client_free; the files stay the caller's.
 * fails:  rpc_client_invoke: false, with one line on stderr, when the body cannot be read or sent. A
 *         call that ended in an error is an answer: its status is not 0. */
#ifndef GATEWAY_GRPC_CLIENT_H
#define GATEWAY_GRPC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct rpc_client {
    const char *address;                     /* HOST:PORT; https://HOST:PORT: over TLS */
    const char *tls_ca, *tls_cert, *tls_key; /* PEM files; NULL: whom the machine trusts; none */
    const char *key;                         /* shown as `authorization: Bearer`; NULL: none */
    const char *pool, *content_type, *operation; /* NULL: not given */
    unsigned priority;                           /* of the protocol's enumeration; 0: not given */
    uint64_t timeout_ms;                         /* 0: none, the pool's own counts */
    FILE *body;
    FILE *out;    /* gets the payload of an OK */
    FILE *timing; /* gets how it went; may be NULL */

    /* The answer. */
    int status;                        /* google.rpc.Code */
    char *code, *detail, *pushback_ms; /* of an error; NULL: not told */
};

bool rpc_client_invoke(struct rpc_client *client);
/* Says of an error what it is, in one line. */
void rpc_client_explain(const struct rpc_client *client, FILE *out);
void rpc_client_free(struct rpc_client *client);

#endif
