#include "gateway/command/command.h"
#include "gateway/command/configuration.h"

#include <stdio.h>

const char check_usage[] =
    "usage: poolgate check [--config FILE] [--set KEY=VALUE]...\n\n"
    "Reads the configuration as `serve` would (defaults, FILE, environment, --set) and says what "
    "is\n"
    "wrong with it, one line per mistake. Exit status 0: it can be served; 2: it cannot.\n";

int command_check(int argc, char **argv) {
    struct configuration configuration;
    int status = configuration_options(&configuration, argc, argv, check_usage);
    if (status < 0) status = configuration_load(&configuration);
    if (status < 0) {
        size_t pools = configuration.config->pools_count;
        printf("ok: %zu pool%s\n", pools, pools == 1 ? "" : "s");
        status = 0;
    }
    configuration_free(&configuration);
    return status;
}
