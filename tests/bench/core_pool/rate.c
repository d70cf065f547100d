/* rate - callers on threads of their own, each with one request out at any time: answers a second. */
#include "core/base/clock.h"
#include "tests/bench/core_pool/call.h"
#include "tests/bench/core_pool/plan.h"
#include "tests/bench/core_pool/subject.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define WARM_UP_NS   (200 * CLOCK_MS)
#define TENANT_BYTES 24

struct caller_thread {
    struct mailbox mailbox;
    _Alignas(64) _Atomic uint64_t answered;
    _Alignas(64) pthread_t thread;
    struct crowd *crowd;
    struct call *calls;
    uint32_t count;
};

struct crowd {
    const struct plan *plan;
    struct gate *gate;
    char (*tenants)[TENANT_BYTES];
    struct caller_thread *threads;
    _Atomic bool over;
};

static void submit(struct caller_thread *own, struct call *call) {
    const struct plan *plan = own->crowd->plan;
    uint64_t now_ns = clock_now_ns();
    uint64_t caller = call->number & UINT32_MAX; /* the lower half; the upper counts its requests */
    call->number += UINT64_C(1) << 32;
    const struct call_options options = {.gate = own->crowd->gate,
                                         .priority = PRIORITY_NORMAL,
                                         .tenant = own->crowd->tenants[caller % plan->tenants],
                                         .arrived_ns = now_ns,
                                         .deadline_ns = clock_add(now_ns, plan->deadline_ns)};
    enum outcome outcome = call_submit(call, &options);
    if (outcome != OK) invalid("a request was refused: %s", outcome_code(outcome));
}

static void *call_on(void *argument) {
    struct caller_thread *own = argument;
    uint32_t out = own->count;
    for (uint32_t i = 0; i < own->count; i++) submit(own, &own->calls[i]);
    while (out > 0) {
        struct call *call = mailbox_take(&own->mailbox, CLOCK_NEVER), *next;
        bool over = atomic_load_explicit(&own->crowd->over, memory_order_relaxed);
        uint64_t answered = 0;
        for (; call != NULL; call = next, answered++) {
            next = call->next;
            call_close(call);
            if (over)
                out--;
            else
                submit(own, call);
        }
        atomic_fetch_add_explicit(&own->answered, answered, memory_order_relaxed);
    }
    return NULL;
}

/* Its share of the callers, the first of which has the number `first`. */
static void thread_start(struct caller_thread *own, struct crowd *crowd, uint32_t first,
                         uint32_t count) {
    *own = (struct caller_thread){.crowd = crowd, .count = count};
    mailbox_gather(&own->mailbox);
    own->calls = calloc(count, sizeof *own->calls);
    if (own->calls == NULL) invalid("out of memory");
    for (uint32_t i = 0; i < count; i++)
        own->calls[i] = (struct call){.home = &own->mailbox, .number = first + i};
    if (pthread_create(&own->thread, NULL, call_on, own) != 0) invalid("no thread");
}

static void crowd_start(struct crowd *crowd) {
    uint32_t callers = crowd->plan->callers, threads = crowd->plan->caller_threads;
    crowd->tenants = calloc(crowd->plan->tenants, sizeof *crowd->tenants);
    crowd->threads = aligned_alloc(64, threads * sizeof *crowd->threads);
    if (crowd->tenants == NULL || crowd->threads == NULL) invalid("out of memory");
    for (uint32_t i = 0; i < crowd->plan->tenants; i++)
        snprintf(crowd->tenants[i], TENANT_BYTES, "tenant-%u", i);
    for (uint32_t i = 0, first = 0; i < threads; i++) {
        uint32_t count = callers / threads + (i < callers % threads);
        thread_start(&crowd->threads[i], crowd, first, count);
        first += count;
    }
}

static void crowd_end(struct crowd *crowd) {
    atomic_store(&crowd->over, true);
    for (uint32_t i = 0; i < crowd->plan->caller_threads; i++)
        pthread_join(crowd->threads[i].thread, NULL);
}

static void crowd_free(struct crowd *crowd) {
    for (uint32_t i = 0; i < crowd->plan->caller_threads; i++) free(crowd->threads[i].calls);
    free(crowd->threads);
    free(crowd->tenants);
}

static uint64_t answered(const struct crowd *crowd) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < crowd->plan->caller_threads; i++)
        sum += atomic_load_explicit(&crowd->threads[i].answered, memory_order_relaxed);
    return sum;
}

/* Of this process: with process slots without their workers. */
static double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

void measure_rate(const struct plan *plan) {
    struct subject subject;
    subject_open(&subject, plan, plan->callers + 16);
    struct crowd crowd = {.plan = plan, .gate = subject.gate};
    crowd_start(&crowd);
    pause_ns(WARM_UP_NS);
    while (answered(&crowd) < plan->callers) pause_ns(10 * CLOCK_MS); /* all are under way */

    uint64_t before = answered(&crowd), began_ns = clock_now_ns();
    double cpu = cpu_seconds();
    pause_ns((uint64_t)(plan->seconds * 1e9));
    uint64_t seen = answered(&crowd) - before;
    double elapsed = (double)(clock_now_ns() - began_ns) / 1e9;
    cpu = cpu_seconds() - cpu;
    crowd_end(&crowd);
    subject_close(&subject);
    crowd_free(&crowd);

    double rate = (double)seen / elapsed, cpu_us = seen > 0 ? cpu * 1e6 / (double)seen : 0;
    if (plan->json)
        printf("{\"measure\": \"rate\", \"isolation\": \"%s\", \"callers\": %u, \"staged\": %u, "
               "\"tenants\": %u, \"rate\": %.1f, \"cpu_us\": %.3f}\n",
               isolation_name(plan->isolation), plan->callers, plan->staged, plan->tenants, rate,
               cpu_us);
    else
        printf("%s slots, staged %u, %u callers, %u tenants: %.0f/s, %.2f us of CPU time each\n",
               isolation_name(plan->isolation), plan->staged, plan->callers, plan->tenants, rate,
               cpu_us);
}
