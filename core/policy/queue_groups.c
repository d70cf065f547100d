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

static struct request *better_of(struct request *request, struct request *other);

static bool is_better(const void *a, const void *b) {
    struct request *best = ((const struct batch_group *)a)->best;
    return better_of(best, ((const struct batch_group *)b)->best) == best;
}

static void age_placed(void *element, size_t index) {
    ((struct batch_group *)element)->age_index = index;
}

static void haste_placed(void *element, size_t index) {
    ((struct batch_group *)element)->haste_index = index;
}

static void merit_placed(void *element, size_t index) {
    ((struct batch_group *)element)->merit_index = index;
}

static struct request *of_group(const struct ranked_node *node) {
    return LIST_ENTRY(node, struct request, in_group);
}

/* --- records ---------------------------------------------------------------------------------------------- */

static void group_init(struct batch_group *group) {
    *group = (struct batch_group){.oldest_ns = CLOCK_NEVER,
                                  .deadline_ns = CLOCK_NEVER,
                                  .age_index = HEAP_NOWHERE,
                                  .haste_index = HEAP_NOWHERE,
                                  .merit_index = HEAP_NOWHERE};
}

enum outcome queue_groups_init(struct queue_groups *groups, uint32_t batch_max, size_t room,
                               uint64_t seed) {
    *groups = (struct queue_groups){.batch_max = batch_max};
    heap_init(&groups->by_age, is_older, age_placed);
    heap_init(&groups->by_haste, is_hastier, haste_placed);
    heap_init(&groups->by_merit, is_better, merit_placed);
    group_init(&groups->alone);
    return names_init(&groups->names, room, seed);
}

void queue_groups_free(struct queue_groups *groups) {
    assert(groups->live_count == 0);
    heap_free(&groups->by_age);
    heap_free(&groups->by_haste);
    heap_free(&groups->by_merit);
    names_free(&groups->names);
}

static enum outcome make_room_for_group(struct queue_groups *groups) {
    size_t needed = (size_t)groups->live_count + 1;
    struct heap *const heaps[] = {&groups->by_age, &groups->by_haste, &groups->by_merit};
    for (size_t i = 0; i < sizeof heaps / sizeof heaps[0]; i++)
        if (needed > heaps[i]->capacity && heap_reserve(heaps[i], 2 * needed) != OK)
            return MEMORY_EXHAUSTED;
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

static uint64_t oldest_of(const struct batch_group *group) {
    uint64_t oldest_ns = CLOCK_NEVER;
    for (int i = 0; i < PRIORITY_COUNT; i++) {
        const struct ranked_node *node = ranked_first(&group->lines[i]);
        if (node != NULL && of_group(node)->queued_ns < oldest_ns)
            oldest_ns = of_group(node)->queued_ns;
    }
    return oldest_ns;
}

static void take_out(struct heap *heap, size_t index) {
    if (index != HEAP_NOWHERE) heap_remove(heap, index);
}

/* By time, to see when it gets ripe. */
static void expect(struct queue_groups *groups, struct batch_group *group) {
    take_out(&groups->by_merit, group->merit_index);
    heap_insert(&groups->by_age, group);
    if (group->deadline_ns != CLOCK_NEVER) heap_insert(&groups->by_haste, group);
}

/* By its best request, among those that are ripe. */
static void ripen(struct queue_groups *groups, struct batch_group *group) {
    take_out(&groups->by_age, group->age_index);
    take_out(&groups->by_haste, group->haste_index);
    heap_insert(&groups->by_merit, group);
}

static void place_group(struct queue_groups *groups, struct batch_group *group) {
    if (group == &groups->alone) return;
    const struct ranked_node *hastiest = ranked_first(&group->haste);
    uint64_t deadline_ns = hastiest != NULL ? hastiest->key : CLOCK_NEVER;
    uint64_t oldest_ns = oldest_of(group);
    struct request *best = best_of(group);
    bool full = group->waiting >= groups->batch_max;
    bool placed = full ? group->merit_index != HEAP_NOWHERE : group->age_index != HEAP_NOWHERE;
    bool same = best == group->best && oldest_ns == group->oldest_ns;
    if (placed && same && deadline_ns == group->deadline_ns) return;
    take_out(&groups->by_merit, group->merit_index);
    take_out(&groups->by_age, group->age_index);
    take_out(&groups->by_haste, group->haste_index);
    group->oldest_ns = oldest_ns;
    group->deadline_ns = deadline_ns;
    group->best = best;
    if (best == NULL) return;
    if (full)
        ripen(groups, group);
    else
        expect(groups, group);
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

static bool is_ripe(const struct queue_groups *groups, const struct batch_group *group,
                    const struct ripeness *ripeness, uint64_t now_ns) {
    return group->waiting >= groups->batch_max ||
           clock_add(group->oldest_ns, ripeness->delay_ns) <= now_ns ||
           hurried_ns(group->deadline_ns, ripeness->spare_ns) <= now_ns;
}

bool queue_groups_is_ripe(const struct queue_groups *groups, const struct request *request,
                          const struct ripeness *ripeness, uint64_t now_ns) {
    return request->solo || is_ripe(groups, request->group, ripeness, now_ns);
}

/* Whoever has become ripe stands by merit; whoever was, by other measures, by time again. */
static void sort_ripe(struct queue_groups *groups, const struct ripeness *ripeness,
                      uint64_t now_ns) {
    struct batch_group *group;
    while ((group = heap_first(&groups->by_age)) != NULL &&
           is_ripe(groups, group, ripeness, now_ns))
        ripen(groups, group);
    while ((group = heap_first(&groups->by_haste)) != NULL &&
           is_ripe(groups, group, ripeness, now_ns))
        ripen(groups, group);
    while ((group = heap_first(&groups->by_merit)) != NULL &&
           !is_ripe(groups, group, ripeness, now_ns))
        expect(groups, group);
}

struct request *queue_groups_ripe(struct queue_groups *groups, const struct ripeness *ripeness,
                                  uint64_t now_ns, uint64_t *ripe_ns) {
    sort_ripe(groups, ripeness, now_ns);
    const struct batch_group *ripest = heap_first(&groups->by_merit);
    struct request *best = better_of(best_of(&groups->alone), ripest != NULL ? ripest->best : NULL);
    const struct batch_group *oldest = heap_first(&groups->by_age);
    const struct batch_group *hastiest = heap_first(&groups->by_haste);
    uint64_t aged_ns =
        oldest != NULL ? clock_add(oldest->oldest_ns, ripeness->delay_ns) : CLOCK_NEVER;
    uint64_t hasty_ns =
        hastiest != NULL ? hurried_ns(hastiest->deadline_ns, ripeness->spare_ns) : CLOCK_NEVER;
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
