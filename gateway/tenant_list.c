#include "gateway/tenant_list.h"

#include "gateway/config/pattern.h"

#include <assert.h>
#include <string.h>

#define SEQUENCE_MOST 4 /* bytes of one character */

/* Also without the controls above ASCII, which terminals obey; in UTF-8 they begin with 0xc2. */
static bool is_text(const char *name) {
    if (!pattern_text(name)) return false;
    for (const unsigned char *at = (const unsigned char *)name; *at != '\0'; at++)
        if (at[0] == 0xc2 && at[1] < 0xa0) return false;
    return true;
}

/* A name that filled its place may end within a character: that one goes. */
static void drop_half_character(char *name, size_t room) {
    size_t bytes = strlen(name);
    if (bytes + 1 < room) return;
    for (size_t cut = 0; cut < SEQUENCE_MOST && (name[bytes - 1 - cut] & 0x80) != 0; cut++) {
        char kept = name[bytes - 1 - cut];
        name[bytes - 1 - cut] = '\0';
        if (pattern_text(name)) return;
        name[bytes - 1 - cut] = kept;
    }
}

static void make_text(char *name, size_t room) {
    if (is_text(name)) return;
    drop_half_character(name, room);
    if (is_text(name)) return;
    for (; *name != '\0'; name++)
        if (*name < ' ' || *name > '~') *name = '?';
}

static struct tenant_snapshot *row_of(struct tenant_list *list, const char *name) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->rows[i].name, name) == 0) return &list->rows[i];
    struct tenant_snapshot *row = &list->rows[list->count++];
    memcpy(row->name, name, sizeof row->name);
    row->waiting = row->out = 0;
    row->share = 0;
    row->weight = 0;
    return row;
}

void tenant_list_fill(struct tenant_list *list, const struct pool_snapshot *pool) {
    assert(pool->tenants_count <= SNAPSHOT_TENANTS);
    list->count = 0;
    for (size_t i = 0; i < pool->tenants_count; i++) {
        struct tenant_snapshot tenant = pool->tenants[i];
        make_text(tenant.name, sizeof tenant.name);
        struct tenant_snapshot *row = row_of(list, tenant.name);
        row->waiting += tenant.waiting;
        row->out += tenant.out;
        row->share += tenant.share;
        if (tenant.weight > row->weight) row->weight = tenant.weight;
    }
}
