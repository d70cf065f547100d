#include "core/policy/tenants.h"

#include "core/base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TENANT_OF(pointer, member) LIST_ENTRY(pointer, struct tenant, member)

enum outcome tenants_init(struct tenants *tenants, size_t room, uint64_t seed) {
    *tenants = (struct tenants){0};
    list_init(&tenants->live);
    list_init(&tenants->remembered);
    return names_init(&tenants->names, room + TENANTS_REMEMBERED, seed);
}

static void forget(struct tenants *tenants, struct tenant *tenant) {
    names_remove(&tenants->names, &tenant->name);
    list_remove(&tenant->node);
    tenants->remembered_count--;
    free(tenant);
}

static void forget_longest_gone(struct tenants *tenants) {
    forget(tenants, TENANT_OF(tenants->remembered.next, node));
}

void tenants_free(struct tenants *tenants) {
    assert(tenants->live_count == 0);
    while (tenants->remembered_count > 0) forget_longest_gone(tenants);
    names_free(&tenants->names);
}

void tenant_init(struct tenant *tenant) {
    *tenant = (struct tenant){.name.text = "", .weight = 1};
    for (int i = 0; i < PRIORITY_COUNT; i++)
        tenant->seats[i] = (struct tenant_seat){
            .tenant = tenant, .index = HEAP_NOWHERE, .class = (enum priority)i};
}

static size_t name_bytes(const char *name) {
    return strnlen(name, TENANT_NAME_BYTES);
}

static struct tenant *tenant_create(const char *name) {
    size_t bytes = name_bytes(name);
    struct tenant *tenant = malloc(sizeof *tenant + bytes + 1);
    if (tenant == NULL) return NULL;
    tenant_init(tenant);
    char *text = memcpy(tenant + 1, name, bytes);
    text[bytes] = '\0';
    tenant->name.text = text;
    tenant->name.bytes = bytes;
    return tenant;
}

static uint32_t weight_of(const struct tenants *tenants, const struct tenant *tenant) {
    for (size_t i = 0; i < tenants->weights_count; i++)
        if (strcmp(tenants->weights[i].tenant, tenant->name.text) == 0)
            return tenants->weights[i].weight;
    return 1;
}

static void weigh_all(struct tenants *tenants, struct list_node *end) {
    for (struct list_node *at = end->next; at != end; at = at->next)
        TENANT_OF(at, node)->weight = weight_of(tenants, TENANT_OF(at, node));
}

void tenants_weigh(struct tenants *tenants, const struct tenant_weight *weights, size_t count) {
    tenants->weights = weights;
    tenants->weights_count = count;
    weigh_all(tenants, &tenants->live);
    weigh_all(tenants, &tenants->remembered);
}

struct tenant *tenants_find(const struct tenants *tenants, const char *name) {
    struct name *found = names_find(&tenants->names, name, name_bytes(name));
    return found != NULL ? TENANT_OF(found, name) : NULL;
}

enum outcome tenants_enter(struct tenants *tenants, const char *name, struct tenant **out) {
    *out = NULL;
    struct tenant *tenant = tenants_find(tenants, name);
    if (tenant == NULL) {
        tenant = tenant_create(name);
        if (tenant == NULL) return MEMORY_EXHAUSTED;
        tenant->weight = weight_of(tenants, tenant);
        names_add(&tenants->names, &tenant->name);
    } else if (tenant->live == 0) {
        list_remove(&tenant->node);
        tenants->remembered_count--;
    }
    if (tenant->live++ == 0) {
        list_push_back(&tenants->live, &tenant->node);
        tenants->live_count++;
    }
    *out = tenant;
    return OK;
}

void tenants_leave(struct tenants *tenants, struct tenant *tenant) {
    assert(tenant->live > 0);
    if (--tenant->live > 0) return;
    list_remove(&tenant->node);
    list_push_back(&tenants->remembered, &tenant->node);
    tenants->live_count--;
    tenants->remembered_count++;
    if (tenants->remembered_count > TENANTS_REMEMBERED) forget_longest_gone(tenants);
}

/* --- run times ---------------------------------------------------------------------------------------- */

/* All halve at the same moments, so that the parts add up to the whole. */
static uint64_t decayed(uint64_t served_ns, uint64_t half_life, uint64_t now_ns) {
    uint64_t now_half_life = now_ns / TENANT_HALF_LIFE_NS;
    uint64_t passed = now_half_life > half_life ? now_half_life - half_life : 0;
    return passed < 64 ? served_ns >> passed : 0;
}

static void serve(uint64_t *served_ns, uint64_t *half_life, uint64_t run_ns, uint64_t now_ns) {
    *served_ns = clock_add(decayed(*served_ns, *half_life, now_ns), run_ns);
    if (now_ns / TENANT_HALF_LIFE_NS > *half_life) *half_life = now_ns / TENANT_HALF_LIFE_NS;
}

/* One part in `weight` of the new; the first counts whole. */
static void learn(uint64_t *mean_ns, uint64_t run_ns, uint64_t weight) {
    *mean_ns = *mean_ns == 0 ? run_ns : *mean_ns - *mean_ns / weight + run_ns / weight;
}

void tenants_ran(struct tenants *tenants, struct tenant *tenant, uint64_t run_ns, uint64_t now_ns) {
    learn(&tenant->mean_run_ns, run_ns, 8);
    learn(&tenants->mean_run_ns, run_ns, 16);
    serve(&tenant->served_ns, &tenant->half_life, run_ns, now_ns);
    serve(&tenants->served_ns, &tenants->half_life, run_ns, now_ns);
}

uint64_t tenants_estimate(const struct tenants *tenants, const struct tenant *tenant) {
    uint64_t mean_ns = tenant->mean_run_ns > 0 ? tenant->mean_run_ns : tenants->mean_run_ns;
    return mean_ns > CLOCK_US ? mean_ns : CLOCK_US;
}

/* --- looking ---------------------------------------------------------------------------------------- */

static struct tenant_facts facts_of(const struct tenants *tenants, const struct tenant *tenant,
                                    uint64_t now_ns) {
    struct tenant_facts facts = {.name = tenant->name.text,
                                 .waiting = tenant->waiting,
                                 .out = tenant->out,
                                 .weight = tenant->weight,
                                 .served_ns =
                                     decayed(tenant->served_ns, tenant->half_life, now_ns)};
    uint64_t all_ns = decayed(tenants->served_ns, tenants->half_life, now_ns);
    if (all_ns > 0) facts.share = (double)facts.served_ns / (double)all_ns;
    if (facts.share > 1) facts.share = 1;
    return facts;
}

static bool busier(const struct tenant_facts *a, const struct tenant_facts *b) {
    uint32_t at_a = a->waiting + a->out, at_b = b->waiting + b->out;
    return at_a != at_b ? at_a > at_b : a->served_ns > b->served_ns;
}

size_t tenants_list(const struct tenants *tenants, struct tenant_facts *out, size_t most,
                    uint64_t now_ns) {
    size_t count = 0;
    const struct list_node *end = &tenants->live;
    for (const struct list_node *at = end->next; most > 0 && at != end; at = at->next) {
        struct tenant_facts facts = facts_of(tenants, TENANT_OF(at, node), now_ns);
        if (count == most && !busier(&facts, &out[count - 1])) continue;
        size_t place = count < most ? count++ : count - 1;
        for (; place > 0 && busier(&facts, &out[place - 1]); place--) out[place] = out[place - 1];
        out[place] = facts;
    }
    return count;
}
