#include "gateway/command/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int command_misuse(const char *command, const char *format, ...) {
    fprintf(stderr, "poolgate %s: ", command);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; see poolgate %s --help\n", command);
    return EXIT_USAGE;
}

int command_option(int argc, char **argv, const char *letters, const struct option *options,
                   const char *usage, int *exit_status) {
    opterr = 0;
    int option = getopt_long(argc, argv, letters, options, NULL);
    if (option == OPTION_HELP) {
        fputs(usage, stdout);
        *exit_status = 0;
        return -1;
    }
    const char *word = argv[optind - 1];
    if (option == ':') *exit_status = command_misuse(argv[0], "%s needs a value", word);
    if (option == '?') *exit_status = command_misuse(argv[0], "unknown option %s", word);
    return option == ':' || option == '?' ? -1 : option;
}
