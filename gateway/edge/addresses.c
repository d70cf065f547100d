#include "gateway/edge/addresses.h"

#include "core/base/list.h"
#include "core/base/names.h"
#include "core/base/secret.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The moments of the last failures: one more than is allowed, in a ring. */
struct failures {
    uint64_t at_ns[ADDRESSES_FAILURES + 1];
    uint32_t next, count;
    uint64_t throttled_until_ns;
};

struct entry {
    struct name name; /* its text is key */
    struct address_key key;
    uint32_t connections;
    struct list_node failing; /* in the order of the latest failure; out of it: none is kept */
    struct failures *failures;
};

struct addresses {
    pthread_mutex_t lock;
    struct names names;
    struct list_node failing;
    size_t count, failing_count;
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
    list_init(&addresses->failing);
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
    if (entry->connections > 0 || entry->failures != NULL) return;
    names_remove(&addresses->names, &entry->name);
    addresses->count--;
    free(entry);
}

static void forget_failures(struct addresses *addresses, struct entry *entry) {
    list_remove(&entry->failing);
    addresses->failing_count--;
    free(entry->failures);
    entry->failures = NULL;
    remove_if_empty(addresses, entry);
}

void addresses_close(struct addresses *addresses) {
    if (addresses == NULL) return;
    while (!list_empty(&addresses->failing))
        forget_failures(addresses, LIST_ENTRY(addresses->failing.next, struct entry, failing));
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

/* --- failures --- */

static bool is_stale(const struct failures *failures, uint64_t now_ns) {
    uint32_t last = (failures->next + ADDRESSES_FAILURES) % (ADDRESSES_FAILURES + 1);
    return failures->throttled_until_ns <= now_ns &&
           now_ns - failures->at_ns[last] > ADDRESSES_WINDOW_NS;
}

/* The first of the line failed longest ago. */
static void make_room(struct addresses *addresses, uint64_t now_ns) {
    while (!list_empty(&addresses->failing)) {
        struct entry *first = LIST_ENTRY(addresses->failing.next, struct entry, failing);
        if (addresses->failing_count < ADDRESSES_FAILING && !is_stale(first->failures, now_ns))
            return;
        forget_failures(addresses, first);
    }
}

static void count_failure(struct failures *failures, uint64_t now_ns) {
    failures->at_ns[failures->next] = now_ns;
    failures->next = (failures->next + 1) % (ADDRESSES_FAILURES + 1);
    if (failures->count <= ADDRESSES_FAILURES) failures->count++;
    uint64_t oldest_ns = failures->at_ns[failures->next];
    bool many = failures->count > ADDRESSES_FAILURES;
    if (many && now_ns - oldest_ns <= ADDRESSES_WINDOW_NS)
        failures->throttled_until_ns = now_ns + ADDRESSES_THROTTLE_NS;
}

static void note_failure(struct addresses *addresses, const struct address *address,
                         uint64_t now_ns) {
    make_room(addresses, now_ns);
    struct entry *entry = find_or_make(addresses, address);
    if (entry == NULL) return;
    if (entry->failures == NULL) {
        entry->failures = calloc(1, sizeof *entry->failures);
        if (entry->failures == NULL) {
            remove_if_empty(addresses, entry);
            return;
        }
        addresses->failing_count++;
    } else {
        list_remove(&entry->failing);
    }
    list_push_back(&addresses->failing, &entry->failing);
    count_failure(entry->failures, now_ns);
}

void addresses_failed(struct addresses *addresses, const struct address *address, uint64_t now_ns) {
    pthread_mutex_lock(&addresses->lock);
    note_failure(addresses, address, now_ns);
    pthread_mutex_unlock(&addresses->lock);
}

bool addresses_is_throttled(struct addresses *addresses, const struct address *address,
                            uint64_t now_ns) {
    pthread_mutex_lock(&addresses->lock);
    const struct entry *entry = find(addresses, address);
    bool throttled =
        entry != NULL && entry->failures != NULL && entry->failures->throttled_until_ns > now_ns;
    pthread_mutex_unlock(&addresses->lock);
    return throttled;
}

size_t addresses_count(struct addresses *addresses) {
    pthread_mutex_lock(&addresses->lock);
    size_t count = addresses->count;
    pthread_mutex_unlock(&addresses->lock);
    return count;
}
