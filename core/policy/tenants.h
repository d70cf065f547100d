/* tenants - whom requests belong to: how many each has, what its runs take, its share of the pool.
 * thread: the owner's. Pure: time is passed in.
 * owns:   the tenants' records; a tenant without live requests is remembered for its debts, at most
 *         TENANTS_REMEMBERED of them, the longest gone is forgotten first.
 * fails:  tenants_init, tenants_enter: MEMORY_EXHAUSTED, nothing has changed then. */
#ifndef CORE_POLICY_TENANTS_H
#define CORE_POLICY_TENANTS_H

#include "core/base/heap.h"
#include "core/base/list.h"
#include "core/base/names.h"
#include "core/base/ranked.h"
#include "core/base/request.h"
#include "core/policy/pool_options.h"

#define TENANT_NAME_BYTES   128  /* longer names are cut */
#define TENANTS_REMEMBERED  1024 /* without live requests */
#define TENANT_HALF_LIFE_NS UINT64_C(10000000000)

/* A tenant's place among the tenants of one effective class; queue_order's own. */
struct tenant_seat {
    struct tenant *tenant;
    struct ranked line;  /* its requests that wait in that class, by arrival */
    uint64_t turn_ns;    /* the round in which it has paid for what it took */
    uint64_t seated;     /* of the same turn: lower goes first */
    size_t index;        /* in the heap of turns; HEAP_NOWHERE while its line is empty */
    enum priority class; /* effective */
};

struct tenant {
    struct name name;
    struct list_node node; /* among the live or the remembered */
    uint32_t live, waiting, out;
    uint32_t weight;      /* of its share; 1 unless it was given one */
    uint64_t mean_run_ns; /* 0: not known yet */
    uint64_t served_ns;   /* decayed up to half_life */
    uint64_t half_life;   /* how many had passed */
    struct tenant_seat seats[PRIORITY_COUNT];
};

struct tenant_facts {
    const char *name; /* "" when no tenant was named; valid until the queue changes */
    uint32_t waiting, out;
    uint64_t served_ns; /* run time of its finished requests, decayed: halves each 10 s */
    double share;       /* of the run time of all tenants lately, 0 to 1 */
    uint64_t weight;
};

struct tenants {
    struct names names;
    struct list_node live, remembered; /* the longest gone first */
    uint32_t live_count, remembered_count;
    uint64_t mean_run_ns, served_ns, half_life; /* of all */
    const struct tenant_weight *weights;        /* whoever tuned them keeps them */
    size_t weights_count;
};

enum outcome tenants_init(struct tenants *tenants, size_t room, uint64_t seed);
void tenants_free(struct tenants *tenants); /* nobody may be live */
/* Those named have these weights from now on, the others 1. */
void tenants_weigh(struct tenants *tenants, const struct tenant_weight *weights, size_t count);
/* One more live request of that tenant; a new one gets its record. */
enum outcome tenants_enter(struct tenants *tenants, const char *name, struct tenant **out);
/* One less; the tenant may be forgotten in this. */
void tenants_leave(struct tenants *tenants, struct tenant *tenant);
struct tenant *tenants_find(const struct tenants *tenants, const char *name); /* NULL: unknown */
/* A run of that tenant is over. */
void tenants_ran(struct tenants *tenants, struct tenant *tenant, uint64_t run_ns, uint64_t now_ns);
/* What its next run will take, as far as anybody can tell: at least 1 us. */
uint64_t tenants_estimate(const struct tenants *tenants, const struct tenant *tenant);
/* Those with live requests, the most of them first; returns how many were written. */
size_t tenants_list(const struct tenants *tenants, struct tenant_facts *out, size_t most,
                    uint64_t now_ns);
/* A record with empty seats, outside of any table. */
void tenant_init(struct tenant *tenant);

#endif
