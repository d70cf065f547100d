/* command - what `poolgate NAME …` runs; one function each, returning the exit status.
 * thread: main.
 * owns:   nothing.
 * fails:  1: it did not work; 2: the command line or the configuration is wrong. */
#ifndef GATEWAY_COMMAND_COMMAND_H
#define GATEWAY_COMMAND_COMMAND_H

#include <getopt.h>

/* argv[0] is the command's name. */
int command_serve(int argc, char **argv);
int command_check(int argc, char **argv);
int command_invoke(int argc, char **argv);
int command_status(int argc, char **argv);
int command_key(int argc, char **argv);
int command_version(int argc, char **argv);

extern const char serve_usage[], check_usage[], invoke_usage[], status_usage[], key_usage[],
    version_usage[];

enum { EXIT_USAGE = 2 };

/* What every command's options have: --help prints usage and says 0 through *exit_status; an unknown
 * option prints one line and says 2. Returns the option's value, or -1 when there are no more or the
 * command is to end: then *exit_status is 0 or more. Set it to -1 first. */
int command_option(int argc, char **argv, const char *letters, const struct option *options,
                   const char *usage, int *exit_status);
/* One line on stderr: poolgate COMMAND: text. Returns EXIT_USAGE. */
int command_misuse(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define OPTION_HELP 'h'

#endif
