/* methods - what the gRPC door answers: one row per rpc, and one for everything else.
 * thread: constant; the functions are called on the thread of the call's completion queue.
 * owns:   nothing.
 * fails:  begin answers every call, with a message or a refusal, now or from `answered`. */
#ifndef GATEWAY_GRPC_METHODS_H
#define GATEWAY_GRPC_METHODS_H

#include "gateway/keys/access.h"

#include <stdbool.h>
#include <stddef.h>

struct call;

struct method {
    const char *path;                /* NULL: any that has no row of its own */
    unsigned armed;                  /* so many calls wait for clients, on each completion queue */
    enum access_need need;           /* what its caller must be allowed */
    bool probe;                      /* answered also when all places for clients are taken */
    void (*begin)(struct call *);    /* the client's message is there */
    void (*answered)(struct call *); /* the pool has answered; NULL where no pool is asked */
    void (*left)(struct call *);     /* the client has left before it was answered; may be NULL */
};

enum {
    METHOD_INVOKE,
    METHOD_LIST_POOLS,
    METHOD_GET_POOL,
    METHOD_GET_REQUEST,
    METHOD_CANCEL_REQUEST,
    METHOD_HEALTH_CHECK,
    METHOD_OTHER,
    METHODS
};
extern const struct method methods[METHODS];

#endif
