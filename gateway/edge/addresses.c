#include "gateway/edge/addresses.h"

#include "core/base/list.h"
#include "core/base/names.h"
#include "core/base/secret.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The moments of the last floods: one more than is allowed, in a ring. */
struct floods {
    uint64_t at_ns[ADDRESSES_FLOODS + 1];
    uint32_t next, count;
    uint64_t wary_until_ns;
};

struct entry {
    struct name name; /* its text is key */
    struct address_key key;
    uint32_t connections;
    struct list_node flooding; /* in the order of the latest flood; out of it: none is kept */
    struct floods *floods;
};

struct addresses {
    pthread_mutex_t lock;
    struct names names;
    struct list_node flooding;
    size_t count, flooding_count;
};

enum outcome addresses_open(struct addresses **out, size_t expected) {
    *out = NULL;
    struct addresses *addresses = calloc(1, sizeof *addresses);
    if (addresses == NULL) return MEMORY_EXHAUSTED;
    uint64_t seed = 0;
    const uint8_t *secret = secret_bytes();
    if (secret != NULL) memcpy(&seed, secret, sizeof seed);
    if (names_init(&addresses->names, expected, seed) != OK) {
        free(addresses);
        return MEMORY_EXHAUSTED;
    }
    list_init(&addresses->flooding);
    pthread_mutex_init(&addresses->lock, NULL);
    *out = addresses;
    return OK;
}

static struct entry *find(struct addresses *addresses, const struct address *address) {
    struct address_key key = address_key(address);
    struct name *name = names_find(&addresses->names, (const char *)key.bytes, sizeof key.bytes);
    return name == NULL ? NULL : LIST_ENTRY(name, struct entry, name);
}

static struct entry *find_or_make(struct addresses *addresses, const struct address *address) {
    struct entry *entry = find(addresses, address);
    if (entry != NULL) return entry;
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) return NULL;
    entry->key = address_key(address);
    entry->name.text = (const char *)entry->key.bytes;
    entry->name.bytes = sizeof entry->key.bytes;
    names_add(&addresses->names, &entry->name);
    addresses->count++;
    return entry;
}

static void remove_if_empty(struct addresses *addresses, struct entry *entry) {
    if (entry->connections > 0 || entry->floods != NULL) return;
    names_remove(&addresses->names, &entry->name);
    addresses->count--;
    free(entry);
}

static void forget_floods(struct addresses *addresses, struct entry *entry) {
    list_remove(&entry->flooding);
    addresses->flooding_count--;
    free(entry->floods);
    entry->floods = NULL;
    remove_if_empty(addresses, entry);
}

void addresses_close(struct addresses *addresses) {
    if (addresses == NULL) return;
    while (!list_empty(&addresses->flooding))
        forget_floods(addresses, LIST_ENTRY(addresses->flooding.next, struct entry, flooding));
    assert(addresses->count == 0);
    names_free(&addresses->names);
    pthread_mutex_destroy(&addresses->lock);
    free(addresses);
}

bool addresses_enter(struct addresses *addresses, const struct address *address, uint32_t limit) {
    pthread_mutex_lock(&addresses->lock);
    struct entry *entry = find_or_make(addresses, address);
    bool entered = entry != NULL && entry->connections < limit;
    if (entered)
        entry->connections++;
    else if (entry != NULL)
        remove_if_empty(addresses, entry);
    pthread_mutex_unlock(&addresses->lock);
    return entered;
}

void addresses_leave(struct addresses *addresses, const struct address *address) {
    pthread_mutex_lock(&addresses->lock);
    struct entry *entry = find(addresses, address);
    assert(entry != NULL && entry->connections > 0);
    entry->connections--;
    remove_if_empty(addresses, entry);
    pthread_mutex_unlock(&addresses->lock);
}

/* --- floods --- */

static bool is_stale(const struct floods *floods, uint64_t now_ns) {
    assert(floods != NULL); /* who stands in the line has flooded */
    uint32_t last = (floods->next + ADDRESSES_FLOODS) % (ADDRESSES_FLOODS + 1);
    return floods->wary_until_ns <= now_ns && now_ns - floods->at_ns[last] > ADDRESSES_WINDOW_NS;
}

/* The first of the line flooded longest ago. */
static void make_room(struct addresses *addresses, uint64_t now_ns) {
    while (!list_empty(&addresses->flooding)) {
        struct entry *first = LIST_ENTRY(addresses->flooding.next, struct entry, flooding);
        if (addresses->flooding_count < ADDRESSES_FLOODING && !is_stale(first->floods, now_ns))
            return;
        forget_floods(addresses, first);
    }
}

static void count_flood(struct floods *floods, uint64_t now_ns) {
    floods->at_ns[floods->next] = now_ns;
    floods->next = (floods->next + 1) % (ADDRESSES_FLOODS + 1);
    if (floods->count <= ADDRESSES_FLOODS) floods->count++;
    uint64_t oldest_ns = floods->at_ns[floods->next];
    bool many = floods->count > ADDRESSES_FLOODS;
    if (many && now_ns - oldest_ns <= ADDRESSES_WINDOW_NS)
        floods->wary_until_ns = now_ns + ADDRESSES_WARY_NS;
}

static void note_flood(struct addresses *addresses, const struct address *address,
                       uint64_t now_ns) {
    make_room(addresses, now_ns);
    struct entry *entry = find_or_make(addresses, address);
    if (entry == NULL) return;
    if (entry->floods == NULL) {
        entry->floods = calloc(1, sizeof *entry->floods);
        if (entry->floods == NULL) {
            remove_if_empty(addresses, entry);
            return;
        }
        addresses->flooding_count++;
    } else {
        list_remove(&entry->flooding);
    }
    list_push_back(&addresses->flooding, &entry->flooding);
    count_flood(entry->floods, now_ns);
}

void addresses_flooded(struct addresses *addresses, const struct address *address,
                       uint64_t now_ns) {
    pthread_mutex_lock(&addresses->lock);
    note_flood(addresses, address, now_ns);
    pthread_mutex_unlock(&addresses->lock);
}

bool addresses_is_wary(struct addresses *addresses, const struct address *address,
                       uint64_t now_ns) {
    pthread_mutex_lock(&addresses->lock);
    const struct entry *entry = find(addresses, address);
    bool wary = entry != NULL && entry->floods != NULL && entry->floods->wary_until_ns > now_ns;
    pthread_mutex_unlock(&addresses->lock);
    return wary;
}

size_t addresses_count(struct addresses *addresses) {
    pthread_mutex_lock(&addresses->lock);
    size_t count = addresses->count;
    pthread_mutex_unlock(&addresses->lock);
    return count;
}
