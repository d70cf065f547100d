/* interior - what the files of the edge share: its own struct, and how a client comes and goes.
 * thread: the loop's.
 * owns:   see edge.
 * fails:  never. */
#ifndef GATEWAY_EDGE_INTERIOR_H
#define GATEWAY_EDGE_INTERIOR_H

#include "gateway/edge/addresses.h"
#include "gateway/edge/edge.h"
#include "gateway/edge/farewell.h"
#include "gateway/edge/listener.h"
#include "gateway/edge/relay.h"

struct edge {
    const struct edge_door *door;
    void *owner;
    struct edge_options options; /* its texts were the caller's: not to be used */
    struct listener *listener;
    struct addresses *addresses;
    struct network *trusted;
    size_t trusted_count;
    int watch; /* an epoll set: every client's socket, every library's side of a relay */
    bool closing;
    uint64_t close_by_ns;
    uv_poll_t watch_poll;
    uv_timer_t tick;
    uv_timer_t release; /* of the tarpit */
    unsigned handles_open;
    size_t ordinary; /* clients that are not our own */
    struct clients clients;
    struct patience patience;
    struct list_node stuck;
    size_t stuck_count;
    struct list_node paced;
    uint64_t paced_ns; /* when the paced were last looked at */
    uint64_t told_ns[EDGE_REASON_COUNT];
    struct farewell farewell;
};

/* edge: its tick runs only while somebody is waited for. */
void edge_arm_tick(struct edge *edge);
void edge_turn_relay(struct edge *edge, struct edge_client *client, enum relay_state state);
void edge_update_pace(struct edge *edge, struct edge_client *client);

/* arrival */
void arrival_accepted(void *edge, int fd, const struct sockaddr *address);
/* A client that has not entered has sent something. */
void arrival_event(struct edge *edge, struct edge_client *client, uint32_t events);
void arrival_release(uv_timer_t *timer); /* who has been in the tarpit longest */
/* Closes one that has not entered, without a word. */
void arrival_drop(struct edge *edge, struct edge_client *client);

/* ending */
/* Counts and tells: the edge ends a client for this reason. */
void ending_count(struct edge *edge, const struct edge_client *client, enum edge_reason reason,
                  const char *detail);
/* A handshake has failed. */
void ending_shaking(struct edge *edge, struct edge_client *client);
/* With the door's answer, if there is one for the reason. */
void ending_end(struct edge *edge, struct edge_client *client, enum edge_reason reason);
/* At once and without a word: what waits for it is dropped. */
void ending_reset(struct edge *edge, struct edge_client *client, enum edge_reason reason);
/* The relay's client has broken the rules. */
void ending_flawed(struct edge *edge, struct edge_client *client);
/* The relay has nothing left to do; lingers: what the client still sends is let go by. */
void ending_relay(struct edge *edge, struct edge_client *client, bool lingers);
void ending_place(struct edge *edge, struct edge_client *client);

#endif
