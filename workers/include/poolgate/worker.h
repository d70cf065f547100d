/* poolgate/worker.h - everything that a worker plug-in for poolgate needs; C11 and C++.
 *
 * A plug-in is a shared object that exports one function, poolgate_worker_entry, which returns a
 * constant table. The same object runs in a process of its own or on a thread of the gateway.
 *
 * thread: per slot one state; load, handle, handle_batch, check and unload of one state are never
 *         called at the same time. Different slots may share a process: keep no writable globals.
 * owns:   what the gateway hands in (args, request, body) is valid until the function returns.
 *         What you hand out is copied before the call returns, except poolgate_reply_take.
 * fails:  functions here return 0, or a negative number when the reply cannot go out any more
 *         (the client left, the gateway stops); carry on or return, both are fine.
 * size:   *_bytes count bytes; times are nanoseconds. Texts are UTF-8 and end with NUL.
 * abi:    POOLGATE_WORKER_ABI grows when a table changes; members are only ever added at the end,
 *         and struct_bytes tells each side how far the other's table reaches. */
#ifndef POOLGATE_WORKER_H
#define POOLGATE_WORKER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define POOLGATE_WORKER_ABI 1
#define POOLGATE_EXPORT     __attribute__((visibility("default")))

struct poolgate_pair {
    const char *name;
    const char *value;
};

/* What the configuration gives this slot. */
struct poolgate_args {
    const char *pool;                  /* the pool's name */
    uint32_t slot;                     /* the slot's number in it */
    const struct poolgate_pair *pairs; /* worker.args; each name is known to be unique */
    size_t pairs_count;
};

/* One request. */
struct poolgate_request {
    const char *request_id;
    const char *content_type; /* "" if the client named none */
    const char *operation;    /* Poolgate-Operation, "" if none */
    const char *traceparent;  /* W3C trace context, "" if none */
    uint64_t timeout_ns;      /* time left when it was handed over; 0: no limit */
    const void *body;         /* body_bytes bytes; not NUL-terminated */
    size_t body_bytes;
    const struct poolgate_pair *metadata;
    size_t metadata_count;
};

/* How a request can go wrong inside a worker. */
enum poolgate_error {
    POOLGATE_INVALID_INPUT = 1, /* the client's fault: HTTP 400, not counted against the worker */
    POOLGATE_UNSUPPORTED = 2,   /* content type or operation not known: HTTP 415 */
    POOLGATE_FAILED = 3         /* the worker's fault: HTTP 500 */
};

/* A reply that is being made. Use the functions below; the members are the host's. */
struct poolgate_reply {
    const struct poolgate_host *host;
    void *host_state;
};

struct poolgate_host {
    uint32_t abi;
    uint32_t struct_bytes;
    int (*meta)(struct poolgate_reply *, const char *name, const char *value);
    int (*send)(struct poolgate_reply *, const char *content_type, const void *data, size_t bytes);
    int (*take)(struct poolgate_reply *, const char *content_type, void *data, size_t bytes,
                void (*release)(void *data, void *owner), void *owner);
    int (*chunk)(struct poolgate_reply *, const char *content_type, const void *data, size_t bytes);
    int (*fail)(struct poolgate_reply *, enum poolgate_error error, const char *message);
    int (*cancelled)(const struct poolgate_reply *);
};

/* Reply metadata (HTTP: Poolgate-Meta-NAME); before the first byte of the reply. */
static inline int poolgate_reply_meta(struct poolgate_reply *reply, const char *name,
                                      const char *value) {
    return reply->host->meta(reply, name, value);
}
/* The whole reply; the bytes are copied. */
static inline int poolgate_reply_send(struct poolgate_reply *reply, const char *content_type,
                                      const void *data, size_t bytes) {
    return reply->host->send(reply, content_type, data, bytes);
}
/* The whole reply without a copy: release(data, owner) is called once, when the bytes are no longer
 * needed, also when the call fails; perhaps on another thread. */
static inline int poolgate_reply_take(struct poolgate_reply *reply, const char *content_type,
                                      void *data, size_t bytes,
                                      void (*release)(void *data, void *owner), void *owner) {
    return reply->host->take(reply, content_type, data, bytes, release, owner);
}
/* One piece of a reply; content_type counts in the first. Returning from handle ends the reply. */
static inline int poolgate_reply_chunk(struct poolgate_reply *reply, const char *content_type,
                                       const void *data, size_t bytes) {
    return reply->host->chunk(reply, content_type, data, bytes);
}
/* Ends the request with an error; message is shown to the client. */
static inline int poolgate_reply_fail(struct poolgate_reply *reply, enum poolgate_error error,
                                      const char *message) {
    return reply->host->fail(reply, error, message);
}
/* Not 0 once nobody waits for the reply: stop early and return. Cheap, ask often. */
static inline int poolgate_cancelled(const struct poolgate_reply *reply) {
    return reply->host->cancelled(reply);
}

#define POOLGATE_ERROR_BYTES 256

/* The plug-in's table. Members that a plug-in does not need are NULL; handle or handle_batch is needed. */
struct poolgate_worker {
    uint32_t abi;          /* POOLGATE_WORKER_ABI */
    uint32_t struct_bytes; /* sizeof(struct poolgate_worker) */
    const char *name;
    const char *version;
    /* Makes a slot's state; may take its time. Not 0: the slot cannot work, error says why. */
    int (*load)(const struct poolgate_args *args, void **state, char error[POOLGATE_ERROR_BYTES]);
    /* Answers one request by exactly one of send, take, fail, or any number of chunks. Returning
     * without an answer is an error of the worker. */
    void (*handle)(void *state, const struct poolgate_request *request,
                   struct poolgate_reply *reply);
    /* Answers count requests, each through its own reply as in handle, in any order; one that is left
     * without an answer is an error of that one only. count is 1 only where handle is NULL. */
    void (*handle_batch)(void *state, const struct poolgate_request *requests,
                         struct poolgate_reply *replies, size_t count);
    /* Proves with real work that the state is sound; 0: it is. Called only while idle. */
    int (*check)(void *state, char error[POOLGATE_ERROR_BYTES]);
    void (*unload)(void *state);
};

/* The one exported symbol. */
typedef const struct poolgate_worker *poolgate_worker_entry_fn(void);
POOLGATE_EXPORT const struct poolgate_worker *poolgate_worker_entry(void);

#ifdef __cplusplus
}
#endif

#endif
