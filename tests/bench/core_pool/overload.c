/* overload - requests that come when they come, not when the last was answered: at each factor of the
 * capacity, how many good answers a second come in time. Latencies run from the moment at which a request
 * was meant to be sent, so a generator that is late hides nothing. */
#include "core/base/clock.h"
#include "tests/bench/core_pool/call.h"
#include "tests/bench/core_pool/plan.h"
#include "tests/bench/core_pool/subject.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WARM_UP_S      1.0 /* of arrivals that are not counted: the queue finds its length */
#define CAPACITY_S     2.0
#define WITHIN_NS      (20 * CLOCK_S)
#define CLOSED_CALLERS 4 /* for each slot, while the capacity is measured */

struct arrival {
    struct call call; /* first: a call is its arrival */
    uint64_t meant_ns, answered_ns;
    enum outcome outcome;
};

struct stream {
    const struct plan *plan;
    struct subject *subject;
    struct mailbox mailbox;
    struct arrival *arrivals;
    uint32_t count, out;
    uint64_t began_ns;
};

struct finding {
    double factor, goodput, p50_ms, p99_ms, refused_p99_ms;
    uint32_t counted, good, late, shed, expired, other;
};

/* SplitMix64 (Steele, Lea and Flood 2014), as a number from 0 to 1 that is never 0. */
static double chance(uint64_t *state) {
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return ((double)((mixed ^ (mixed >> 31)) >> 11) + 1) * 0x1p-53;
}

static void finish(struct arrival *arrival, enum outcome outcome, uint64_t now_ns) {
    arrival->outcome = outcome;
    arrival->answered_ns = now_ns;
}

static void take_answers(struct stream *stream, uint64_t until_ns) {
    struct call *call = mailbox_take(&stream->mailbox, until_ns), *next;
    uint64_t now_ns = clock_now_ns();
    for (; call != NULL; call = next) {
        next = call->next;
        stream->out--;
        finish((struct arrival *)call, call_end(call), now_ns);
    }
}

static void send_one(struct stream *stream, struct arrival *arrival) {
    const struct call_options options = {
        .gate = stream->subject->gate,
        .priority = PRIORITY_NORMAL,
        .tenant = "tenant",
        .arrived_ns = arrival->meant_ns,
        .deadline_ns = clock_add(arrival->meant_ns, stream->plan->deadline_ns)};
    enum outcome outcome = call_submit(&arrival->call, &options);
    if (outcome == OK)
        stream->out++;
    else
        finish(arrival, outcome, clock_now_ns());
}

static void play(struct stream *stream) {
    for (uint32_t i = 0; i < stream->count; i++) {
        struct arrival *arrival = &stream->arrivals[i];
        while (clock_now_ns() < arrival->meant_ns) take_answers(stream, arrival->meant_ns);
        send_one(stream, arrival);
    }
    uint64_t until_ns = clock_now_ns() + WITHIN_NS;
    while (stream->out > 0) {
        if (clock_now_ns() >= until_ns) invalid("%u requests were never answered", stream->out);
        take_answers(stream, until_ns);
    }
}

/* Poisson arrivals: the times between them are exponential. */
static void plan_arrivals(struct stream *stream, double rate, double seconds, uint64_t *state) {
    uint32_t room = (uint32_t)(rate * seconds * 1.5) + 64;
    stream->arrivals = calloc(room, sizeof *stream->arrivals);
    if (stream->arrivals == NULL) invalid("out of memory");
    stream->began_ns = clock_now_ns() + 10 * CLOCK_MS;
    double at = 0;
    for (; stream->count < room && (at -= log(chance(state)) / rate) < seconds; stream->count++)
        stream->arrivals[stream->count] =
            (struct arrival){.call = {.home = &stream->mailbox, .number = stream->count},
                             .meant_ns = stream->began_ns + (uint64_t)(at * 1e9)};
}

static void count_one(struct finding *finding, const struct arrival *arrival,
                      uint64_t deadline_ns) {
    uint64_t took_ns = arrival->answered_ns - arrival->meant_ns;
    finding->counted++;
    if (arrival->outcome == OK && took_ns <= deadline_ns)
        finding->good++;
    else if (arrival->outcome == OK)
        finding->late++;
    else if (arrival->outcome == DEADLINE_UNMEETABLE || arrival->outcome == QUEUE_FULL)
        finding->shed++;
    else if (arrival->outcome == DEADLINE_EXCEEDED)
        finding->expired++;
    else
        finding->other++;
}

static struct finding evaluate(const struct stream *stream, double factor) {
    struct finding finding = {.factor = factor};
    double *good_ms = calloc(stream->count + 1, sizeof *good_ms);
    double *shed_ms = calloc(stream->count + 1, sizeof *shed_ms);
    if (good_ms == NULL || shed_ms == NULL) invalid("out of memory");
    /* By the moment of the answer: a queue that grows or shrinks meanwhile lends nothing. */
    uint64_t from_ns = stream->began_ns + (uint64_t)(WARM_UP_S * 1e9);
    uint64_t until_ns = from_ns + (uint64_t)(stream->plan->seconds * 1e9);
    for (uint32_t i = 0; i < stream->count; i++) {
        const struct arrival *arrival = &stream->arrivals[i];
        if (arrival->answered_ns < from_ns || arrival->answered_ns >= until_ns) continue;
        struct finding before = finding;
        count_one(&finding, arrival, stream->plan->deadline_ns);
        double ms = (double)(arrival->answered_ns - arrival->meant_ns) / 1e6;
        if (finding.good > before.good) good_ms[before.good] = ms;
        if (finding.shed > before.shed) shed_ms[before.shed] = ms;
    }
    finding.goodput = finding.good / stream->plan->seconds;
    finding.p50_ms = percentile(good_ms, finding.good, 0.5);
    finding.p99_ms = percentile(good_ms, finding.good, 0.99);
    finding.refused_p99_ms = percentile(shed_ms, finding.shed, 0.99);
    free(good_ms);
    free(shed_ms);
    return finding;
}

static struct finding at_factor(const struct plan *plan, double factor, double capacity,
                                uint64_t *state) {
    struct subject subject;
    subject_open(&subject, plan, 10000);
    struct stream stream = {.plan = plan, .subject = &subject};
    plan_arrivals(&stream, factor * capacity, plan->seconds + WARM_UP_S, state);
    play(&stream);
    subject_close(&subject);
    struct finding finding = evaluate(&stream, factor);
    free(stream.arrivals);
    return finding;
}

static void send_again(struct stream *stream, struct arrival *arrival, uint64_t now_ns) {
    arrival->meant_ns = now_ns;
    send_one(stream, arrival);
    if (arrival->outcome != OK) invalid("refused below the capacity");
}

/* What the same workers answer a second when somebody always waits and nobody is in a hurry. */
static double measure_capacity(const struct plan *plan) {
    struct plan patient = *plan;
    patient.deadline_ns = CLOCK_NEVER;
    struct subject subject;
    subject_open(&subject, &patient, 10000);
    struct stream stream = {.plan = &patient, .subject = &subject};
    struct arrival arrivals[64] = {0};
    uint32_t callers = plan->slots * CLOSED_CALLERS;
    if (callers > sizeof arrivals / sizeof arrivals[0]) invalid("at most 16 slots");
    uint64_t now_ns = clock_now_ns(), from_ns = now_ns + CLOCK_S / 2;
    uint64_t until_ns = from_ns + (uint64_t)(CAPACITY_S * 1e9), answered = 0;
    for (uint32_t i = 0; i < callers; i++) {
        arrivals[i].call = (struct call){.home = &stream.mailbox, .number = i};
        send_again(&stream, &arrivals[i], now_ns);
    }
    while (stream.out > 0) {
        struct call *call = mailbox_take(&stream.mailbox, now_ns + WITHIN_NS), *next;
        if (call == NULL) invalid("%u requests were never answered", stream.out);
        now_ns = clock_now_ns();
        for (; call != NULL; call = next) {
            next = call->next;
            stream.out--;
            call_close(call);
            if (now_ns >= from_ns && now_ns < until_ns) answered++;
            if (now_ns < until_ns) send_again(&stream, (struct arrival *)call, now_ns);
        }
    }
    subject_close(&subject);
    return (double)answered / CAPACITY_S;
}

static void print_finding(const struct plan *plan, const struct finding *found, double capacity) {
    if (plan->json)
        printf("{\"measure\": \"overload\", \"overload\": \"%s\", \"factor\": %g, "
               "\"capacity\": %.2f, \"goodput\": %.2f, \"share\": %.4f, \"counted\": %u, "
               "\"good\": %u, \"late\": %u, \"shed\": %u, \"expired\": %u, \"other\": %u, "
               "\"p50_ms\": %.2f, \"p99_ms\": %.2f, \"shed_p99_ms\": %.2f}\n",
               overload_name(plan->overload), found->factor, capacity, found->goodput,
               found->goodput / capacity, found->counted, found->good, found->late, found->shed,
               found->expired, found->other, found->p50_ms, found->p99_ms, found->refused_p99_ms);
    else
        printf("%-5s %6.2f %9.1f %8.3f %7u %6u %6u %8u %6u %8.1f %8.1f %9.2f\n",
               overload_name(plan->overload), found->factor, found->goodput,
               found->goodput / capacity, found->good, found->late, found->shed, found->expired,
               found->other, found->p50_ms, found->p99_ms, found->refused_p99_ms);
    fflush(stdout);
}

void measure_overload(const struct plan *plan) {
    uint64_t state = plan->seed;
    double capacity = measure_capacity(plan);
    if (capacity <= 0) invalid("nothing was answered");
    if (!plan->json)
        printf("capacity %.1f/s (%u slots of %lu ms); seed %lu\n"
               "%-5s %6s %9s %8s %7s %6s %6s %8s %6s %8s %8s %9s\n",
               capacity, plan->slots, (unsigned long)plan->work_ms, (unsigned long)plan->seed, "",
               "factor", "goodput/s", "share", "good", "late", "shed", "expired", "other", "p50 ms",
               "p99 ms", "shed p99");
    const char *rest = plan->factors;
    while (*rest != '\0') {
        char *end;
        double factor = strtod(rest, &end);
        if (end == rest || factor <= 0) invalid("--factors: %s is no list of numbers", rest);
        rest = *end == ',' ? end + 1 : end;
        struct finding found = at_factor(plan, factor, capacity, &state);
        print_finding(plan, &found, capacity);
    }
}
