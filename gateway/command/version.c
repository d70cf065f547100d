#include "gateway/command/command.h"

#include <stdio.h>

const char version_usage[] = "usage: poolgate version\n\nPrints the version.\n";

int command_version(int argc, char **argv) {
    static const struct option options[] = {{"help", no_argument, NULL, OPTION_HELP}, {0}};
    int status = -1;
    while (command_option(argc, argv, ":h", options, version_usage, &status) != -1) continue;
    if (status >= 0) return status;
    if (optind < argc) return command_misuse("version", "unexpected argument %s", argv[optind]);
    printf("poolgate %s\n", POOLGATE_VERSION);
    return 0;
}
