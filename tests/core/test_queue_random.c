/* request_queue against a model that scans: classes, turns, ranks, counts, groups; and what it costs. */
#include "tests/core/queue_stage.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <time.h>

#define LIVE      120
#define STEPS     250000
#define AGING_NS  1000
#define BATCH_MAX 4
#define NOBODY    (-1)

static const char *const tenant_names[] = {"", "acme", "globex", "initech", "umbrella"};
static const char *const keys[] = {"", "a", "b", "c", "d", "e", "f"};
#define NAMES 5
#define KEYS  7

/* What the model knows of a request; the rest it reads from the request's public fields. */
struct known {
    int tenant, key, class;
    uint64_t rank, since_ns, debit_ns, deadline_ns;
    enum priority own;
    enum request_state state;
    bool solo;
};

/* A tenant in a class. */
struct seat {
    uint64_t turn_ns, seated;
};

static struct known known[LIVE];
static struct seat seats[NAMES][PRIORITY_COUNT];
static uint64_t mean_ns[NAMES], pool_mean_ns, rounds_ns[PRIORITY_COUNT], ranks, seatings;
static int out_count[NAMES];
static bool fair;

static int line_of(int i) {
    return fair ? known[i].tenant : 0;
}

static int standing(int line, int class) {
    int count = 0;
    for (int i = 0; i < LIVE; i++)
        count += known[i].state == REQUEST_QUEUED && line_of(i) == line && known[i].class == class;
    return count;
}

static int class_of(int i) {
    uint64_t steps = (now_ns - known[i].since_ns) / AGING_NS;
    return steps >= known[i].own ? 0 : (int)(known[i].own - steps);
}

static void model_enter(int i, int class) {
    int line = line_of(i);
    bool empty = standing(line, class) == 0;
    known[i].state = REQUEST_QUEUED;
    known[i].class = class;
    if (!empty) return;
    struct seat *seat = &seats[line][class];
    if (seat->turn_ns < rounds_ns[class]) seat->turn_ns = rounds_ns[class];
    seat->seated = ++seatings;
}

static void model_turn(int i, uint64_t turn_ns) {
    struct seat *seat = &seats[line_of(i)][known[i].class];
    if (seat->turn_ns == turn_ns) return;
    seat->turn_ns = turn_ns;
    seat->seated = ++seatings;
}

static uint64_t model_estimate(int tenant) {
    uint64_t estimate_ns = mean_ns[tenant] > 0 ? mean_ns[tenant] : pool_mean_ns;
    return estimate_ns > 1000 ? estimate_ns : 1000;
}

static void model_back(int i, uint64_t back_ns) {
    int tenant = known[i].tenant;
    uint64_t credit_ns = model_estimate(tenant) * (uint64_t)(out_count[tenant] + 1);
    uint64_t turn_ns = seats[line_of(i)][known[i].class].turn_ns - back_ns;
    uint64_t least_ns = rounds_ns[known[i].class] - credit_ns;
    model_turn(i, turn_ns > least_ns ? turn_ns : least_ns);
}

/* One after the other: the lowest own class, then effective class, then rank. */
static void model_promote(void) {
    for (;;) {
        int next = NOBODY;
        for (int i = 0; i < LIVE; i++) {
            if (known[i].state != REQUEST_QUEUED || class_of(i) == known[i].class) continue;
            if (next == NOBODY || known[i].own < known[next].own ||
                (known[i].own == known[next].own &&
                 (known[i].class < known[next].class ||
                  (known[i].class == known[next].class && known[i].rank < known[next].rank))))
                next = i;
        }
        if (next == NOBODY) return;
        known[next].state = REQUEST_NEW;
        model_enter(next, class_of(next));
    }
}

static bool sits_before(const struct seat *a, const struct seat *b) {
    return a->turn_ns != b->turn_ns ? a->turn_ns < b->turn_ns : a->seated < b->seated;
}

static int model_class(void) {
    int best = PRIORITY_COUNT;
    for (int i = 0; i < LIVE; i++)
        if (known[i].state == REQUEST_QUEUED && known[i].class < best) best = known[i].class;
    return best;
}

static int model_line(int class) {
    int best = NOBODY;
    for (int line = 0; line < NAMES; line++)
        if (standing(line, class) > 0 &&
            (best == NOBODY || sits_before(&seats[line][class], &seats[best][class])))
            best = line;
    return best;
}

static int model_first(void) {
    model_promote();
    int class = model_class(), first = NOBODY;
    int line = class < PRIORITY_COUNT ? model_line(class) : NOBODY;
    for (int i = 0; line != NOBODY && i < LIVE; i++) {
        if (known[i].state != REQUEST_QUEUED || line_of(i) != line || known[i].class != class)
            continue;
        bool older = first == NOBODY || known[i].rank < known[first].rank;
        if (first == NOBODY || older != queue.newest_first) first = i;
    }
    return first;
}

/* --- the same to both ----------------------------------------------------------------------------------- */

static void step_add(struct chance *chance, int i, uint64_t id, bool follows, int leader) {
    struct known *one = &known[i];
    struct request *request = &requests[i];
    one->tenant = leader != NOBODY ? known[leader].tenant : (int)chance_below(chance, NAMES);
    one->key = (int)chance_below(chance, KEYS);
    one->own = (enum priority)chance_below(chance, PRIORITY_COUNT);
    one->deadline_ns =
        chance_percent(chance, 40) ? CLOCK_NEVER : now_ns + chance_below(chance, 8000);
    one->since_ns = now_ns;
    one->rank = ++ranks;
    one->debit_ns = 0;
    one->solo = false;
    prepare(request, id, tenant_names[one->tenant], one->own);
    request->batch_key = keys[one->key];
    request->deadline_ns = one->deadline_ns;
    if (follows) {
        require(request_queue_follow(&queue, request, now_ns) == OK);
        one->state = REQUEST_FOLLOWING;
    } else {
        require(request_queue_add(&queue, request, now_ns) == OK);
        one->state = REQUEST_NEW;
        model_enter(i, (int)one->own);
    }
}

static void step_take(int i) {
    struct known *one = &known[i];
    request_queue_take(&queue, &requests[i], now_ns);
    uint64_t turn_ns = seats[model_line(one->class)][one->class].turn_ns;
    if (turn_ns > rounds_ns[one->class]) rounds_ns[one->class] = turn_ns;
    one->debit_ns = model_estimate(one->tenant);
    model_turn(i, seats[line_of(i)][one->class].turn_ns + one->debit_ns);
    one->state = REQUEST_RUNNING;
    out_count[one->tenant]++;
}

static void step_return(struct chance *chance, int i) {
    if (chance_percent(chance, 10)) requests[i].solo = known[i].solo = true;
    request_queue_return(&queue, &requests[i], now_ns);
    out_count[known[i].tenant]--;
    model_back(i, known[i].debit_ns);
    known[i].debit_ns = 0;
    model_enter(i, class_of(i));
}

static void learn(uint64_t *mean, uint64_t run_ns, uint64_t weight) {
    *mean = *mean == 0 ? run_ns : *mean - *mean / weight + run_ns / weight;
}

static void step_finish(struct chance *chance, int i) {
    struct known *one = &known[i];
    uint64_t run_ns = one->state == REQUEST_RUNNING && chance_percent(chance, 80)
                          ? 1 + chance_below(chance, 4000 * (uint32_t)(1 + one->tenant))
                          : 0;
    request_queue_finish(&queue, &requests[i], run_ns, now_ns);
    if (one->state == REQUEST_RUNNING) out_count[one->tenant]--;
    if (run_ns > 0) {
        learn(&mean_ns[one->tenant], run_ns, 8);
        learn(&pool_mean_ns, run_ns, 16);
    }
    if (run_ns < one->debit_ns)
        model_back(i, one->debit_ns - run_ns);
    else if (run_ns > 0)
        model_turn(i, seats[line_of(i)][one->class].turn_ns + (run_ns - one->debit_ns));
    one->state = REQUEST_DONE;
}

/* A new follower takes over from a leader, who is finished. */
static void step_inherit(struct chance *chance, int leader, int heir, uint64_t id) {
    step_add(chance, heir, id, true, leader);
    struct known *old = &known[leader], *young = &known[heir];
    requests[heir].solo = young->solo = old->solo;
    young->since_ns = old->since_ns;
    uint64_t rank = young->rank;
    young->rank = old->rank;
    old->rank = rank;
    if (old->state == REQUEST_QUEUED) {
        request_queue_inherit_line(&queue, &requests[leader], &requests[heir], now_ns);
        old->state = REQUEST_FOLLOWING;
        model_enter(heir, class_of(heir));
    } else {
        request_queue_inherit_slot(&queue, &requests[leader], &requests[heir]);
        old->state = REQUEST_FOLLOWING;
        young->state = REQUEST_RUNNING;
        young->class = old->class;
        young->debit_ns = old->debit_ns;
        old->debit_ns = 0;
    }
    step_finish(chance, leader);
}

static void step_raise(struct chance *chance, int i) {
    enum priority priority = (enum priority)chance_below(chance, PRIORITY_COUNT);
    request_queue_raise(&queue, &requests[i], priority, now_ns);
    if (priority >= known[i].own) return;
    known[i].own = priority;
    if (known[i].state != REQUEST_QUEUED) return;
    known[i].state = REQUEST_NEW;
    model_enter(i, class_of(i));
}

static bool is_over(int i) {
    return known[i].state == REQUEST_NEW || known[i].state == REQUEST_DONE;
}

static void step(struct chance *chance, uint64_t id) {
    int i = (int)chance_below(chance, LIVE), other = (int)chance_below(chance, LIVE);
    uint32_t what = chance_below(chance, 100);
    if (is_over(i)) {
        step_add(chance, i, id, what < 10, NOBODY);
    } else if (known[i].state == REQUEST_QUEUED) {
        int first = model_first();
        struct request *said = request_queue_first(&queue, now_ns);
        require(said == &requests[first]);
        if (what < 50)
            step_take(first);
        else if (what < 60)
            step_take(i); /* as a mate in a batch */
        else if (what < 70)
            step_finish(chance, i);
        else if (what < 80)
            step_raise(chance, i);
        else if (what < 90 && is_over(other))
            step_inherit(chance, i, other, id);
    } else if (known[i].state == REQUEST_RUNNING) {
        if (what < 25)
            step_return(chance, i);
        else if (what < 35 && is_over(other))
            step_inherit(chance, i, other, id);
        else if (what < 40)
            step_raise(chance, i);
        else
            step_finish(chance, i);
    } else {
        step_finish(chance, i);
    }
    if (chance_percent(chance, 30)) now_ns += chance_below(chance, 200);
    if (chance_percent(chance, 1)) now_ns += chance_below(chance, 5000);
    if (chance_percent(chance, 1)) queue.newest_first = !queue.newest_first;
}

/* --- both say the same ------------------------------------------------------------------------------------- */

static void require_same_counts(void) {
    uint32_t by_priority[PRIORITY_COUNT] = {0}, by_effective[PRIORITY_COUNT] = {0};
    uint32_t live = 0, waiting = 0, live_tenants = 0, of_tenant[NAMES] = {0};
    uint64_t deadline_ns = CLOCK_NEVER;
    int oldest = NOBODY;
    for (int i = 0; i < LIVE; i++) {
        if (is_over(i)) continue;
        live++;
        live_tenants += of_tenant[known[i].tenant]++ == 0;
        if (known[i].deadline_ns < deadline_ns) deadline_ns = known[i].deadline_ns;
        if (known[i].state != REQUEST_QUEUED) continue;
        waiting++;
        by_priority[known[i].own]++;
        by_effective[known[i].class]++;
        if (oldest == NOBODY || known[i].rank < known[oldest].rank) oldest = i;
    }
    require(queue.live == live && queue.waiting == waiting);
    require(queue.tenants_live == live_tenants);
    require(memcmp(by_priority, queue.by_priority, sizeof by_priority) == 0);
    require(memcmp(by_effective, queue.by_effective, sizeof by_effective) == 0);
    require(request_queue_next_deadline(&queue) == deadline_ns);
    require(request_queue_oldest(&queue) == (oldest == NOBODY ? NULL : &requests[oldest]));
}

static void require_same_facts(void) {
    struct tenant_facts facts[NAMES];
    size_t count = request_queue_tenants(&queue, facts, NAMES, now_ns);
    require(count == queue.tenants_live);
    for (size_t i = 0; i < count; i++) {
        uint32_t waiting = 0, out = 0;
        for (int j = 0; j < LIVE; j++) {
            if (is_over(j) || strcmp(facts[i].name, tenant_names[known[j].tenant]) != 0) continue;
            waiting += known[j].state == REQUEST_QUEUED;
            out += known[j].state == REQUEST_RUNNING;
        }
        require(facts[i].waiting == waiting && facts[i].out == out);
    }
}

static void require_same_place(int i) {
    uint64_t place = known[i].state == REQUEST_QUEUED;
    for (int j = 0; place > 0 && j < LIVE; j++) {
        bool sooner =
            queue.newest_first ? known[j].rank > known[i].rank : known[j].rank < known[i].rank;
        place += known[j].state == REQUEST_QUEUED && line_of(j) == line_of(i) &&
                 known[j].class == known[i].class && sooner;
    }
    if (!is_over(i)) require(request_queue_place(&queue, &requests[i]) == place);
}

/* --- groups -------------------------------------------------------------------------------------------------- */

static bool are_mates(int i, int j) {
    return known[j].state == REQUEST_QUEUED && known[i].key == known[j].key && !known[j].solo;
}

static bool goes_sooner(int i, int j) {
    return known[i].class != known[j].class ? known[i].class < known[j].class
                                            : known[i].rank < known[j].rank;
}

static void require_same_batch(int i) {
    struct request *out[LIVE];
    size_t most = 1 + (size_t)(i % 10), mates = 1;
    for (int j = 0; j < LIVE && !known[i].solo; j++) mates += j != i && are_mates(i, j);
    size_t count = request_queue_batch(&queue, &requests[i], out, most);
    require(count == (mates < most ? mates : most) && out[0] == &requests[i]);
    for (size_t at = 1; at < count; at++) {
        size_t before = 0;
        int mate = (int)(out[at] - requests);
        require(mate != i && are_mates(i, mate));
        for (int j = 0; j < LIVE; j++) before += j != i && are_mates(i, j) && goes_sooner(j, mate);
        require(before == at - 1);
    }
}

/* When the key's group gets ripe: 0 if it is full, CLOCK_NEVER if nobody waits. */
static uint64_t ripe_moment(int key, uint64_t delay_ns, uint64_t spare_ns, int *best) {
    uint64_t moment_ns = CLOCK_NEVER;
    int waiting = 0;
    *best = NOBODY;
    for (int i = 0; i < LIVE; i++) {
        if (known[i].key != key || known[i].state != REQUEST_QUEUED || known[i].solo) continue;
        waiting++;
        if (*best == NOBODY || goes_sooner(i, *best)) *best = i;
        if (known[i].since_ns + delay_ns < moment_ns) moment_ns = known[i].since_ns + delay_ns;
        uint64_t deadline_ns = known[i].deadline_ns;
        if (deadline_ns == CLOCK_NEVER) continue;
        uint64_t hurry_ns = deadline_ns < spare_ns ? 0 : deadline_ns - spare_ns + 1;
        if (hurry_ns < moment_ns) moment_ns = hurry_ns;
    }
    return waiting >= BATCH_MAX ? 0 : moment_ns;
}

static void require_same_ripe(uint64_t delay_ns, uint64_t spare_ns) {
    uint64_t ripe_ns, next_ns = CLOCK_NEVER;
    int first = model_first(), best, ripest = NOBODY;
    struct request *said = request_queue_ripe(&queue, delay_ns, spare_ns, now_ns, &ripe_ns);
    for (int key = 0; key < KEYS; key++) {
        uint64_t moment_ns = ripe_moment(key, delay_ns, spare_ns, &best);
        if (moment_ns < next_ns) next_ns = moment_ns;
        if (moment_ns > now_ns || best == NOBODY) continue;
        bool firsts = first != NOBODY && !known[first].solo && known[first].key == key;
        if (firsts) require(said == &requests[first]);
        if (ripest == NOBODY || goes_sooner(best, ripest)) ripest = best;
    }
    for (int i = 0; i < LIVE; i++) {
        if (known[i].state != REQUEST_QUEUED || !known[i].solo) continue;
        if (ripest == NOBODY || goes_sooner(i, ripest)) ripest = i;
        next_ns = 0;
    }
    if (first != NOBODY && known[first].solo) require(said == &requests[first]);
    require((said != NULL) == (next_ns <= now_ns));
    require(said == NULL || said == &requests[first] || said == &requests[ripest]);
    require(said != NULL || ripe_ns == next_ns);
}

static void forget_all(bool is_fair) {
    memset(known, 0, sizeof known);
    memset(seats, 0, sizeof seats);
    memset(mean_ns, 0, sizeof mean_ns);
    memset(rounds_ns, 0, sizeof rounds_ns);
    memset(out_count, 0, sizeof out_count);
    pool_mean_ns = ranks = seatings = 0;
    fair = is_fair;
    open_queue_with(&(struct queue_options){
        .room = LIVE, .aging_ns = AGING_NS, .fair = is_fair, .batch_max = BATCH_MAX, .seed = 99});
    /* As numbers, no turn may be below zero in the model: all rounds begin high. */
    for (int i = 0; i < PRIORITY_COUNT; i++)
        rounds_ns[i] = queue.order->rounds_ns[i] = UINT64_C(1) << 40;
}

static void run_at_random(bool is_fair) {
    struct chance chance = chance_open();
    forget_all(is_fair);
    for (uint64_t i = 1; i <= STEPS; i++) {
        step(&chance, i);
        int first = model_first();
        require(request_queue_first(&queue, now_ns) == (first == NOBODY ? NULL : &requests[first]));
        int any = (int)chance_below(&chance, LIVE);
        require_same_place(any);
        if (i % 5 == 0) require_same_counts();
        if (i % 50 == 0) require_same_facts();
        if (i % 5 == 0 && known[any].state == REQUEST_QUEUED) require_same_batch(any);
        if (i % 5 == 1) require_same_ripe(chance_below(&chance, 1000), chance_below(&chance, 1000));
    }
    close_queue();
}

START_TEST(random_operations_agree_with_a_scan_when_tenants_take_turns) {
    run_at_random(true);
}
END_TEST

START_TEST(random_operations_agree_with_a_scan_when_only_arrival_counts) {
    run_at_random(false);
}
END_TEST

/* --- what it costs ------------------------------------------------------------------------------------------ */

static char cost_names[1000][32];

/* Of this thread alone, since others may be busy. */
static uint64_t cpu_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * CLOCK_S + (uint64_t)now.tv_nsec;
}

/* Prints the nanoseconds of an add, a first, a take and a finish while so many wait. */
static void print_cost(uint32_t waiting, uint32_t tenants, bool deadlines) {
    const uint32_t rounds = 200000;
    struct request *pool = calloc(waiting + 1, sizeof *pool);
    ck_assert_ptr_nonnull(pool);
    open_queue_with(&(struct queue_options){
        .room = waiting + 1, .aging_ns = 3600 * CLOCK_S, .fair = true, .batch_max = 1, .seed = 1});
    uint64_t id = 0, began_ns = 0;
    struct request *spare = &pool[waiting];
    for (uint32_t i = 0; i < waiting + rounds; i++) {
        struct request *request = i < waiting ? &pool[i] : spare;
        if (i == waiting) began_ns = cpu_now_ns();
        prepare(request, ++id, cost_names[i % tenants], (enum priority)(i % PRIORITY_COUNT));
        now_ns += 100;
        if (deadlines) request->deadline_ns = now_ns + CLOCK_S;
        require(request_queue_add(&queue, request, now_ns) == OK);
        if (i < waiting) continue;
        spare = request_queue_first(&queue, now_ns);
        request_queue_take(&queue, spare, now_ns);
        request_queue_finish(&queue, spare, CLOCK_MS, now_ns);
    }
    printf("%6u waiting, %4u tenants, %s: %4llu ns\n", waiting, tenants,
           deadlines ? "deadlines" : "no deadline",
           (unsigned long long)((cpu_now_ns() - began_ns) / rounds));
    close_queue();
    free(pool);
}

START_TEST(what_a_request_costs_is_printed) {
    static const uint32_t waiting[] = {10, 1000, 100000}, tenants[] = {1, 10, 1000};
    for (int i = 0; i < 1000; i++) snprintf(cost_names[i], sizeof cost_names[i], "tenant-%d", i);
    for (int deadlines = 0; deadlines < 2; deadlines++)
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) print_cost(waiting[i], tenants[j], deadlines == 1);
}
END_TEST

SUITE("core/queue_random", 120, random_operations_agree_with_a_scan_when_tenants_take_turns,
      random_operations_agree_with_a_scan_when_only_arrival_counts, what_a_request_costs_is_printed)
