#include "gateway/grpc/connections.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void connections_open(struct connections *connections) {
    *connections = (struct connections){.by_fd = NULL};
    list_init(&connections->all);
    pthread_mutex_init(&connections->lock, NULL);
}

void connections_close(struct connections *connections) {
    assert(list_empty(&connections->all) && connections->probes == 0);
    free(connections->by_fd);
    pthread_mutex_destroy(&connections->lock);
}

static bool reserve(struct connections *connections, size_t count) {
    if (count <= connections->by_fd_count) return true;
    size_t grown = connections->by_fd_count > 0 ? connections->by_fd_count : 64;
    while (grown < count) grown *= 2;
    struct connection **by_fd = realloc(connections->by_fd, grown * sizeof(struct connection *));
    if (by_fd == NULL) return false;
    memset(by_fd + connections->by_fd_count, 0,
           (grown - connections->by_fd_count) * sizeof(struct connection *));
    connections->by_fd = by_fd;
    connections->by_fd_count = grown;
    return true;
}

struct connection *connections_add(struct connections *connections, struct edge_client *client,
                                   int fd) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) return NULL;
    connection->client = client;
    connection->fd = fd;
    connection->peer = client->address;
    address_write(&client->address, connection->address);
    pthread_mutex_lock(&connections->lock);
    bool room = reserve(connections, (size_t)fd + 1);
    if (room) {
        connections->by_fd[fd] = connection;
        list_push_back(&connections->all, &connection->node);
        if (client->room == EDGE_ROOM_PROBES) connections->probes++;
    }
    pthread_mutex_unlock(&connections->lock);
    if (room) return connection;
    free(connection);
    return NULL;
}

void connections_remove(struct connections *connections, struct connection *connection) {
    pthread_mutex_lock(&connections->lock);
    /* The server may have closed the descriptor long ago, and another client has it. */
    if (connections->by_fd[connection->fd] == connection) connections->by_fd[connection->fd] = NULL;
    list_remove(&connection->node);
    if (connection->client->room == EDGE_ROOM_PROBES) connections->probes--;
    pthread_mutex_unlock(&connections->lock);
    free(connection);
}

struct connection *connections_first(struct connections *connections) {
    if (list_empty(&connections->all)) return NULL;
    return LIST_ENTRY(connections->all.next, struct connection, node);
}

void connections_address(struct connections *connections, int fd, char *address, size_t bytes) {
    address[0] = '\0';
    pthread_mutex_lock(&connections->lock);
    bool known = fd >= 0 && (size_t)fd < connections->by_fd_count && connections->by_fd[fd] != NULL;
    if (known) snprintf(address, bytes, "%s", connections->by_fd[fd]->address);
    pthread_mutex_unlock(&connections->lock);
}

bool connections_peer(struct connections *connections, int fd, struct address *peer) {
    *peer = (struct address){.port = 0};
    pthread_mutex_lock(&connections->lock);
    bool known = fd >= 0 && (size_t)fd < connections->by_fd_count && connections->by_fd[fd] != NULL;
    if (known) *peer = connections->by_fd[fd]->peer;
    pthread_mutex_unlock(&connections->lock);
    return known;
}

unsigned connections_probes(const struct connections *connections) {
    return atomic_load_explicit(&connections->probes, memory_order_relaxed);
}

bool connections_is_probe(struct connections *connections, int fd) {
    pthread_mutex_lock(&connections->lock);
    bool known = fd >= 0 && (size_t)fd < connections->by_fd_count && connections->by_fd[fd] != NULL;
    bool probe = known && connections->by_fd[fd]->client->room == EDGE_ROOM_PROBES;
    pthread_mutex_unlock(&connections->lock);
    return probe;
}
