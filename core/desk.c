#include "core/desk.h"

#include "core/base/clock.h"
#include "core/burial.h"
#include "core/work.h"

#include <stdio.h>
#include <string.h>

const char *look_state_name(enum look_state state) {
    static const char *const names[] = {
#define STATE_TEXT(name, text) [LOOK_##name] = (text),
        LOOK_STATES(STATE_TEXT)
#undef STATE_TEXT
    };
    return (size_t)state < sizeof names / sizeof names[0] ? names[state] : "?";
}

const char *look_block_name(enum look_block block) {
    static const char *const names[] = {
#define BLOCK_TEXT(name, text) [LOOK_BLOCKED_BY_##name] = (text),
        LOOK_BLOCKS(BLOCK_TEXT)
#undef BLOCK_TEXT
    };
    return (size_t)block < sizeof names / sizeof names[0] ? names[block] : "?";
}

/* --- where a live one is --------------------------------------------------------------------------------- */

static struct request *find_live(const struct orchestrator *orchestrator, uint64_t id,
                                 struct pool **out) {
    for (size_t i = 0; id != 0 && i < orchestrator->pools_count; i++) {
        *out = orchestrator->pools[i];
        struct request *found = *out != NULL ? request_queue_find(&(*out)->queue, id) : NULL;
        if (found != NULL) return found;
    }
    return NULL;
}

static struct assignment *at_slot(const struct pool *pool, const struct request *request) {
    return slot_find_request(&pool->slots[request->slot], request);
}

static enum look_state state_of(const struct pool *pool, const struct request *request) {
    if (request->state == REQUEST_RUNNING)
        return at_slot(pool, request)->staged ? LOOK_STAGED : LOOK_RUNNING;
    return pool_able(pool) == 0 && pool_coming(pool) > 0 ? LOOK_LOADING : LOOK_QUEUED;
}

static enum look_block block_of(const struct pool *pool, enum look_state state, uint64_t now_ns) {
    if (state == LOOK_RUNNING) return LOOK_BLOCKED_BY_NOTHING;
    if (state == LOOK_STAGED) return LOOK_BLOCKED_BY_SLOTS;
    if (pool->wish == WISH_PAUSE) return LOOK_BLOCKED_BY_PAUSE;
    if (breaker_room(&pool->breaker) == 0) return LOOK_BLOCKED_BY_BREAKER;
    if (state == LOOK_LOADING) return LOOK_BLOCKED_BY_LOADING;
    if (pool_able(pool) > 0)
        return pool->ripe_ns != CLOCK_NEVER ? LOOK_BLOCKED_BY_BATCH : LOOK_BLOCKED_BY_SLOTS;
    if (pool->no_room) return LOOK_BLOCKED_BY_MEMORY;
    return pool->backoff_until_ns > now_ns ? LOOK_BLOCKED_BY_BACKOFF : LOOK_BLOCKED_BY_LOADING;
}

/* Of one that is staged: what is left of a usual run at its slot. */
static uint64_t rest_of_run_ns(const struct pool *pool, const struct request *request,
                               uint64_t now_ns) {
    uint64_t ran_ns = now_ns - pool->slots[request->slot].last_used_ns;
    uint64_t mean_ns = pool->stats.mean_run_ns;
    return mean_ns > ran_ns ? mean_ns - ran_ns : 0;
}

static uint64_t wait_of(const struct pool *pool, const struct request *request,
                        const struct look *look, uint64_t now_ns) {
    if (look->state == LOOK_RUNNING) return 0;
    uint64_t mean_ns = pool->stats.mean_run_ns;
    uint32_t places = pool_pace(pool);
    bool flows =
        look->blocked_by == LOOK_BLOCKED_BY_SLOTS || look->blocked_by == LOOK_BLOCKED_BY_BATCH;
    if (mean_ns == 0 || places == 0 || !flows) return CLOCK_NEVER;
    if (look->state == LOOK_STAGED) return rest_of_run_ns(pool, request, now_ns);
    uint64_t before = request_queue_before(&pool->queue, request);
    return history_expected_wait(mean_ns, places, before + pool->staged, 1);
}

static void name_it(char name[QUESTION_NAME_BYTES], const char *text) {
    snprintf(name, QUESTION_NAME_BYTES, "%s", text);
}

static void show_live(struct look *look, const struct pool *pool, const struct request *request,
                      uint64_t now_ns) {
    const struct request *leader = request->leader != NULL ? request->leader : request;
    look->shared = request->leader != NULL;
    look->state = state_of(pool, leader);
    look->blocked_by = block_of(pool, look->state, now_ns);
    look->priority = request->priority;
    look->place = request_queue_place(&pool->queue, leader);
    look->expected_wait_ns = wait_of(pool, leader, look, now_ns);
    look->arrived_ns = request->arrived_ns;
    look->began_ns = look->state == LOOK_RUNNING ? leader->began_ns : 0;
    look->attempts = leader->attempts;
    snprintf(look->pool, sizeof look->pool, "%s", pool->options->name);
    name_it(look->request_id, request->request_id);
    name_it(look->tenant, request->tenant);
}

/* --- what became of one ------------------------------------------------------------------------------------ */

static void show_finished(struct look *look, const struct finished_request *record) {
    look->state = LOOK_DONE;
    look->priority = (enum priority)record->priority;
    look->outcome = (enum outcome)record->outcome;
    look->arrived_ns = record->arrived_ns;
    look->ended_ns = record->ended_ns;
    look->queue_ns = record->queue_ns;
    look->cold_ns = record->cold_ns;
    look->run_ns = record->run_ns;
    look->attempts = record->attempts;
    snprintf(look->pool, sizeof look->pool, "%s", record->pool);
    name_it(look->request_id, finished_request_id(record));
    name_it(look->tenant, finished_tenant(record));
}

static bool may_see(const struct look *look, const char *tenant) {
    return look->for_tenant == NULL || strcmp(look->for_tenant, tenant) == 0;
}

static void empty(struct look *look) {
    struct look fresh = {.question = look->question,
                         .id = look->id,
                         .name = look->name,
                         .for_tenant = look->for_tenant};
    *look = fresh;
}

static enum outcome look_among_finished(const struct orchestrator *orchestrator, struct look *look,
                                        uint64_t now_ns) {
    if (orchestrator->finished == NULL || (look->id == 0 && look->name == NULL))
        return NO_SUCH_REQUEST;
    const struct finished_request *record =
        finished_find(orchestrator->finished, look->id, look->name, now_ns);
    if (record == NULL || !may_see(look, finished_tenant(record))) return NO_SUCH_REQUEST;
    show_finished(look, record);
    return OK;
}

static enum outcome look_at(const struct orchestrator *orchestrator, struct look *look, bool stop,
                            uint64_t now_ns) {
    struct pool *pool;
    struct request *request = find_live(orchestrator, look->id, &pool);
    empty(look);
    if (request == NULL) return look_among_finished(orchestrator, look, now_ns);
    if (!may_see(look, request->tenant)) return NO_SUCH_REQUEST;
    show_live(look, pool, request, now_ns);
    if (!stop) return OK;
    work_cancel(pool, look->id, CANCEL_ASKED, now_ns);
    look->state = LOOK_DONE;
    look->outcome = CANCELLED;
    look->blocked_by = LOOK_BLOCKED_BY_NOTHING;
    look->place = look->expected_wait_ns = 0;
    look->ended_ns = now_ns;
    return OK;
}

/* --- the desk ------------------------------------------------------------------------------------------------ */

void desk_answer(struct orchestrator *orchestrator, struct question *question, uint64_t now_ns) {
    struct look *look = (struct look *)question;
    struct buried_order *order = (struct buried_order *)question;
    enum outcome outcome = OK;
    question->retry_after_ns = 0;
    switch (question->kind) {
    case QUESTION_LOOK: outcome = look_at(orchestrator, look, false, now_ns); break;
    case QUESTION_CANCEL: outcome = look_at(orchestrator, look, true, now_ns); break;
    case QUESTION_LIST_BURIED: burial_list(orchestrator, (struct buried_list *)question); break;
    case QUESTION_DELETE_BURIED: outcome = burial_delete(orchestrator, order, now_ns); break;
    case QUESTION_KICK_BURIED:
        outcome = burial_kick(orchestrator, order, &question->retry_after_ns, now_ns);
        break;
    }
    question->outcome = outcome;
    question->answered(question);
}
