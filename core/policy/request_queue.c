#include "core/policy/request_queue.h"

#include "core/base/clock.h"

#include <assert.h>
#include <stdlib.h>

/* --- open and close ----------------------------------------------------------------------------------- */

static enum outcome open_order(struct request_queue *queue) {
    const struct queue_options *options = &queue->options;
    struct queue_order *order = calloc(1, sizeof *order);
    if (order == NULL) return MEMORY_EXHAUSTED;
    if (queue_order_init(order, options->room, options->seed) != OK) {
        free(order);
        return MEMORY_EXHAUSTED;
    }
    queue_order_weigh(order, options->weights, options->weights_count);
    queue_order_tune(order, options->aging_ns, options->fair);
    queue->order = order;
    return OK;
}

static enum outcome open_groups(struct request_queue *queue) {
    const struct queue_options *options = &queue->options;
    if (options->batch_max <= 1) return OK;
    struct queue_groups *groups = calloc(1, sizeof *groups);
    if (groups == NULL) return MEMORY_EXHAUSTED;
    if (queue_groups_init(groups, options->batch_max, options->room, options->seed) != OK) {
        free(groups);
        return MEMORY_EXHAUSTED;
    }
    queue->groups = groups;
    return OK;
}

enum outcome request_queue_init(struct request_queue *queue, const struct queue_options *options) {
    *queue = (struct request_queue){.options = *options, .buckets = 64};
    enum outcome outcome = deadlines_init(&queue->deadlines, options->room);
    while (queue->buckets < options->room) queue->buckets *= 2;
    queue->by_id = calloc(queue->buckets, sizeof(struct request *));
    if (queue->by_id != NULL && outcome == OK && open_order(queue) == OK &&
        open_groups(queue) == OK)
        return OK;
    request_queue_free(queue);
    return MEMORY_EXHAUSTED;
}

void request_queue_free(struct request_queue *queue) {
    assert(queue->live == 0);
    if (queue->groups != NULL) queue_groups_free(queue->groups);
    if (queue->order != NULL) queue_order_free(queue->order);
    free(queue->groups);
    free(queue->order);
    deadlines_free(&queue->deadlines);
    free(queue->by_id);
    queue->groups = NULL;
    queue->order = NULL;
    queue->by_id = NULL;
}

/* --- lines -------------------------------------------------------------------------------------------- */

static void stand(struct request_queue *queue, struct request *request, enum priority effective) {
    request->effective = effective;
    queue->by_effective[effective]++;
    queue_order_enter(queue->order, request);
    if (queue->groups != NULL) queue_groups_enter(queue->groups, request);
}

static void step_out(struct request_queue *queue, struct request *request) {
    queue->by_effective[request->effective]--;
    queue_order_leave(queue->order, request);
    if (queue->groups != NULL) queue_groups_leave(queue->groups, request);
}

static void wait_in_line(struct request_queue *queue, struct request *request, uint64_t now_ns) {
    request->state = REQUEST_QUEUED;
    request->account->waiting++;
    queue->waiting++;
    queue->by_priority[request->priority]++;
    stand(queue, request, queue_order_class(queue->order, request, now_ns));
}

static void leave_line(struct request_queue *queue, struct request *request) {
    assert(request->state == REQUEST_QUEUED);
    request->account->waiting--;
    queue->waiting--;
    queue->by_priority[request->priority]--;
    step_out(queue, request);
}

static void promote(struct request_queue *queue, uint64_t now_ns) {
    struct request *request;
    while ((request = queue_order_due(queue->order, now_ns)) != NULL) {
        step_out(queue, request);
        stand(queue, request, queue_order_class(queue->order, request, now_ns));
    }
}

typedef void waiting_fn(struct request_queue *queue, struct request *request);

static void each_waiting(struct request_queue *queue, waiting_fn *act) {
    for (size_t i = 0; i < queue->buckets; i++)
        for (struct request *request = queue->by_id[i]; request != NULL;
             request = request->next_by_id)
            if (request->state == REQUEST_QUEUED) act(queue, request);
}

/* In its own class; promoted by its age when somebody asks for the first. */
static void stand_anew(struct request_queue *queue, struct request *request) {
    stand(queue, request, request->priority);
}

void request_queue_tune(struct request_queue *queue, const struct queue_options *options) {
    struct queue_options *now = &queue->options;
    queue_order_weigh(queue->order, options->weights, options->weights_count);
    now->weights = options->weights;
    now->weights_count = options->weights_count;
    if (options->aging_ns == now->aging_ns && options->fair == now->fair) return;
    now->aging_ns = options->aging_ns;
    now->fair = options->fair;
    each_waiting(queue, step_out);
    queue_order_tune(queue->order, now->aging_ns, now->fair);
    each_waiting(queue, stand_anew);
}

/* --- live --------------------------------------------------------------------------------------------- */

static struct request **id_bucket(const struct request_queue *queue, uint64_t id) {
    return &queue->by_id[id & (queue->buckets - 1)];
}

static enum outcome admit(struct request_queue *queue, struct request *request, uint64_t now_ns) {
    request->group = NULL;
    if (queue->groups != NULL && queue_groups_admit(queue->groups, request) != OK)
        return MEMORY_EXHAUSTED;
    if (queue_order_admit(queue->order, request) != OK) {
        if (queue->groups != NULL) queue_groups_dismiss(queue->groups, request);
        return MEMORY_EXHAUSTED;
    }
    request->arrival = ++queue->arrivals;
    request->queued_ns = now_ns;
    request->debit_ns = 0;
    request->next_by_id = *id_bucket(queue, request->id);
    *id_bucket(queue, request->id) = request;
    queue->live++;
    queue->tenants_live = queue->order->tenants.live_count;
    if (request->deadline_ns != CLOCK_NEVER) deadlines_add(&queue->deadlines, request);
    return OK;
}

static void dismiss(struct request_queue *queue, struct request *request) {
    deadlines_remove(&queue->deadlines, request);
    struct request **link = id_bucket(queue, request->id);
    while (*link != request) link = &(*link)->next_by_id;
    *link = request->next_by_id;
    request->next_by_id = NULL;
    if (queue->groups != NULL) queue_groups_dismiss(queue->groups, request);
    queue_order_dismiss(queue->order, request);
    queue->live--;
    queue->tenants_live = queue->order->tenants.live_count;
}

enum outcome request_queue_add(struct request_queue *queue, struct request *request,
                               uint64_t now_ns) {
    enum outcome outcome = admit(queue, request, now_ns);
    if (outcome == OK) wait_in_line(queue, request, now_ns);
    return outcome;
}

enum outcome request_queue_follow(struct request_queue *queue, struct request *follower,
                                  uint64_t now_ns) {
    enum outcome outcome = admit(queue, follower, now_ns);
    if (outcome == OK) follower->state = REQUEST_FOLLOWING;
    return outcome;
}

/* The heir stands where the leader stood if it came later; no two ever have the same rank. */
static void hand_over_rank(struct request *leader, struct request *heir) {
    assert(heir->state == REQUEST_FOLLOWING && heir->account == leader->account);
    leader->state = REQUEST_FOLLOWING;
    if (heir->arrival < leader->arrival) return;
    uint64_t arrival = heir->arrival;
    heir->arrival = leader->arrival;
    heir->queued_ns = leader->queued_ns;
    leader->arrival = arrival;
}

void request_queue_inherit_line(struct request_queue *queue, struct request *leader,
                                struct request *heir, uint64_t now_ns) {
    leave_line(queue, leader);
    hand_over_rank(leader, heir);
    wait_in_line(queue, heir, now_ns);
}

void request_queue_inherit_slot(struct request_queue *queue, struct request *leader,
                                struct request *heir) {
    (void)queue;
    assert(leader->state == REQUEST_RUNNING);
    hand_over_rank(leader, heir);
    heir->state = REQUEST_RUNNING;
    heir->effective = leader->effective;
    heir->debit_ns = leader->debit_ns;
    leader->debit_ns = 0;
}

void request_queue_raise(struct request_queue *queue, struct request *request,
                         enum priority priority, uint64_t now_ns) {
    if (priority >= request->priority) return;
    bool waits = request->state == REQUEST_QUEUED;
    if (waits) leave_line(queue, request);
    request->priority = priority;
    if (waits) wait_in_line(queue, request, now_ns);
}

/* --- to a slot and back ------------------------------------------------------------------------------- */

static enum priority best_class(const struct request_queue *queue) {
    int class = 0;
    while (queue->by_effective[class] == 0) class ++;
    return (enum priority) class;
}

struct request *request_queue_first(struct request_queue *queue, uint64_t now_ns) {
    if (queue->waiting == 0) return NULL;
    promote(queue, now_ns);
    return queue_order_first(queue->order, best_class(queue), queue->newest_first);
}

struct request *request_queue_oldest(const struct request_queue *queue) {
    return queue->waiting > 0 ? queue_order_oldest(queue->order) : NULL;
}

void request_queue_take(struct request_queue *queue, struct request *request, uint64_t now_ns) {
    (void)now_ns;
    queue_order_debit(queue->order, request);
    leave_line(queue, request);
    request->state = REQUEST_RUNNING;
    request->account->out++;
}

void request_queue_return(struct request_queue *queue, struct request *request, uint64_t now_ns) {
    assert(request->state == REQUEST_RUNNING);
    request->account->out--;
    queue_order_refund(queue->order, request);
    wait_in_line(queue, request, now_ns);
}

void request_queue_retry(struct request_queue *queue, struct request *request, uint64_t ran_ns,
                         uint64_t now_ns) {
    assert(request->state == REQUEST_RUNNING);
    request->account->out--;
    queue_order_settle(queue->order, request, ran_ns, now_ns);
    wait_in_line(queue, request, now_ns);
}

void request_queue_finish(struct request_queue *queue, struct request *request, uint64_t run_ns,
                          uint64_t now_ns) {
    if (request->state == REQUEST_QUEUED) leave_line(queue, request);
    if (request->state == REQUEST_RUNNING) request->account->out--;
    queue_order_settle(queue->order, request, run_ns, now_ns);
    dismiss(queue, request);
    request->state = REQUEST_DONE;
}

/* --- batches ------------------------------------------------------------------------------------------ */

size_t request_queue_batch(struct request_queue *queue, struct request *leader,
                           struct request **out, size_t most) {
    assert(leader->state == REQUEST_QUEUED && most > 0);
    out[0] = leader;
    return queue->groups != NULL ? queue_groups_batch(leader, out, most) : 1;
}

struct request *request_queue_ripe(struct request_queue *queue, uint64_t delay_ns,
                                   uint64_t spare_ns, uint64_t now_ns, uint64_t *ripe_ns) {
    const struct ripeness ripeness = {.delay_ns = delay_ns, .spare_ns = spare_ns};
    struct request *first = request_queue_first(queue, now_ns);
    *ripe_ns = first != NULL ? now_ns : CLOCK_NEVER;
    if (first == NULL || queue->groups == NULL ||
        queue_groups_is_ripe(queue->groups, first, &ripeness, now_ns))
        return first;
    return queue_groups_ripe(queue->groups, &ripeness, now_ns, ripe_ns);
}

/* --- looking ------------------------------------------------------------------------------------------ */

struct request *request_queue_find(const struct request_queue *queue, uint64_t id) {
    struct request *request = *id_bucket(queue, id);
    while (request != NULL && request->id != id) request = request->next_by_id;
    return request;
}

struct request *request_queue_expired(const struct request_queue *queue, uint64_t now_ns) {
    struct request *request = deadlines_first(&queue->deadlines);
    return request != NULL && request->deadline_ns <= now_ns ? request : NULL;
}

uint64_t request_queue_next_deadline(const struct request_queue *queue) {
    const struct request *request = deadlines_first(&queue->deadlines);
    return request != NULL ? request->deadline_ns : CLOCK_NEVER;
}

uint64_t request_queue_place(const struct request_queue *queue, const struct request *request) {
    if (request->state != REQUEST_QUEUED) return 0;
    return queue_order_place(queue->order, request, queue->newest_first);
}

uint64_t request_queue_before(const struct request_queue *queue, const struct request *request) {
    assert(request->state == REQUEST_QUEUED);
    uint64_t before = queue_order_before(queue->order, request, queue->newest_first);
    for (int i = 0; i < (int)request->effective; i++) before += queue->by_effective[i];
    return before;
}

uint64_t request_queue_ahead(const struct request_queue *queue, const char *tenant,
                             enum priority priority) {
    uint64_t ahead = queue_order_ahead(queue->order, tenant, priority);
    for (int i = 0; i < (int)priority; i++) ahead += queue->by_effective[i];
    return ahead;
}

size_t request_queue_tenants(const struct request_queue *queue, struct tenant_facts *out,
                             size_t most, uint64_t now_ns) {
    return tenants_list(&queue->order->tenants, out, most, now_ns);
}
