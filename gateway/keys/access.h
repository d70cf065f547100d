/* access - who may do what: one decision for both doors, from what a client shows and where it knocks.
 * thread: access_decide and access_leave from any, nothing blocks; open, tend and close are main's.
 * owns:   the table of keys, what tenants have used, the addresses that failed. A grant refers to them: it
 *         is left before access_close.
 * fails:  access_open: INVALID_REQUEST and `error` (the key file), MEMORY_EXHAUSTED. A broken key file that
 *         comes later changes nothing and is in the log. */
#ifndef GATEWAY_KEYS_ACCESS_H
#define GATEWAY_KEYS_ACCESS_H

#include "gateway/config/config.h"
#include "gateway/keys/failures.h"
#include "gateway/keys/key_text.h"
#include "gateway/keys/tenant_limits.h"

/* What a route asks for. OPEN: nothing (probes). ANY: some key. OWN: the scope invoke, but no place under
 * way: what a client asks about its own requests. The rest: the scope of that name. */
enum access_need {
    ACCESS_OPEN,
    ACCESS_ANY,
    ACCESS_INVOKE,
    ACCESS_OWN,
    ACCESS_READ,
    ACCESS_ADMIN,
    ACCESS_NEED_COUNT
};

struct access_ask {
    enum access_need need;
    unsigned credentials_count; /* Authorization lines */
    const char *credentials;    /* what the first of them says; NULL: there is none */
    size_t credentials_bytes;
    struct in6_addr address;
    bool admin_door; /* it came to admin.listen, which is on loopback */
    uint64_t now_ns, wall_s;
};

struct access_grant {
    enum outcome outcome;
    const char *detail;       /* of a refusal; constant */
    uint64_t retry_after_ns;  /* of RATE_LIMITED; 0: no advice */
    const char *tenant;       /* NULL: no key names one */
    char key[KEY_NAME_BYTES]; /* the key's name; "": none was shown */
    enum priority max_priority;
    bool admin; /* its key has that scope, or there are no keys at all */
    struct tenant_quota quota;
    struct tenant_limit *place; /* to be given back by access_leave */
};

struct access;
/* Without auth.keys_file everybody may do everything but administer. */
enum outcome access_open(struct access **out, const struct config *config,
                         char error[KEY_ERROR_BYTES]);
void access_close(struct access *access); /* NULL is allowed */
bool access_has_keys(const struct access *access);

/* access NULL: as without keys. */
void access_decide(struct access *access, const struct access_ask *ask, struct access_grant *grant);
/* Before the reply goes out, so that who has read it finds the place free; may be repeated. */
void access_leave(struct access_grant *grant);
/* A class that the key does not allow becomes the best that it does. */
enum priority access_priority(const struct access_grant *grant, enum priority wanted);
/* Whether a request or a job of this tenant is there for the one who asks; else it is a 404. */
bool access_may_see(const struct access_grant *grant, const char *tenant);
/* The one tenant whose requests are there for who asks; NULL: everybody's are. */
const char *access_sees_only(const struct access_grant *grant);
/* auth.trust_tenant_header at a door that listens there. */
bool access_trusts_tenant(const struct config *config, const struct listen_address *listen);

/* We are somebody else now: a key file that this user cannot even see has not changed by it. */
void access_user_changed(struct access *access);
/* Looks whether the key file has changed, at most once a second; `again`: somebody says so (SIGHUP). */
#define ACCESS_LOOK_NS UINT64_C(1000000000)
void access_tend(struct access *access, uint64_t now_ns, bool again);

#endif
