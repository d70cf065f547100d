#include "gateway/command/configuration.h"

#include "gateway/command/command.h"

#include <stdlib.h>
#include <unistd.h>

void configuration_set(struct configuration *configuration, const char *setting) {
    configuration->settings[configuration->settings_count++] = setting;
}

int configuration_options(struct configuration *configuration, int argc, char **argv,
                          const char *usage) {
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"set", required_argument, NULL, 's'},
                                            {"allow-chaos", no_argument, NULL, 'x'},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {0}};
    int status = -1, option;
    *configuration = (struct configuration){0};
    configuration->settings =
        calloc((size_t)argc + CONFIGURATION_SPARE + 1, sizeof *configuration->settings);
    if (configuration->settings == NULL) return EXIT_FAILURE;
    while ((option = command_option(argc, argv, ":c:s:h", options, usage, &status)) != -1) {
        if (option == 'c') configuration->file = optarg;
        if (option == 's') configuration_set(configuration, optarg);
        if (option == 'x') configuration->allow_chaos = true;
    }
    if (status < 0 && optind < argc)
        status = command_misuse(argv[0], "unexpected argument %s", argv[optind]);
    return status;
}

enum outcome configuration_read(const struct configuration *configuration, struct config **out,
                                FILE *errors) {
    const struct config_source source = {
        .file = configuration->file,
        .environment = (const char *const *)environ,
        .settings = (const char *const *)configuration->settings,
        .allow_chaos = configuration->allow_chaos,
        .files_unseen = configuration->files_unseen,
    };
    return config_load(out, &source, errors);
}

int configuration_load(struct configuration *configuration) {
    switch (configuration_read(configuration, &configuration->config, stderr)) {
    case OK: return -1;
    case MEMORY_EXHAUSTED: fprintf(stderr, "poolgate: out of memory\n"); return EXIT_FAILURE;
    default: return EXIT_USAGE;
    }
}

void configuration_free(struct configuration *configuration) {
    config_free(configuration->config);
    free(configuration->settings);
}
