/* random_reloads - pools that are tuned, replaced, removed and added while everything else happens.
 * thread: the test's own. owns: the options of a round. fails: a broken promise of reload.h ends the test. */
#ifndef TESTS_CORE_RANDOM_RELOADS_H
#define TESTS_CORE_RANDOM_RELOADS_H

#include "core/reload.h"
#include "tests/core/stage.h"

#include <stdlib.h>

#define RELOAD_NAMES 4
#define RELOAD_HOLDS 4
static const char *const reload_names[RELOAD_NAMES] = {"one", "two", "three", "four"};

/* What a configuration was made of; kept as long as a pool may use it. */
struct wanted {
    struct wanted *older;
    struct pool_options pools[RELOAD_NAMES];
};

static struct {
    struct wanted *wanted;
    struct named_pool named[RELOAD_NAMES];
    size_t named_count;
    uint32_t held[RELOAD_HOLDS]; /* places; by somebody who found one by its name */
    size_t held_count;
    uint64_t tuned, replaced, removed, added, left; /* in all rounds */
} reloads;

/* After stage_open: the first pools have their names. */
static inline void reloads_open(uint32_t pools) {
    reloads.wanted = calloc(1, sizeof *reloads.wanted);
    require(reloads.wanted != NULL);
    reloads.held_count = 0;
    reloads.named_count = pools;
    for (uint32_t i = 0; i < pools; i++) {
        reloads.wanted->pools[i] = stage.options[i];
        const struct pool_options *first = &reloads.wanted->pools[i];
        stage_pool(i)->options = first;
        reloads.named[i] = (struct named_pool){first, first, i};
    }
    stage.pools_count = STAGE_PLACES;
}

static inline void reloads_close(void) {
    while (reloads.wanted != NULL) {
        struct wanted *older = reloads.wanted->older;
        free(reloads.wanted);
        reloads.wanted = older;
    }
}

/* --- who may be asked for something -------------------------------------------------------------------- */

/* By its name, or of one that has lost it and is held. */
static inline uint32_t some_place(struct chance *dice) {
    if (reloads.held_count > 0 && chance_percent(dice, 20))
        return reloads.held[chance_below(dice, (uint32_t)reloads.held_count)];
    return reloads.named[chance_below(dice, (uint32_t)reloads.named_count)].place;
}

static inline void hold_or_let_go(struct chance *dice) {
    if (reloads.held_count < RELOAD_HOLDS && chance_percent(dice, 50)) {
        uint32_t place = reloads.named[chance_below(dice, (uint32_t)reloads.named_count)].place;
        atomic_fetch_add(&stage.orchestrator.holds[place], 1);
        reloads.held[reloads.held_count++] = place;
    } else if (reloads.held_count > 0) {
        atomic_fetch_sub(&stage.orchestrator.holds[reloads.held[--reloads.held_count]], 1);
    }
}

/* --- a reload ---------------------------------------------------------------------------------------------- */

static inline const struct named_pool *named_as(const char *name) {
    for (size_t i = 0; i < reloads.named_count; i++)
        if (strcmp(reloads.named[i].options->name, name) == 0) return &reloads.named[i];
    return NULL;
}

typedef struct pool_options make_options_fn(const char *name);
/* Other numbers, mostly such that the pool can take them up as it is. */
typedef void change_options_fn(struct pool_options *options);

static inline size_t draw_wanted(struct chance *dice, struct pool_options *out,
                                 make_options_fn *make, change_options_fn *change) {
    size_t count = 0;
    for (size_t i = 0; i < RELOAD_NAMES; i++) {
        const struct named_pool *old = named_as(reload_names[i]);
        uint32_t roll = chance_below(dice, 100);
        if (old == NULL ? roll < 60 : roll < 10) continue;
        out[count] = old == NULL || roll < 25 ? make(reload_names[i]) : *old->options;
        if (old != NULL && roll > 60) change(&out[count]);
        count++;
    }
    if (count == 0) out[count++] = *reloads.named[0].options;
    return count;
}

static inline bool take_places(struct reload *reload) {
    bool fits = reload_take_places(reload, &stage.orchestrator) == OK;
    for (size_t i = 0; fits && i < reload->items_count; i++)
        fits = reload->items[i].fresh == NULL || reload->items[i].fresh->place < STAGE_PLACES;
    if (!fits) reload_leave_places(reload, &stage.orchestrator);
    return fits;
}

typedef void cast_fn(uint32_t place);

static inline void apply(struct reload *reload, cast_fn *cast) {
    reloads.tuned += reload->tuned;
    reloads.replaced += reload->replaced;
    reloads.removed += reload->removed;
    reloads.added += reload->added;
    for (size_t i = 0; i < reload->items_count; i++) {
        const struct pool *fresh = reload->items[i].fresh;
        if (fresh == NULL) continue;
        require(stage.live[fresh->place] == 0 && stage.answered[fresh->place] == 0);
        stage.options[fresh->place] = *fresh->options;
        stage_cast(fresh->place);
        cast(fresh->place);
    }
    stage.tuned = true;
    reload_apply(reload, &stage.orchestrator, stage.now_ns);
    reloads.named_count = reload->items_count;
    for (size_t i = 0; i < reload->items_count; i++) {
        reloads.named[i] = reload->items[i].pool;
        require(stage.orchestrator.listed[i] == stage_pool(reloads.named[i].place));
        require(stage_pool(reloads.named[i].place)->options == reloads.named[i].options);
    }
    require(stage.orchestrator.listed_count == reload->items_count);
}

static inline void random_reload(struct chance *dice, make_options_fn *make,
                                 change_options_fn *change, cast_fn *cast) {
    struct wanted *wanted = calloc(1, sizeof *wanted);
    struct reload *reload;
    require(wanted != NULL);
    wanted->older = reloads.wanted;
    reloads.wanted = wanted;
    size_t count = draw_wanted(dice, wanted->pools, make, change);
    require(reload_make(&reload, reloads.named, reloads.named_count, wanted->pools, count,
                        chance_next(dice), stage.now_ns) == OK);
    if (take_places(reload)) apply(reload, cast);
    reload_free(reload);
}

/* --- who has left ---------------------------------------------------------------------------------------- */

typedef void farewell_fn(uint32_t place, const struct pool *pool);

static inline void let_go_of_all(farewell_fn *farewell) {
    struct pool *pool;
    size_t at = 0;
    while ((pool = orchestrator_gone(&stage.orchestrator, &at)) != NULL) {
        uint32_t place = pool->place;
        require(stage.live[place] == 0 && atomic_load(&stage.orchestrator.holds[place]) == 0);
        for (uint32_t i = 0; i < STAGE_SLOTS; i++) require(!stage.actors[place][i].running);
        farewell(place, pool);
        orchestrator_let_go(&stage.orchestrator, pool);
        stage.answered[place] = 0;
        reloads.left++;
    }
}

#endif
