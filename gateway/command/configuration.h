/* configuration - the options that name a configuration, and its loading for a command.
 * thread: main.
 * owns:   the list of settings until configuration_free.
 * fails:  an exit status; the mistakes are on stderr. */
#ifndef GATEWAY_COMMAND_CONFIGURATION_H
#define GATEWAY_COMMAND_CONFIGURATION_H

#include "gateway/config/config.h"

#define CONFIGURATION_SPARE 4 /* settings that configuration_set may add */

struct configuration {
    const char *file;
    const char **settings; /* of --set; NULL-terminated */
    size_t settings_count;
    bool allow_chaos;
    bool files_unseen;     /* as in struct config_source */
    struct config *config; /* set by configuration_load */
};

/* Reads --config, --set, --allow-chaos, --help. Returns -1 when the command may go on, else its exit
 * status. */
int configuration_options(struct configuration *configuration, int argc, char **argv,
                          const char *usage);
/* One more setting, "KEY=VALUE", above those of the command line; the text stays the caller's. */
void configuration_set(struct configuration *configuration, const char *setting);
/* What its sources say now; as config_load. */
enum outcome configuration_read(const struct configuration *configuration, struct config **out,
                                FILE *errors);
/* The same way as configuration_options. */
int configuration_load(struct configuration *configuration);
void configuration_free(struct configuration *configuration);

#endif
