/* cancel - from the cancel of a running request to a free slot: with one slot, until the request that
 * waited behind it has come back, so the figure holds a whole hand-over too much. */
#include "core/base/clock.h"
#include "tests/bench/core_pool/call.h"
#include "tests/bench/core_pool/plan.h"
#include "tests/bench/core_pool/subject.h"

#include <stdio.h>
#include <stdlib.h>

#define WITHIN_NS (10 * CLOCK_S)

static void submit(struct gate *gate, struct call *call, const char *operation) {
    uint64_t now_ns = clock_now_ns();
    const struct call_options options = {.gate = gate,
                                         .priority = PRIORITY_NORMAL,
                                         .tenant = "tenant",
                                         .operation = operation,
                                         .arrived_ns = now_ns,
                                         .deadline_ns = now_ns + 60 * CLOCK_S};
    enum outcome outcome = call_submit(call, &options);
    if (outcome != OK) invalid("a request was refused: %s", outcome_code(outcome));
}

static void await(struct mailbox *mailbox) {
    if (mailbox_take(mailbox, clock_now_ns() + WITHIN_NS) == NULL)
        invalid("a request was not answered within 10 s");
}

static double cancel_once_ms(struct gate *gate, uint64_t number) {
    struct mailbox first = {0}, second = {0};
    struct call running = {.home = &first, .number = 2 * number};
    struct call behind = {.home = &second, .number = 2 * number + 1};
    submit(gate, &running, "delay:60000");
    submit(gate, &behind, NULL);
    pause_ns((3 + number % 7) * CLOCK_MS +
             number % 10 * 100 * CLOCK_US); /* any phase of its loop */
    uint64_t cancelled_ns = clock_now_ns();
    gate_cancel(gate, 0, running.id, CANCEL_ASKED);
    await(&second);
    double ms = (double)(clock_now_ns() - cancelled_ns) / 1e6;
    await(&first);
    if (call_end(&running) != CANCELLED) invalid("a cancelled request ended in another way");
    call_close(&behind);
    return ms;
}

void measure_cancel(const struct plan *plan) {
    struct plan alone = *plan;
    alone.slots = 1;
    struct subject subject;
    double *ms = calloc(plan->trials, sizeof *ms);
    if (ms == NULL) invalid("out of memory");
    subject_open(&subject, &alone, 16);
    for (uint32_t i = 0; i < plan->trials; i++) ms[i] = cancel_once_ms(subject.gate, i);
    subject_close(&subject);
    double p50 = percentile(ms, plan->trials, 0.5), p99 = percentile(ms, plan->trials, 0.99);
    double longest = percentile(ms, plan->trials, 1);
    free(ms);
    if (plan->json)
        printf("{\"measure\": \"cancel\", \"isolation\": \"%s\", \"trials\": %u, \"p50_ms\": %.3f, "
               "\"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
               isolation_name(plan->isolation), plan->trials, p50, p99, longest);
    else
        printf("%s slot, %u cancels: the slot served the next after %.2f ms (median), %.2f ms "
               "(p99), %.2f ms (most)\n",
               isolation_name(plan->isolation), plan->trials, p50, p99, longest);
}
