#include "core/execution.h"

#include "core/base/clock.h"

#include <assert.h>

enum outcome execution_join(struct pool *pool, struct request *leader, struct request *follower,
                            uint64_t now_ns) {
    enum outcome outcome = request_queue_follow(&pool->queue, follower, now_ns);
    if (outcome != OK) return outcome;
    follower->leader = leader;
    list_push_back(&leader->followers, &follower->follower_node);
    request_queue_raise(&pool->queue, leader, follower->priority, now_ns);
    return OK;
}

bool execution_has_heir(const struct request *request) {
    return request->state != REQUEST_FOLLOWING && !list_empty(&request->followers);
}

uint64_t execution_deadline(const struct request *leader) {
    uint64_t latest_ns = leader->deadline_ns;
    for (struct list_node *at = leader->followers.next; at != &leader->followers; at = at->next) {
        const struct request *follower = LIST_ENTRY(at, struct request, follower_node);
        if (follower->deadline_ns > latest_ns) latest_ns = follower->deadline_ns;
    }
    return latest_ns;
}

static struct request *first_follower(struct request *leader) {
    return LIST_ENTRY(leader->followers.next, struct request, follower_node);
}

static void unfollow(struct request *follower) {
    list_remove(&follower->follower_node);
    follower->leader = NULL;
}

/* What the run has been through so far is the heir's from now on. Returns the highest class of all who wait
 * for it. */
static enum priority hand_on(struct request *leader, struct request *heir) {
    enum priority highest = heir->priority;
    heir->attempts = leader->attempts;
    heir->marks = leader->marks;
    heir->solo = leader->solo;
    heir->slot = leader->slot;
    heir->began_ns = leader->began_ns;
    heir->run_deadline_ns = leader->run_deadline_ns;
    heir->breaker_era = leader->breaker_era;
    heir->evidence = leader->evidence;
    leader->breaker_era = 0;
    leader->evidence = NULL;
    while (!list_empty(&leader->followers)) {
        struct request *follower = first_follower(leader);
        unfollow(follower);
        follower->leader = heir;
        list_push_back(&heir->followers, &follower->follower_node);
        if (follower->priority < highest) highest = follower->priority;
    }
    return highest;
}

static void succeed(struct pool *pool, struct request *leader, uint64_t now_ns) {
    struct request *heir = first_follower(leader);
    unfollow(heir);
    enum priority highest = hand_on(leader, heir);
    dedup_succeed(&pool->dedup, leader, heir);
    if (leader->state == REQUEST_QUEUED) {
        request_queue_inherit_line(&pool->queue, leader, heir, now_ns);
        request_queue_raise(&pool->queue, heir, highest, now_ns);
        return;
    }
    struct slot *slot = &pool->slots[leader->slot];
    struct assignment *assignment = slot_find_request(slot, leader);
    assert(assignment != NULL);
    slot_hand_on(slot, assignment, heir);
    request_queue_inherit_slot(&pool->queue, leader, heir);
    request_queue_raise(&pool->queue, heir, highest, now_ns);
}

void execution_leave(struct pool *pool, struct request *request, enum outcome outcome,
                     enum source source, uint64_t now_ns) {
    if (request->state == REQUEST_FOLLOWING)
        unfollow(request);
    else if (execution_has_heir(request))
        succeed(pool, request, now_ns);
    else
        dedup_forget(&pool->dedup, request);
    pool_answer(pool, request, outcome, source, now_ns);
}

static void answer_follower(struct pool *pool, const struct request *leader,
                            struct request *follower, enum outcome outcome, enum source source,
                            uint64_t now_ns) {
    follower->attempts = leader->attempts;
    follower->slot = leader->slot;
    follower->retry_after_ns = leader->retry_after_ns;
    follower->began_ns =
        leader->began_ns > follower->arrived_ns ? leader->began_ns : follower->arrived_ns;
    if (leader->began_ns == 0) follower->began_ns = 0;
    if (leader->detail != NULL) request_explain(follower, "%s", leader->detail);
    if (outcome == OK) outcome = reply_copy(&follower->reply, &leader->reply);
    pool_answer(pool, follower, outcome, source, now_ns);
}

void execution_end(struct pool *pool, struct request *leader, enum outcome outcome,
                   enum source source, uint64_t now_ns) {
    dedup_forget(&pool->dedup, leader);
    while (!list_empty(&leader->followers)) {
        struct request *follower = first_follower(leader);
        unfollow(follower);
        answer_follower(pool, leader, follower, outcome, source, now_ns);
    }
    pool_answer(pool, leader, outcome, source, now_ns);
}
