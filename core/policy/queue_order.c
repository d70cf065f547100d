#include "core/policy/queue_order.h"

#include "core/base/clock.h"

#include <assert.h>

#define RUN_MOST_NS (UINT64_C(86400) * CLOCK_S) /* more than this is no run */

/* Rounds are compared by their distance, so that they may wrap. */
static bool is_earlier(uint64_t round, uint64_t other) {
    return (int64_t)(round - other) < 0;
}

static uint64_t later_of(uint64_t round, uint64_t other) {
    return is_earlier(round, other) ? other : round;
}

static bool goes_before(const void *a, const void *b) {
    const struct tenant_seat *seat = a, *other = b;
    if (seat->turn_ns != other->turn_ns) return is_earlier(seat->turn_ns, other->turn_ns);
    return seat->seated < other->seated;
}

static void seat_placed(void *element, size_t index) {
    ((struct tenant_seat *)element)->index = index;
}

static struct request *of_line(const struct ranked_node *node) {
    return LIST_ENTRY(node, struct request, in_line);
}

static struct request *of_age(const struct ranked_node *node) {
    return LIST_ENTRY(node, struct request, in_age);
}

/* --- open and close ----------------------------------------------------------------------------------- */

enum outcome queue_order_init(struct queue_order *order, size_t room, uint64_t seed) {
    *order = (struct queue_order){.due_ns = CLOCK_NEVER};
    tenant_init(&order->everybody);
    enum outcome outcome = tenants_init(&order->tenants, room, seed);
    for (int i = 0; i < PRIORITY_COUNT; i++) {
        heap_init(&order->turns[i], goes_before, seat_placed);
        if (outcome == OK) outcome = heap_reserve(&order->turns[i], 1);
    }
    if (outcome != OK) queue_order_free(order);
    return outcome;
}

void queue_order_free(struct queue_order *order) {
    for (int i = 0; i < PRIORITY_COUNT; i++) heap_free(&order->turns[i]);
    tenants_free(&order->tenants);
}

void queue_order_tune(struct queue_order *order, uint64_t aging_ns, bool fair) {
    order->aging_ns = aging_ns;
    order->fair = fair;
    order->due_ns = CLOCK_NEVER;
}

/* Each heap has a place for every live tenant, by doubling. */
static enum outcome make_room_for(struct queue_order *order, const char *tenant) {
    size_t live = order->tenants.live_count;
    if (live < order->turns[PRIORITY_COUNT - 1].capacity) return OK;
    const struct tenant *known = tenants_find(&order->tenants, tenant);
    if (known != NULL && known->live > 0) return OK;
    for (int i = 0; i < PRIORITY_COUNT; i++) {
        enum outcome outcome = heap_reserve(&order->turns[i], 2 * live + 1);
        if (outcome != OK) return outcome;
    }
    return OK;
}

enum outcome queue_order_admit(struct queue_order *order, struct request *request) {
    request->account = NULL;
    enum outcome outcome = make_room_for(order, request->tenant);
    if (outcome != OK) return outcome;
    return tenants_enter(&order->tenants, request->tenant, &request->account);
}

void queue_order_dismiss(struct queue_order *order, struct request *request) {
    tenants_leave(&order->tenants, request->account);
    request->account = NULL;
}

/* --- lines ---------------------------------------------------------------------------------------------- */

static struct tenant_seat *seat_of(struct queue_order *order, const struct request *request) {
    struct tenant *tenant = order->fair ? request->account : &order->everybody;
    return &tenant->seats[request->effective];
}

static const struct ranked *line_of(const struct queue_order *order,
                                    const struct request *request) {
    const struct tenant *tenant = order->fair ? request->account : &order->everybody;
    return &tenant->seats[request->effective].line;
}

static struct heap *turns_of(struct queue_order *order, const struct tenant_seat *seat) {
    return &order->turns[seat->class];
}

static void sit_down(struct queue_order *order, struct tenant_seat *seat) {
    seat->seated = ++order->seatings;
    heap_insert(turns_of(order, seat), seat);
    order->weights[seat->class] += seat->tenant->weight;
}

static void stand_up(struct queue_order *order, struct tenant_seat *seat) {
    heap_remove(turns_of(order, seat), seat->index);
    order->weights[seat->class] -= seat->tenant->weight;
}

void queue_order_weigh(struct queue_order *order, const struct tenant_weight *weights,
                       size_t count) {
    tenants_weigh(&order->tenants, weights, count);
    for (int i = 0; i < PRIORITY_COUNT; i++) {
        order->weights[i] = 0;
        for (size_t j = 0; j < order->turns[i].count; j++)
            order->weights[i] +=
                ((const struct tenant_seat *)order->turns[i].elements[j])->tenant->weight;
    }
}

static struct ranked *age_of(struct queue_order *order, const struct request *request) {
    return &order->ages[request->priority][request->effective];
}

/* When it has earned its next promotion. */
static uint64_t next_step_ns(const struct queue_order *order, const struct request *request) {
    uint64_t wait_ns, steps = (uint64_t)(request->priority - request->effective) + 1;
    if (order->aging_ns == 0 || request->effective == PRIORITY_CRITICAL) return CLOCK_NEVER;
    if (__builtin_mul_overflow(order->aging_ns, steps, &wait_ns)) return CLOCK_NEVER;
    return clock_add(request->queued_ns, wait_ns);
}

void queue_order_enter(struct queue_order *order, struct request *request) {
    struct tenant_seat *seat = seat_of(order, request);
    ranked_insert(&seat->line, &request->in_line, request->arrival);
    ranked_insert(age_of(order, request), &request->in_age, request->arrival);
    uint64_t due_ns = next_step_ns(order, request);
    if (due_ns < order->due_ns) order->due_ns = due_ns;
    if (seat->index != HEAP_NOWHERE) return;
    /* Debts have outlived the empty line, credit has not. */
    seat->turn_ns = later_of(seat->turn_ns, order->rounds_ns[seat->class]);
    sit_down(order, seat);
}

void queue_order_leave(struct queue_order *order, struct request *request) {
    struct tenant_seat *seat = seat_of(order, request);
    ranked_remove(&seat->line, &request->in_line);
    ranked_remove(age_of(order, request), &request->in_age);
    if (ranked_count(&seat->line) == 0) stand_up(order, seat);
}

struct request *queue_order_first(const struct queue_order *order, enum priority effective,
                                  bool newest_first) {
    const struct tenant_seat *seat = heap_first(&order->turns[effective]);
    assert(seat != NULL);
    return of_line(newest_first ? ranked_last(&seat->line) : ranked_first(&seat->line));
}

/* --- ageing --------------------------------------------------------------------------------------------- */

enum priority queue_order_class(const struct queue_order *order, const struct request *request,
                                uint64_t now_ns) {
    uint64_t own = request->priority;
    if (order->aging_ns == 0 || now_ns <= request->queued_ns) return request->priority;
    uint64_t steps = (now_ns - request->queued_ns) / order->aging_ns;
    return steps < own ? (enum priority)(own - steps) : PRIORITY_CRITICAL;
}

struct request *queue_order_due(struct queue_order *order, uint64_t now_ns) {
    if (now_ns < order->due_ns || order->due_ns == CLOCK_NEVER) return NULL;
    order->due_ns = CLOCK_NEVER;
    for (int own = 1; own < PRIORITY_COUNT; own++)
        for (int effective = 1; effective <= own; effective++) {
            const struct ranked_node *node = ranked_first(&order->ages[own][effective]);
            if (node == NULL) continue;
            uint64_t due_ns = next_step_ns(order, of_age(node));
            if (due_ns < order->due_ns) order->due_ns = due_ns;
            if (due_ns <= now_ns) return of_age(node); /* and asked again, for the others */
        }
    return NULL;
}

struct request *queue_order_oldest(const struct queue_order *order) {
    struct request *oldest = NULL;
    for (int own = 0; own < PRIORITY_COUNT; own++)
        for (int effective = 0; effective <= own; effective++) {
            const struct ranked_node *node = ranked_first(&order->ages[own][effective]);
            if (node != NULL && (oldest == NULL || node->key < oldest->arrival))
                oldest = of_age(node);
        }
    return oldest;
}

/* --- turns ---------------------------------------------------------------------------------------------- */

/* So many rounds pay for this time. */
static uint64_t rounds_for(const struct tenant_seat *seat, uint64_t time_ns) {
    uint32_t weight = seat->tenant->weight;
    return weight == 1 ? time_ns : (time_ns + weight - 1) / weight;
}

/* Gives the seat another turn, in its heap or out of it. */
static void change_turn(struct queue_order *order, struct tenant_seat *seat, uint64_t turn_ns) {
    if (turn_ns == seat->turn_ns) return;
    seat->turn_ns = turn_ns;
    if (seat->index == HEAP_NOWHERE) return;
    seat->seated = ++order->seatings;
    heap_changed(turns_of(order, seat), seat->index);
}

/* Credit by correction ends at the estimate of what is out at slots and one more: all that a tenant can
 * have been charged for without getting it. */
static void pay_back(struct queue_order *order, const struct request *request, uint64_t back_ns) {
    struct tenant_seat *seat = seat_of(order, request);
    uint64_t estimate_ns = tenants_estimate(&order->tenants, request->account);
    uint64_t credit_ns = estimate_ns * ((uint64_t)request->account->out + 1);
    change_turn(order, seat,
                later_of(seat->turn_ns - rounds_for(seat, back_ns),
                         order->rounds_ns[seat->class] - rounds_for(seat, credit_ns)));
}

void queue_order_debit(struct queue_order *order, struct request *request) {
    struct tenant_seat *seat = seat_of(order, request);
    const struct tenant_seat *first = heap_first(turns_of(order, seat));
    uint64_t *round_ns = &order->rounds_ns[seat->class];
    *round_ns = later_of(*round_ns, first->turn_ns);
    request->debit_ns = tenants_estimate(&order->tenants, request->account);
    change_turn(order, seat, seat->turn_ns + rounds_for(seat, request->debit_ns));
}

void queue_order_refund(struct queue_order *order, struct request *request) {
    pay_back(order, request, request->debit_ns);
    request->debit_ns = 0;
}

void queue_order_settle(struct queue_order *order, struct request *request, uint64_t run_ns,
                        uint64_t now_ns) {
    if (run_ns > RUN_MOST_NS) run_ns = RUN_MOST_NS;
    if (run_ns > 0) tenants_ran(&order->tenants, request->account, run_ns, now_ns);
    struct tenant_seat *seat = seat_of(order, request);
    if (run_ns < request->debit_ns)
        pay_back(order, request, request->debit_ns - run_ns);
    else
        change_turn(order, seat, seat->turn_ns + rounds_for(seat, run_ns - request->debit_ns));
    request->debit_ns = 0;
}

/* --- looking -------------------------------------------------------------------------------------------- */

static uint64_t waiting_in(const struct queue_order *order, enum priority effective) {
    uint64_t waiting = 0;
    for (int own = (int)effective; own < PRIORITY_COUNT; own++)
        waiting += ranked_count(&order->ages[own][effective]);
    return waiting;
}

/* How many of other tenants go before the one behind `own` of its tenant's: each of the others gets a turn
 * before each of these and before itself, by its weight; never more than there are. */
static uint64_t by_turns(const struct queue_order *order, const struct tenant *account,
                         uint64_t own, enum priority effective) {
    bool sits = account != NULL && account->seats[effective].index != HEAP_NOWHERE;
    uint64_t weight = account != NULL ? account->weight : 1;
    uint64_t others = order->weights[effective] - (sits ? weight : 0);
    uint64_t turns = (others * (own + 1) + weight - 1) / weight;
    uint64_t line = sits ? ranked_count(&account->seats[effective].line) : 0;
    uint64_t waiting = waiting_in(order, effective) - line;
    return turns < waiting ? turns : waiting;
}

uint64_t queue_order_ahead(const struct queue_order *order, const char *tenant,
                           enum priority effective) {
    if (tenant == NULL || !order->fair) return waiting_in(order, effective);
    const struct tenant *account = tenants_find(&order->tenants, tenant);
    uint64_t own = account != NULL ? ranked_count(&account->seats[effective].line) : 0;
    return own + by_turns(order, account, own, effective);
}

uint64_t queue_order_place(const struct queue_order *order, const struct request *request,
                           bool newest_first) {
    uint64_t rank = ranked_rank(&request->in_line);
    return newest_first ? ranked_count(line_of(order, request)) - rank : rank + 1;
}

uint64_t queue_order_before(const struct queue_order *order, const struct request *request,
                            bool newest_first) {
    uint64_t own = queue_order_place(order, request, newest_first) - 1;
    if (!order->fair) return own;
    return own + by_turns(order, request->account, own, request->effective);
}
