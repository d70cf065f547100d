#include "tests/bench/core_pool/plan.h"

#include "core/base/clock.h"

#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: core_pool MEASURE [OPTION]...\n\n"
    "The core without a front end: one pool of `echo` behind the gate, callers on threads of their "
    "own.\n\n"
    "  rate       answers a second of --callers that ask again at once\n"
    "  memory     bytes that --waiting requests cost, each, behind busy slots\n"
    "  jump       how many of --waiting normal requests go before a critical one\n"
    "  cancel     from a cancel to a free slot\n"
    "  overload   good answers a second at --factors of the capacity\n\n"
    "  --build FOLDER          of poolgate-worker and workers/; build\n"
    "  --isolation KIND        process or thread; process\n"
    "  --slots N               4      --staged N            1\n"
    "  --callers N             1024   --caller-threads N    2\n"
    "  --tenants N             4      --waiting N           10000\n"
    "  --trials N              50     --seconds S           3\n"
    "  --work-ms MS            how long a worker sleeps over a request; 0, for overload 20, for "
    "jump 10\n"
    "  --deadline-ms MS        30000, for overload 500\n"
    "  --fair on|off           on     --aging-ms MS         30000\n"
    "  --dedup-ms MS           1000   --overload KIND       shed, codel or none; shed\n"
    "  --policies off          fair off, aging and dedup 0, overload none\n"
    "  --factors LIST          0.5,0.8,1,1.2,2,3,5,10\n"
    "  --seed N                of the arrivals; 1\n"
    "  --json                  a line of JSON for each result\n";

static const char *const isolations[] = {
    [ISOLATION_PROCESS] = "process", [ISOLATION_THREAD] = "thread"};
static const char *const overloads[] = {
    [OVERLOAD_SHED] = "shed", [OVERLOAD_CODEL] = "codel", [OVERLOAD_NONE] = "none"};
static const char *const switches[] = {"off", "on"};
#define COUNT(names) (sizeof(names) / sizeof *(names))

const char *isolation_name(enum isolation isolation) {
    return isolations[isolation];
}

const char *overload_name(enum overload overload) {
    return overloads[overload];
}

void invalid(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "core_pool: not valid: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    _Exit(1); /* other threads may be anywhere */
}

static int ascending(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double percentile(double *values, size_t count, double share) {
    if (count == 0) return 0;
    qsort(values, count, sizeof *values, ascending);
    size_t rank = (size_t)(share * (double)count + 0.999999);
    return values[rank > count ? count - 1 : rank > 0 ? rank - 1 : 0];
}

_Noreturn static void misused(const char *what, const char *value) {
    fprintf(stderr, "core_pool: %s: %s\n\n%s", what, value, usage);
    exit(2);
}

static double number_of(const char *name, const char *text, double least, double most) {
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= least && number <= most)) misused(name, text);
    return number;
}

static unsigned choice_of(const char *name, const char *text, const char *const *names,
                          size_t count) {
    for (unsigned i = 0; i < count; i++)
        if (strcmp(names[i], text) == 0) return i;
    misused(name, text);
}

enum kind {
    COUNT32,
    COUNT64,
    MILLISECONDS,
    SECONDS,
    TEXT,
    ISOLATION,
    OVERLOAD,
    SWITCH,
    POLICIES,
    FLAG,
    HELP
};

/* What fills what, and the numbers that are allowed. */
static const struct field {
    const char *name;
    enum kind kind;
    size_t place;
    double least, most;
} fields[] = {
#define FIELD(name, kind, member, least, most)                                                     \
    { name, kind, offsetof(struct plan, member), least, most }
    FIELD("slots", COUNT32, slots, 1, 1024),
    FIELD("staged", COUNT32, staged, 0, 1024),
    FIELD("callers", COUNT32, callers, 1, 1e6),
    FIELD("caller-threads", COUNT32, caller_threads, 1, 64),
    FIELD("tenants", COUNT32, tenants, 1, 1e6),
    FIELD("waiting", COUNT32, waiting, 1, 1e6),
    FIELD("trials", COUNT32, trials, 1, 1e6),
    FIELD("work-ms", COUNT64, work_ms, 0, 60000),
    FIELD("seed", COUNT64, seed, 0, 1e15),
    FIELD("deadline-ms", MILLISECONDS, deadline_ns, 1, 1e9),
    FIELD("aging-ms", MILLISECONDS, aging_ns, 0, 1e9),
    FIELD("dedup-ms", MILLISECONDS, dedup_ns, 0, 1e9),
    FIELD("seconds", SECONDS, seconds, 0.1, 3600),
    FIELD("build", TEXT, build, 0, 0),
    FIELD("factors", TEXT, factors, 0, 0),
    FIELD("isolation", ISOLATION, isolation, 0, 0),
    FIELD("overload", OVERLOAD, overload, 0, 0),
    FIELD("fair", SWITCH, fair, 0, 0),
    FIELD("policies", POLICIES, fair, 0, 0),
    FIELD("json", FLAG, json, 0, 0),
    FIELD("help", HELP, json, 0, 0),
#undef FIELD
};
#define FIELDS COUNT(fields)

static void without_policies(struct plan *plan) {
    plan->fair = false;
    plan->aging_ns = plan->dedup_ns = 0;
    plan->overload = OVERLOAD_NONE;
}

static void set_field(struct plan *plan, const struct field *field, const char *text) {
    void *place = (char *)plan + field->place;
    const char *name = field->name;
    double least = field->least, most = field->most;
    switch (field->kind) {
    case COUNT32: *(uint32_t *)place = (uint32_t)number_of(name, text, least, most); break;
    case COUNT64: *(uint64_t *)place = (uint64_t)number_of(name, text, least, most); break;
    case MILLISECONDS:
        *(uint64_t *)place = (uint64_t)(number_of(name, text, least, most) * (double)CLOCK_MS);
        break;
    case SECONDS: *(double *)place = number_of(name, text, least, most); break;
    case TEXT: *(const char **)place = text; break;
    case ISOLATION: plan->isolation = choice_of(name, text, isolations, COUNT(isolations)); break;
    case OVERLOAD: plan->overload = choice_of(name, text, overloads, COUNT(overloads)); break;
    case SWITCH: *(bool *)place = choice_of(name, text, switches, COUNT(switches)) == 1; break;
    case POLICIES:
        if (choice_of(name, text, switches, COUNT(switches)) == 0) without_policies(plan);
        break;
    case FLAG: *(bool *)place = true; break;
    case HELP: printf("%s", usage); exit(0);
    }
}

static void choose_measure(struct plan *plan, const char *name) {
    plan->measure = name;
    if (strcmp(name, "overload") == 0) {
        plan->work_ms = 20;
        plan->deadline_ns = 500 * CLOCK_MS;
    } else if (strcmp(name, "jump") == 0) {
        plan->work_ms = 10;
    }
}

static const struct plan defaults = {
    .build = "build",
    .isolation = ISOLATION_PROCESS,
    .slots = 4,
    .staged = 1,
    .callers = 1024,
    .caller_threads = 2,
    .tenants = 4,
    .waiting = 10000,
    .trials = 50,
    .seconds = 3,
    .deadline_ns = 30 * CLOCK_S,
    .fair = true,
    .aging_ns = 30 * CLOCK_S,
    .dedup_ns = CLOCK_S,
    .overload = OVERLOAD_SHED,
    .factors = "0.5,0.8,1,1.2,2,3,5,10",
    .seed = 1,
};

void plan_read(struct plan *plan, int argc, char **argv) {
    struct option options[FIELDS + 1] = {0};
    for (int i = 0; i < (int)FIELDS; i++) {
        bool alone = fields[i].kind == FLAG || fields[i].kind == HELP;
        options[i] = (struct option){
            .name = fields[i].name, .has_arg = alone ? no_argument : required_argument, .val = i};
    }
    *plan = defaults;
    if (argc > 1 && argv[1][0] != '-') {
        choose_measure(plan, argv[1]);
        optind = 2;
    }
    for (int i; (i = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (i == '?') misused("an option", "is not known");
        set_field(plan, &fields[i], optarg);
    }
    if (plan->measure == NULL) misused("the measure", "is missing");
    if (optind < argc) misused("too much", argv[optind]);
    if (plan->caller_threads > plan->callers) plan->caller_threads = plan->callers;
}
