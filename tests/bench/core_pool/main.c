#include "tests/bench/core_pool/plan.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    void (*measure)(const struct plan *plan);
} measures[] = {
    {"rate", measure_rate},     {"memory", measure_memory},     {"jump", measure_jump},
    {"cancel", measure_cancel}, {"overload", measure_overload},
};

int main(int argc, char **argv) {
    struct plan plan;
    plan_read(&plan, argc, argv);
    for (size_t i = 0; i < sizeof measures / sizeof measures[0]; i++) {
        if (strcmp(measures[i].name, plan.measure) != 0) continue;
        measures[i].measure(&plan);
        return 0;
    }
    fprintf(stderr, "core_pool: there is no measure %s; see core_pool --help\n", plan.measure);
    return 2;
}
