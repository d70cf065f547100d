/* open_calls - the calls that clients have open: how many, and by which ids, so that no two share one.
 * thread: any, except that open and close are main's.
 * owns:   nothing: the table is shared, the entries stay the caller's and stay put while they are named.
 * fails:  never. */
#ifndef GATEWAY_GRPC_OPEN_CALLS_H
#define GATEWAY_GRPC_OPEN_CALLS_H

#include "gateway/live_requests.h"
#include "gateway/request_id.h"

#include <pthread.h>

#define CALL_ID_BYTES (REQUEST_ID_LONGEST + 1)

struct open_calls {
    pthread_mutex_t lock;
    pthread_cond_t changed;     /* on CLOCK_MONOTONIC */
    struct live_requests *live; /* of both doors */
    struct request_ids ids;
    uint64_t created, released;
    bool server_down;
};

void open_calls_open(struct open_calls *calls, struct live_requests *live);
void open_calls_close(struct open_calls *calls); /* asserts that every call was released */

void open_calls_enter(struct open_calls *calls);
/* Names the call for as long as it is open: by `wanted` when that is usable and free, else by a fresh
 * id. The id is written to `id` and entered as entry->id. */
void open_calls_name(struct open_calls *calls, struct live_request *entry, const char *wanted,
                     char id[CALL_ID_BYTES]);
/* Its last word: a name is given back with it. */
void open_calls_leave(struct open_calls *calls, struct live_request *entry);

/* The server has said that it is down. */
void open_calls_server_down(struct open_calls *calls);
/* Waits until no call is open and, if asked for, the server is down; false when the time came first. */
enum open_calls_end { END_OF_CALLS, END_OF_SERVER };
bool open_calls_wait(struct open_calls *calls, enum open_calls_end end, uint64_t until_ns);

#endif
