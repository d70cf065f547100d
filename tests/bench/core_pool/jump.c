/* jump - a critical request behind a long line of normal ones: how many of them a slot was given after
 * the critical one had come and before it had its own. */
#include "core/base/clock.h"
#include "tests/bench/core_pool/call.h"
#include "tests/bench/core_pool/plan.h"
#include "tests/bench/core_pool/subject.h"

#include <stdio.h>
#include <stdlib.h>

#define WITHIN_NS (20 * CLOCK_S)

struct jump {
    uint64_t came_ns, began_ns;
    uint32_t overtaken_by;
};

static uint64_t submit(struct gate *gate, struct call *call, enum priority priority) {
    uint64_t now_ns = clock_now_ns();
    const struct call_options options = {.gate = gate,
                                         .priority = priority,
                                         .tenant = "tenant",
                                         .arrived_ns = now_ns,
                                         .deadline_ns = CLOCK_NEVER};
    enum outcome outcome = call_submit(call, &options);
    if (outcome != OK) invalid("a request was refused: %s", outcome_code(outcome));
    return clock_now_ns(); /* from here on the gate has it */
}

static void jump_once(struct gate *gate, struct jump *jump, uint64_t number) {
    struct mailbox mailbox = {0};
    struct call call = {.home = &mailbox, .number = number};
    jump->came_ns = submit(gate, &call, PRIORITY_CRITICAL);
    if (mailbox_take(&mailbox, clock_now_ns() + WITHIN_NS) == NULL)
        invalid("a critical request was not answered");
    jump->began_ns = call_began_ns(&call);
    call_close(&call);
}

/* Which critical requests a normal one went before, though it began after they had come. */
static void note_overtaking(struct jump *jumps, uint32_t count, uint64_t began_ns) {
    for (uint32_t i = 0; i < count; i++)
        if (began_ns > jumps[i].came_ns && began_ns < jumps[i].began_ns) jumps[i].overtaken_by++;
}

static uint32_t collect(struct mailbox *mailbox, uint32_t expected, struct jump *jumps,
                        uint32_t count) {
    uint32_t begun = 0;
    for (uint32_t seen = 0; seen < expected;) {
        struct call *call = mailbox_take(mailbox, clock_now_ns() + WITHIN_NS), *next;
        if (call == NULL) invalid("%u requests of %u were answered", seen, expected);
        for (; call != NULL; call = next, seen++) {
            next = call->next;
            uint64_t began_ns = call_began_ns(call);
            bool ran = call->request->slot != REQUEST_NO_SLOT;
            enum outcome outcome = call_end(call);
            if (outcome != OK && outcome != SHUTTING_DOWN)
                invalid("a request was answered %s", outcome_code(outcome));
            if (!ran) continue;
            begun++;
            note_overtaking(jumps, count, began_ns);
        }
    }
    return begun;
}

static void report(const struct plan *plan, const struct jump *jumps, uint32_t begun) {
    uint32_t worst = 0, sum = 0;
    double *waits_ms = calloc(plan->trials, sizeof *waits_ms);
    if (waits_ms == NULL) invalid("out of memory");
    for (uint32_t i = 0; i < plan->trials; i++) {
        if (jumps[i].overtaken_by > worst) worst = jumps[i].overtaken_by;
        sum += jumps[i].overtaken_by;
        if (jumps[i].began_ns > jumps[i].came_ns)
            waits_ms[i] = (double)(jumps[i].began_ns - jumps[i].came_ns) / 1e6;
    }
    double p50 = percentile(waits_ms, plan->trials, 0.5);
    double longest = percentile(waits_ms, plan->trials, 1);
    free(waits_ms);
    if (plan->json)
        printf("{\"measure\": \"jump\", \"waiting\": %u, \"trials\": %u, \"overtaken_max\": %u, "
               "\"overtaken_sum\": %u, \"wait_p50_ms\": %.3f, \"wait_max_ms\": %.3f, "
               "\"work_ms\": %lu}\n",
               plan->waiting, plan->trials, worst, sum, p50, longest, (unsigned long)plan->work_ms);
    else
        printf("%u critical requests behind %u normal ones of %lu ms, of which %u were begun: at "
               "most %u normal ones, %u in all, began after one had come and before it began; it "
               "waited %.2f ms (median), at most %.2f ms\n",
               plan->trials, plan->waiting, (unsigned long)plan->work_ms, begun, worst, sum, p50,
               longest);
}

void measure_jump(const struct plan *plan) {
    struct subject subject;
    struct mailbox mailbox = {0};
    struct call *calls = calloc(plan->waiting, sizeof *calls);
    struct jump *jumps = calloc(plan->trials, sizeof *jumps);
    if (calls == NULL || jumps == NULL) invalid("out of memory");
    subject_open(&subject, plan, plan->waiting + plan->trials);
    for (uint32_t i = 0; i < plan->waiting; i++) {
        calls[i] = (struct call){.home = &mailbox, .number = i};
        submit(subject.gate, &calls[i], PRIORITY_NORMAL);
    }
    pause_ns(200 * CLOCK_MS);
    for (uint32_t i = 0; i < plan->trials; i++) {
        jump_once(subject.gate, &jumps[i], plan->waiting + i);
        pause_ns((7 + i % 13) * CLOCK_MS); /* in ever another phase of the slots */
    }
    if (subject_waiting(&subject) == 0) invalid("the line was empty before the end");
    subject_drain(&subject);
    uint32_t begun = collect(&mailbox, plan->waiting, jumps, plan->trials);
    subject_close(&subject);
    report(plan, jumps, begun);
    free(calls);
    free(jumps);
}
