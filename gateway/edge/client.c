#include "gateway/edge/client.h"

#include <assert.h>
#include <stdlib.h>

enum outcome clients_open(struct clients *clients, size_t places) {
    *clients = (struct clients){.places_count = places};
    clients->places = calloc(places, sizeof *clients->places);
    if (clients->places == NULL) return MEMORY_EXHAUSTED;
    for (size_t i = places; i-- > 0;) {
        clients->places[i].fd = -1;
        clients->places[i].next_free = clients->free;
        clients->free = &clients->places[i];
    }
    return OK;
}

void clients_close(struct clients *clients) {
    assert(clients->count == 0);
    free(clients->places);
}

struct edge_client *clients_take(struct clients *clients, int fd) {
    struct edge_client *client = clients->free;
    if (client == NULL) return NULL;
    clients->free = client->next_free;
    uint32_t generation = client->generation + 1;
    *client = (struct edge_client){.fd = fd, .generation = generation, .stage = EDGE_GREETING};
    clients->count++;
    return client;
}

void clients_give_back(struct clients *clients, struct edge_client *client) {
    assert(client->stage != EDGE_NOWHERE);
    client->fd = -1;
    client->stage = EDGE_NOWHERE;
    client->next_free = clients->free;
    clients->free = client;
    clients->count--;
}

uint64_t client_tag(const struct clients *clients, const struct edge_client *client) {
    return (uint64_t)(client - clients->places) << 32 | client->generation;
}

struct edge_client *clients_find(const struct clients *clients, uint64_t tag) {
    size_t place = (size_t)((tag & ~CLIENT_LIBRARY_TAG) >> 32);
    assert(place < clients->places_count);
    struct edge_client *client = &clients->places[place];
    bool same = client->stage != EDGE_NOWHERE && client->generation == (uint32_t)tag;
    return same && client->fd >= 0 ? client : NULL;
}
