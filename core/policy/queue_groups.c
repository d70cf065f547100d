#include "core/policy/queue_groups.h"

#include "core/base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool is_older(const void *a, const void *b) {
    return ((const struct batch_group *)a)->oldest_ns < ((const struct batch_group *)b)->oldest_ns;
}

static bool is_hastier(const void *a, const void *b) {
    const struct batch_group *group = a, *other = b;
    return group->deadline_ns < other->deadline_ns;
}

static void age_placed(void *element, size_t index) {
    ((struct batch_group *)element)->age_index = index;
}

static void haste_placed(void *element, size_t index) {
    ((struct batch_group *)element)->haste_index = index;
}

static struct request *of_group(const struct ranked_node *node) {
    return LIST_ENTRY(node, struct request, in_group);
}

/* --- records ---------------------------------------------------------------------------------------------- */

static void group_init(struct batch_group *group) {
    *group = (struct batch_group){.oldest_ns = CLOCK_NEVER,
                                  .deadline_ns = CLOCK_NEVER,
                                  .age_index = HEAP_NOWHERE,
                                  .haste_index = HEAP_NOWHERE};
}

enum outcome queue_groups_init(struct queue_groups *groups, uint32_t batch_max, size_t room,
                               uint64_t seed) {
    *groups = (struct queue_groups){.batch_max = batch_max};
    heap_init(&groups->by_age, is_older, age_placed);
    heap_init(&groups->by_haste, is_hastier, haste_placed);
    list_init(&groups->full);
    group_init(&groups->alone);
    return names_init(&groups->names, room, seed);
}

void queue_groups_free(struct queue_groups *groups) {
    assert(groups->live_count == 0);
    heap_free(&groups->by_age);
    heap_free(&groups->by_haste);
    names_free(&groups->names);
}

static enum outcome make_room_for_group(struct queue_groups *groups) {
    size_t needed = (size_t)groups->live_count + 1;
    if (needed > groups->by_age.capacity && heap_reserve(&groups->by_age, 2 * needed) != OK)
        return MEMORY_EXHAUSTED;
    if (needed > groups->by_haste.capacity) return heap_reserve(&groups->by_haste, 2 * needed);
    return OK;
}

static struct batch_group *group_create(struct queue_groups *groups, const char *key,
                                        size_t bytes) {
    if (make_room_for_group(groups) != OK) return NULL;
    struct batch_group *group = malloc(sizeof *group + bytes + 1);
    if (group == NULL) return NULL;
    group_init(group);
    group->name.text = memcpy(group + 1, key, bytes + 1);
    group->name.bytes = bytes;
    names_add(&groups->names, &group->name);
    groups->live_count++;
    return group;
}

enum outcome queue_groups_admit(struct queue_groups *groups, struct request *request) {
    size_t bytes = strlen(request->batch_key);
    struct name *found = names_find(&groups->names, request->batch_key, bytes);
    request->group = found != NULL ? LIST_ENTRY(found, struct batch_group, name)
                                   : group_create(groups, request->batch_key, bytes);
    if (request->group == NULL) return MEMORY_EXHAUSTED;
    request->group->live++;
    return OK;
}

void queue_groups_dismiss(struct queue_groups *groups, struct request *request) {
    struct batch_group *group = request->group;
    request->group = NULL;
    if (--group->live > 0) return;
    assert(group->waiting == 0);
    names_remove(&groups->names, &group->name);
    groups->live_count--;
    free(group);
}

/* --- who waits ------------------------------------------------------------------------------------------ */

static struct batch_group *group_of(struct queue_groups *groups, const struct request *request) {
    return request->solo ? &groups->alone : request->group;
}

static void place_by_age(struct queue_groups *groups, struct batch_group *group) {
    uint64_t oldest_ns = CLOCK_NEVER;
    for (int i = 0; i < PRIORITY_COUNT; i++) {
        const struct ranked_node *node = ranked_first(&group->lines[i]);
        if (node != NULL && of_group(node)->queued_ns < oldest_ns)
            oldest_ns = of_group(node)->queued_ns;
    }
    bool stays = group->waiting > 0 && group->age_index != HEAP_NOWHERE;
    if (stays && oldest_ns == group->oldest_ns) return;
    if (group->age_index != HEAP_NOWHERE) heap_remove(&groups->by_age, group->age_index);
    group->oldest_ns = oldest_ns;
    if (group->waiting > 0) heap_insert(&groups->by_age, group);
}

static void place_by_haste(struct queue_groups *groups, struct batch_group *group) {
    const struct ranked_node *node = ranked_first(&group->haste);
    uint64_t deadline_ns = node != NULL ? node->key : CLOCK_NEVER;
    if (deadline_ns == group->deadline_ns) return;
    if (group->haste_index != HEAP_NOWHERE) heap_remove(&groups->by_haste, group->haste_index);
    group->deadline_ns = deadline_ns;
    if (deadline_ns != CLOCK_NEVER) heap_insert(&groups->by_haste, group);
}

static void place_group(struct queue_groups *groups, struct batch_group *group) {
    if (group == &groups->alone) return;
    bool full = group->waiting >= groups->batch_max, listed = group->full_node.next != NULL;
    if (full && !listed) list_push_back(&groups->full, &group->full_node);
    if (!full && listed) list_remove(&group->full_node);
    place_by_age(groups, group);
    place_by_haste(groups, group);
}

void queue_groups_enter(struct queue_groups *groups, struct request *request) {
    struct batch_group *group = group_of(groups, request);
    ranked_insert(&group->lines[request->effective], &request->in_group, request->arrival);
    if (request->deadline_ns != CLOCK_NEVER)
        ranked_insert(&group->haste, &request->in_haste, request->deadline_ns);
    group->waiting++;
    place_group(groups, group);
}

void queue_groups_leave(struct queue_groups *groups, struct request *request) {
    struct batch_group *group = group_of(groups, request);
    ranked_remove(&group->lines[request->effective], &request->in_group);
    if (ranked_is_member(&request->in_haste)) ranked_remove(&group->haste, &request->in_haste);
    group->waiting--;
    place_group(groups, group);
}

/* --- who is ripe ------------------------------------------------------------------------------------------ */

/* When a deadline gets less than spare_ns away. */
static uint64_t hurried_ns(uint64_t deadline_ns, uint64_t spare_ns) {
    if (deadline_ns == CLOCK_NEVER) return CLOCK_NEVER;
    return deadline_ns >= spare_ns ? deadline_ns - spare_ns + 1 : 0;
}

bool queue_groups_is_ripe(const struct queue_groups *groups, const struct request *request,
                          const struct ripeness *ripeness, uint64_t now_ns) {
    const struct batch_group *group = request->group;
    return request->solo || group->waiting >= groups->batch_max ||
           clock_add(group->oldest_ns, ripeness->delay_ns) <= now_ns ||
           hurried_ns(group->deadline_ns, ripeness->spare_ns) <= now_ns;
}

static struct request *best_of(const struct batch_group *group) {
    for (int i = 0; i < PRIORITY_COUNT; i++) {
        const struct ranked_node *node = ranked_first(&group->lines[i]);
        if (node != NULL) return of_group(node);
    }
    return NULL;
}

static struct request *better_of(struct request *request, struct request *other) {
    if (request == NULL || other == NULL) return request != NULL ? request : other;
    if (request->effective != other->effective)
        return request->effective < other->effective ? request : other;
    return request->arrival < other->arrival ? request : other;
}

struct request *queue_groups_ripe(const struct queue_groups *groups,
                                  const struct ripeness *ripeness, uint64_t now_ns,
                                  uint64_t *ripe_ns) {
    const struct batch_group *oldest = heap_first(&groups->by_age);
    const struct batch_group *hastiest = heap_first(&groups->by_haste);
    struct request *best = best_of(&groups->alone);
    if (!list_empty(&groups->full))
        best =
            better_of(best, best_of(LIST_ENTRY(groups->full.next, struct batch_group, full_node)));
    uint64_t aged_ns =
        oldest != NULL ? clock_add(oldest->oldest_ns, ripeness->delay_ns) : CLOCK_NEVER;
    uint64_t hasty_ns =
        hastiest != NULL ? hurried_ns(hastiest->deadline_ns, ripeness->spare_ns) : CLOCK_NEVER;
    if (oldest != NULL && aged_ns <= now_ns) best = better_of(best, best_of(oldest));
    if (hastiest != NULL && hasty_ns <= now_ns) best = better_of(best, best_of(hastiest));
    *ripe_ns = aged_ns < hasty_ns ? aged_ns : hasty_ns;
    if (best != NULL) *ripe_ns = now_ns;
    return best;
}

/* --- together --------------------------------------------------------------------------------------------- */

size_t queue_groups_batch(struct request *leader, struct request **out, size_t most) {
    size_t count = 0;
    out[count++] = leader;
    if (leader->solo) return count;
    for (int i = 0; i < PRIORITY_COUNT; i++) {
        const struct ranked_node *node = ranked_first(&leader->group->lines[i]);
        for (; node != NULL && count < most; node = ranked_next(node))
            if (of_group(node) != leader) out[count++] = of_group(node);
    }
    return count;
}

uint32_t queue_groups_mates(const struct request *request) {
    return request->solo ? 1 : request->group->waiting;
}
