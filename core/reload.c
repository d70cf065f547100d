#include "core/reload.h"

#include "core/care.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- what is to be done ------------------------------------------------------------------------------- */

static const struct named_pool *find_named(const struct named_pool *named, size_t count,
                                           const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(named[i].options->name, name) == 0) return &named[i];
    return NULL;
}

static enum outcome build(struct reload_item *item, uint64_t seed, uint64_t now_ns) {
    struct pool *pool = malloc(sizeof *pool);
    if (pool == NULL) return MEMORY_EXHAUSTED;
    enum outcome outcome = pool_init(pool, item->pool.options, seed, now_ns);
    if (outcome == OK)
        item->fresh = pool;
    else
        free(pool);
    return outcome;
}

static void count(struct reload *reload, const struct reload_item *item) {
    if (item->pool.place == RELOAD_NO_PLACE)
        reload->added++;
    else if (item->change == POOL_REPLACED)
        reload->replaced++;
    else if (item->change == POOL_TUNED)
        reload->tuned++;
    else
        reload->same++;
}

/* One that is the same keeps the options that it has: the new ones need not live. */
static void compare(struct reload_item *item, const struct named_pool *old,
                    const struct pool_options *wanted) {
    *item =
        (struct reload_item){.pool = {.options = wanted, .built = wanted}, .change = POOL_REPLACED};
    item->pool.place = old != NULL ? old->place : RELOAD_NO_PLACE;
    if (old == NULL) return;
    item->change = pool_change_of(old->built, old->options, wanted);
    if (item->change != POOL_REPLACED) item->pool.built = old->built;
    if (item->change == POOL_SAME) item->pool.options = old->options;
}

enum outcome reload_make(struct reload **out, const struct named_pool *named, size_t named_count,
                         const struct pool_options *wanted, size_t wanted_count, uint64_t seed,
                         uint64_t now_ns) {
    *out = NULL;
    struct reload *reload = calloc(1, sizeof *reload + wanted_count * sizeof reload->items[0]);
    if (reload == NULL) return MEMORY_EXHAUSTED;
    for (; reload->items_count < wanted_count; reload->items_count++) {
        struct reload_item *item = &reload->items[reload->items_count];
        const struct pool_options *options = &wanted[reload->items_count];
        compare(item, find_named(named, named_count, options->name), options);
        if (item->change == POOL_REPLACED && build(item, seed, now_ns) != OK) {
            reload_free(reload);
            return MEMORY_EXHAUSTED;
        }
        count(reload, item);
    }
    reload->removed = named_count - (wanted_count - reload->added);
    *out = reload;
    return OK;
}

void reload_free(struct reload *reload) {
    if (reload == NULL) return;
    for (size_t i = 0; i < reload->items_count; i++) {
        if (reload->items[i].fresh == NULL) continue;
        pool_free(reload->items[i].fresh);
        free(reload->items[i].fresh);
    }
    free(reload);
}

bool reload_is_empty(const struct reload *reload, const struct named_pool *named) {
    if (reload->same != reload->items_count || reload->removed > 0) return false;
    for (size_t i = 0; i < reload->items_count; i++)
        if (reload->items[i].pool.place != named[i].place) return false;
    return true;
}

/* --- places -------------------------------------------------------------------------------------------- */

static uint32_t free_place(const struct orchestrator *orchestrator) {
    for (uint32_t i = 0; i < orchestrator->places; i++)
        if (orchestrator->pools[i] == NULL) return i;
    return RELOAD_NO_PLACE;
}

enum outcome reload_take_places(struct reload *reload, struct orchestrator *orchestrator) {
    for (size_t i = 0; i < reload->items_count; i++) {
        struct pool *fresh = reload->items[i].fresh;
        if (fresh == NULL) continue;
        uint32_t place = free_place(orchestrator);
        if (place == RELOAD_NO_PLACE) {
            reload_leave_places(reload, orchestrator);
            return QUEUE_FULL;
        }
        fresh->place = place;
        orchestrator->pools[place] = fresh;
    }
    return OK;
}

void reload_leave_places(struct reload *reload, struct orchestrator *orchestrator) {
    for (size_t i = 0; i < reload->items_count; i++) {
        const struct pool *fresh = reload->items[i].fresh;
        if (fresh != NULL && orchestrator->pools[fresh->place] == fresh)
            orchestrator->pools[fresh->place] = NULL;
    }
}

/* --- doing it -------------------------------------------------------------------------------------------- */

static void tune(struct pool *pool, const struct pool_options *options, uint64_t now_ns) {
    const struct pool_options *before = pool->options;
    pool->options = options;
    /* Other limits of an administrator stay until the configuration's own change. */
    if (before->slots_min != options->slots_min || before->slots_max != options->slots_max) {
        pool->slots_min = options->slots_min;
        pool->slots_max = options->slots_max;
    }
    pool->scale_ns = 0;
    admission_tune(&pool->admission, options->queue.capacity, options->queue.reserve,
                   options->queue.bytes);
    request_queue_tune(&pool->queue,
                       &(struct queue_options){.aging_ns = options->queue.aging_ns,
                                               .fair = options->queue.fair,
                                               .weights = options->queue.weights,
                                               .weights_count = options->queue.weights_count});
    pool->dedup.window_ns = options->queue.dedup_ns;
    pool->breaker.options = options->breaker;
    if (options->queue.overload != OVERLOAD_CODEL) {
        codel_init(&pool->codel);
        pool->queue.newest_first = false;
    }
    for (uint32_t i = 0; i < pool->slots_count; i++) care_tune(pool, &pool->slots[i], now_ns);
}

static void tell(struct pool *pool, const char *to, uint64_t now_ns) {
    pool_tell(pool, &(struct pool_news){.kind = HAPPENING_POOL, .to = to, .why = "reload"}, now_ns);
}

/* heir NULL: the name goes with it. What waits in a pool that is paused would wait for ever. */
static void leave(struct pool *pool, struct pool *heir, uint64_t now_ns) {
    pool->leaving = true;
    pool->left_ns = now_ns;
    if (heir != NULL) heir->wish = pool->wish;
    if (heir != NULL) heir->once_ready = pool->once_ready || pool->reached_min;
    if (pool->wish == WISH_PAUSE) pool->wish = WISH_RUN;
    pool->scale_ns = 0;
    tell(pool, heir != NULL ? "replaced" : "removed", now_ns);
}

static void come(struct orchestrator *orchestrator, struct reload_item *item, uint64_t now_ns) {
    struct pool *pool = item->fresh;
    orchestrator_adopt(orchestrator, pool);
    pool->once_ready = true;
    if (item->pool.place != RELOAD_NO_PLACE)
        leave(orchestrator->pools[item->pool.place], pool, now_ns);
    else
        tell(pool, "added", now_ns);
    item->pool.place = pool->place;
    item->fresh = NULL; /* it is the orchestrator's now */
}

static bool is_kept(const struct reload *reload, const struct pool *pool) {
    for (size_t i = 0; i < reload->items_count; i++)
        if (reload->items[i].pool.place == pool->place) return true;
    return false;
}

static void remove_others(const struct reload *reload, struct orchestrator *orchestrator,
                          uint64_t now_ns) {
    for (size_t i = 0; i < orchestrator->listed_count; i++) {
        struct pool *pool = orchestrator->listed[i];
        if (!pool->leaving && !is_kept(reload, pool)) leave(pool, NULL, now_ns);
    }
}

void reload_apply(struct reload *reload, struct orchestrator *orchestrator, uint64_t now_ns) {
    for (size_t i = 0; i < reload->items_count; i++) {
        struct reload_item *item = &reload->items[i];
        if (item->fresh != NULL)
            come(orchestrator, item, now_ns);
        else if (item->change == POOL_TUNED)
            tune(orchestrator->pools[item->pool.place], item->pool.options, now_ns);
    }
    remove_others(reload, orchestrator, now_ns);
    orchestrator->listed_count = reload->items_count;
    for (size_t i = 0; i < reload->items_count; i++)
        orchestrator->listed[i] = orchestrator->pools[reload->items[i].pool.place];
}
