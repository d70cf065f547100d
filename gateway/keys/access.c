#include "gateway/keys/access.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "gateway/keys/key_file.h"
#include "gateway/keys/key_ring.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct access {
    const char *path; /* NULL: no keys */
    struct key_ring ring;
    struct tenant_limits *limits;
    struct failures *failures;
    struct key_file_mark mark; /* of the file that was read last, well or not */
    uint64_t look_ns;
};

/* --- the decision --- */

static bool refuse(struct access_grant *grant, enum outcome outcome, const char *detail) {
    grant->outcome = outcome;
    grant->detail = detail;
    return false;
}

static void decide_without_keys(const struct access_ask *ask, struct access_grant *grant) {
    grant->admin = ask->need != ACCESS_ADMIN || ask->admin_door;
    if (!grant->admin)
        refuse(grant, PERMISSION_DENIED,
               "administration needs auth.keys_file, or a loopback admin.listen");
}

/* RFC 6750 section 2.1: the scheme in any case, one space, the token. What is longer or shorter than a
 * token is not looked at any further. */
static bool read_bearer(const struct access_ask *ask, struct token *token) {
    static const char scheme[] = "Bearer ";
    const size_t before = sizeof scheme - 1;
    *token = (struct token){.id = ""};
    if (ask->credentials_count != 1 || ask->credentials_bytes != before + TOKEN_DIGITS ||
        strncasecmp(ask->credentials, scheme, before) != 0)
        return false;
    return token_read(token, ask->credentials + before, TOKEN_DIGITS);
}

/* What was shown is never told: only from where. */
static void on_failure(struct access *access, const struct access_ask *ask) {
    char address[INET6_ADDRSTRLEN] = "";
    if (!failures_add(access->failures, &ask->address, ask->now_ns)) return;
    inet_ntop(AF_INET6, &ask->address, address, sizeof address);
    log_event(LOG_WARN, "wrong keys", LOG_STR("address", address),
              LOG_UINT("wait_s", FAILURES_WAIT_NS / CLOCK_S));
}

/* A copy, because the table may go. */
static bool find_key(struct access *access, const struct access_ask *ask, struct api_key *out) {
    struct token token;
    unsigned place;
    if (!read_bearer(ask, &token)) return false;
    const struct keys *keys = key_ring_take(&access->ring, &place);
    const struct api_key *key = keys_verify(keys, &token);
    if (key != NULL) *out = *key;
    key_ring_give_back(&access->ring, place);
    token_forget(&token);
    return key != NULL;
}

static bool identify(struct access *access, const struct access_ask *ask,
                     struct access_grant *grant, struct api_key *key) {
    if (ask->credentials_count == 0)
        return refuse(grant, UNAUTHENTICATED, "a key is needed: Authorization: Bearer pg_...");
    if (!find_key(access, ask, key)) {
        grant->retry_after_ns = failures_wait_ns(access->failures, &ask->address, ask->now_ns);
        if (grant->retry_after_ns > 0)
            return refuse(grant, RATE_LIMITED, "too many wrong keys came from this address");
        on_failure(access, ask);
        return refuse(grant, UNAUTHENTICATED,
                      ask->credentials_count > 1 ? "Authorization is there more than once"
                                                 : "there is no such key");
    }
    if (!key_expired(key, ask->wall_s)) return true;
    return refuse(grant, UNAUTHENTICATED, "the key has expired");
}

static bool check_scope(const struct access_ask *ask, const struct api_key *key,
                        struct access_grant *grant) {
    static const struct {
        unsigned scopes;
        const char *missing;
    } needs[ACCESS_NEED_COUNT] = {
        [ACCESS_ANY] = {~0u, "the key has no scope"},
        [ACCESS_INVOKE] = {KEY_SCOPE_INVOKE, "the key lacks the scope invoke"},
        [ACCESS_OWN] = {KEY_SCOPE_INVOKE, "the key lacks the scope invoke"},
        [ACCESS_READ] = {KEY_SCOPE_READ, "the key lacks the scope read"},
        [ACCESS_ADMIN] = {KEY_SCOPE_ADMIN, "the key lacks the scope admin"},
    };
    if ((key->scopes & needs[ask->need].scopes) != 0) return true;
    return refuse(grant, PERMISSION_DENIED, needs[ask->need].missing);
}

static void take(const struct access_ask *ask, const struct api_key *key,
                 struct access_grant *grant) {
    const struct tenant_bounds bounds = {
        .rate = key->rate, .burst = key->burst, .concurrency = key->concurrency};
    enum tenant_taking taking = ask->need == ACCESS_INVOKE ? TENANT_PLACE : TENANT_TURN;
    if (tenant_limit_take(key->limit, &bounds, taking, ask->now_ns, &grant->quota) == OK) {
        if (taking == TENANT_PLACE) grant->place = key->limit;
        return;
    }
    grant->retry_after_ns = grant->quota.retry_after_ns;
    refuse(grant, RATE_LIMITED,
           grant->quota.rate_used_up
               ? "the tenant's rate is used up"
               : "the tenant has as many requests under way as its key allows");
}

void access_decide(struct access *access, const struct access_ask *ask,
                   struct access_grant *grant) {
    struct api_key key;
    *grant = (struct access_grant){.outcome = OK, .max_priority = PRIORITY_CRITICAL};
    if (ask->need == ACCESS_OPEN) return;
    if (ask->admin_door && ask->credentials_count == 0) {
        grant->admin =
            true; /* who can reach it is the operator: it is on loopback, and was asked for */
        return;
    }
    if (access == NULL || access->path == NULL) {
        decide_without_keys(ask, grant);
        return;
    }
    if (!identify(access, ask, grant, &key)) return;
    grant->tenant = key.limit->tenant;
    snprintf(grant->key, sizeof grant->key, "%s", key.name);
    grant->max_priority = key.max_priority;
    grant->admin = (key.scopes & KEY_SCOPE_ADMIN) != 0;
    if (check_scope(ask, &key, grant)) take(ask, &key, grant);
}

void access_leave(struct access_grant *grant) {
    if (grant->place != NULL) tenant_limit_give_back(grant->place);
    grant->place = NULL;
}

enum priority access_priority(const struct access_grant *grant, enum priority wanted) {
    return wanted > grant->max_priority ? wanted : grant->max_priority;
}

const char *access_sees_only(const struct access_grant *grant) {
    return grant->admin ? NULL : grant->tenant;
}

bool access_may_see(const struct access_grant *grant, const char *tenant) {
    const char *only = access_sees_only(grant);
    if (grant->outcome != OK) return false;
    return only == NULL || (tenant != NULL && strcmp(only, tenant) == 0);
}

bool access_trusts_tenant(const struct config *config, const struct listen_address *listen) {
    if (config->auth.trust_tenant_header != TRUST_DEFAULT)
        return config->auth.trust_tenant_header == TRUST_YES;
    return listen->loopback && config->auth.keys_file == NULL;
}

/* --- the key file --- */

static enum outcome read_keys(struct access *access, struct keys **out,
                              char error[KEY_ERROR_BYTES]) {
    /* Marked before it is read: what changes meanwhile is seen the next time. */
    access->mark = key_file_mark(access->path);
    enum outcome outcome = key_file_read(out, access->path, error);
    for (size_t i = 0; outcome == OK && i < (*out)->count; i++) {
        struct api_key *key = (*out)->items[i];
        key->limit = tenant_limits_find(access->limits, key->tenant);
        if (key->limit == NULL) outcome = MEMORY_EXHAUSTED;
    }
    if (outcome == OK) return OK;
    if (outcome == MEMORY_EXHAUSTED) snprintf(error, KEY_ERROR_BYTES, "out of memory");
    keys_free(*out);
    *out = NULL;
    return outcome == NOT_FOUND ? INVALID_REQUEST : outcome;
}

static enum outcome open_parts(struct access *access, char error[KEY_ERROR_BYTES]) {
    struct keys *keys = NULL;
    enum outcome outcome = tenant_limits_open(&access->limits);
    if (outcome == OK) outcome = failures_open(&access->failures);
    if (outcome == OK && access->path != NULL) outcome = read_keys(access, &keys, error);
    if (outcome == OK) key_ring_open(&access->ring, keys);
    return outcome;
}

enum outcome access_open(struct access **out, const struct config *config,
                         char error[KEY_ERROR_BYTES]) {
    *out = NULL;
    error[0] = '\0';
    struct access *access = calloc(1, sizeof *access);
    if (access == NULL) return MEMORY_EXHAUSTED;
    access->path = config->auth.keys_file;
    enum outcome outcome = open_parts(access, error);
    if (outcome == OK)
        *out = access;
    else
        access_close(access);
    return outcome;
}

void access_close(struct access *access) {
    if (access == NULL) return;
    key_ring_close(&access->ring);
    tenant_limits_close(access->limits);
    failures_close(access->failures);
    free(access);
}

bool access_has_keys(const struct access *access) {
    return access != NULL && access->path != NULL;
}

static void read_again(struct access *access) {
    char error[KEY_ERROR_BYTES];
    struct keys *keys;
    if (read_keys(access, &keys, error) != OK) {
        log_event(LOG_ERROR, "keys_refused", LOG_STR("file", access->path), LOG_STR("text", error));
        return;
    }
    size_t count = keys->count;
    if (key_ring_offer(&access->ring, keys)) {
        log_event(LOG_INFO, "keys", LOG_UINT("count", count));
        return;
    }
    keys_free(keys);
    access->mark = (struct key_file_mark){.node = 0}; /* and once more in a second */
}

void access_user_changed(struct access *access) {
    if (!access_has_keys(access)) return;
    struct key_file_mark mark = key_file_mark(access->path);
    if (mark.node == 0) access->mark = mark;
}

void access_tend(struct access *access, uint64_t now_ns, bool again) {
    if (!access_has_keys(access)) return;
    if (!again && now_ns - access->look_ns < ACCESS_LOOK_NS) return;
    access->look_ns = now_ns;
    struct key_file_mark mark = key_file_mark(access->path);
    if (again || memcmp(&mark, &access->mark, sizeof mark) != 0) read_again(access);
}
