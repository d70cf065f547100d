#include "gateway/keys/failures.h"

#include "core/base/secret.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS 512 /* a power of two */
#define WAYS   8   /* addresses of one group */

struct record {
    uint8_t address[16]; /* all zero: free */
    uint32_t count;
    uint64_t began_ns, until_ns, used_ns;
};

struct failures {
    pthread_mutex_t lock;
    uint64_t seed;
    _Atomic uint64_t latest_until_ns; /* nobody waits any longer */
    struct record records[GROUPS][WAYS];
};

enum outcome failures_open(struct failures **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return MEMORY_EXHAUSTED;
    if (secret_bytes() != NULL) memcpy(&(*out)->seed, secret_bytes(), sizeof(*out)->seed);
    pthread_mutex_init(&(*out)->lock, NULL);
    return OK;
}

void failures_close(struct failures *failures) {
    if (failures == NULL) return;
    pthread_mutex_destroy(&failures->lock);
    free(failures);
}

static void key_of(const struct in6_addr *address, uint8_t key[16]) {
    memcpy(key, address->s6_addr, 16);
    if (!IN6_IS_ADDR_V4MAPPED(address)) memset(key + 8, 0xff, 8);
}

static struct record *group_of(struct failures *failures, const uint8_t key[16]) {
    uint64_t hash = failures->seed;
    for (int i = 0; i < 16; i++) hash = (hash ^ key[i]) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    return failures->records[hash & (GROUPS - 1)];
}

static struct record *find(struct failures *failures, const uint8_t key[16]) {
    struct record *group = group_of(failures, key);
    for (int i = 0; i < WAYS; i++)
        if (memcmp(group[i].address, key, 16) == 0) return &group[i];
    return NULL;
}

static struct record *take(struct failures *failures, const uint8_t key[16]) {
    struct record *record = find(failures, key), *group = group_of(failures, key);
    if (record != NULL) return record;
    record = &group[0];
    for (int i = 1; i < WAYS; i++)
        if (group[i].used_ns < record->used_ns) record = &group[i];
    *record = (struct record){.count = 0};
    memcpy(record->address, key, 16);
    return record;
}

uint64_t failures_wait_ns(struct failures *failures, const struct in6_addr *address,
                          uint64_t now_ns) {
    uint8_t key[16];
    uint64_t wait_ns = 0;
    if (atomic_load_explicit(&failures->latest_until_ns, memory_order_relaxed) <= now_ns) return 0;
    key_of(address, key);
    pthread_mutex_lock(&failures->lock);
    const struct record *record = find(failures, key);
    if (record != NULL && record->until_ns > now_ns) wait_ns = record->until_ns - now_ns;
    pthread_mutex_unlock(&failures->lock);
    return wait_ns;
}

bool failures_add(struct failures *failures, const struct in6_addr *address, uint64_t now_ns) {
    uint8_t key[16];
    key_of(address, key);
    pthread_mutex_lock(&failures->lock);
    struct record *record = take(failures, key);
    if (record->count == 0 || now_ns - record->began_ns >= FAILURES_WINDOW_NS) {
        record->count = 0;
        record->began_ns = now_ns;
    }
    record->used_ns = now_ns;
    bool begins = ++record->count >= FAILURES_MOST;
    if (begins) {
        record->count = 0;
        record->until_ns = now_ns + FAILURES_WAIT_NS;
        atomic_store_explicit(&failures->latest_until_ns, record->until_ns, memory_order_relaxed);
    }
    pthread_mutex_unlock(&failures->lock);
    return begins;
}

static struct in6_addr map_four(struct in_addr four) {
    struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&address.s6_addr[12], &four, sizeof four);
    return address;
}

struct in6_addr failures_address(const struct sockaddr *address) {
    if (address != NULL && address->sa_family == AF_INET)
        return map_four(((const struct sockaddr_in *)(const void *)address)->sin_addr);
    if (address != NULL && address->sa_family == AF_INET6)
        return ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return in6addr_any;
}

struct in6_addr failures_address_of_text(const char *text) {
    char host[INET6_ADDRSTRLEN];
    struct in6_addr six;
    struct in_addr four;
    bool brackets = *text == '[';
    size_t bytes = strcspn(text += brackets ? 1 : 0, brackets ? "]" : ":");
    if (bytes >= sizeof host) return in6addr_any;
    memcpy(host, text, bytes);
    host[bytes] = '\0';
    if (inet_pton(AF_INET, host, &four) == 1) return map_four(four);
    return inet_pton(AF_INET6, host, &six) == 1 ? six : in6addr_any;
}
