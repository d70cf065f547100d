#include "gateway/command/command.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", "serve in the foreground", command_serve},
    {"check", "say what is wrong with a configuration", command_check},
    {"invoke", "send a file or stdin to a pool, print its answer", command_invoke},
    {"status", "show pools and slots of a running gateway", command_status},
    {"key", "add, list and revoke the keys of clients", command_key},
    {"version", "print the version", command_version},
};

static void print_usage(FILE *out) {
    fprintf(out, "usage: poolgate COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\npoolgate COMMAND --help says more about each.\n");
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0) name = "version";
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(name, commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "poolgate: unknown command %s; see poolgate --help\n", name);
    return EXIT_USAGE;
}
