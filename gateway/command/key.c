#include "gateway/command/command.h"
#include "gateway/command/configuration.h"

#include "gateway/keys/key_file.h"

#include <assert.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char key_usage[] =
    "usage: poolgate key add NAME --tenant TENANT [OPTION]... [--file FILE | --config FILE]\n"
    "       poolgate key list [--json] [--file FILE | --config FILE]\n"
    "       poolgate key revoke NAME|ID [--file FILE | --config FILE]\n\n"
    "add makes a key and prints its token, once: only a salted hash is kept. Clients send it as\n"
    "`Authorization: Bearer TOKEN`. Two valid keys may have one name, so that clients can change\n"
    "from the old to the new one. A gateway that runs sees every change within two seconds.\n\n"
    "  --tenant TENANT    whose requests these are; limits count per tenant\n"
    "  --scope LIST       invoke, read, admin, with commas between them; without it invoke\n"
    "  --rate N/s         requests a second; without it no limit\n"
    "  --burst N          so many at once; without it as many as a second's\n"
    "  --concurrency N    requests under way at a time; without it no limit\n"
    "  --expires TIME     30m, 12h or 90d from now, or 2026-01-31T12:00:00Z; without it never\n"
    "  --max-priority P   the best class it may ask for; without it critical\n"
    "  --file FILE        the key file; without it auth.keys_file of --config, or of the "
    "environment\n\n"
    "revoke takes every key with that name, or the one with that id.\n"
    "Exit status 2: the command line or the file is wrong; 1: it did not work.\n";

struct key_command {
    const char *verb, *subject, *file, *config, *tenant;
    struct api_key key;
    bool json, burst_given;
};

/* --- the command line --- */

enum {
    OPTION_TENANT = 1000,
    OPTION_SCOPE,
    OPTION_RATE,
    OPTION_BURST,
    OPTION_CONCURRENCY,
    OPTION_EXPIRES,
    OPTION_PRIORITY,
    OPTION_FILE,
    OPTION_CONFIG,
    OPTION_JSON
};

static const struct option options[] = {
    {"tenant", required_argument, NULL, OPTION_TENANT},
    {"scope", required_argument, NULL, OPTION_SCOPE},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"burst", required_argument, NULL, OPTION_BURST},
    {"concurrency", required_argument, NULL, OPTION_CONCURRENCY},
    {"expires", required_argument, NULL, OPTION_EXPIRES},
    {"max-priority", required_argument, NULL, OPTION_PRIORITY},
    {"file", required_argument, NULL, OPTION_FILE},
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},
    {0}};

/* Digits only, up to `most`, then exactly `unit`. */
static bool read_number(const char *text, uint64_t most, const char *unit, uint64_t *out) {
    *out = 0;
    if (*text < '0' || *text > '9') return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        *out = *out * 10 + (uint64_t)(*text - '0');
        if (*out > most) return false;
    }
    return *out > 0 && strcmp(text, unit) == 0;
}

static bool read_count(const char *text, const char *unit, uint32_t most, uint32_t *out) {
    uint64_t number;
    bool read = read_number(text, most, unit, &number);
    *out = (uint32_t)number;
    return read;
}

static bool read_scopes(const char *text, unsigned *scopes) {
    for (*scopes = 0;; text++) {
        size_t bytes = strcspn(text, ",");
        unsigned known = 0;
        for (unsigned i = 0; i < KEY_SCOPE_COUNT; i++)
            if (strlen(key_scope_names[i]) == bytes &&
                strncmp(key_scope_names[i], text, bytes) == 0)
                known = 1u << i;
        if (known == 0) return false;
        *scopes |= known;
        text += bytes;
        if (*text == '\0') return true;
    }
}

static bool read_expiry(const char *text, uint64_t now_s, uint64_t *expires_s) {
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    const uint64_t most_s = UINT64_C(100) * 366 * 86400;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        uint64_t number;
        if (!read_number(text, most_s / units[i].seconds, units[i].unit, &number)) continue;
        *expires_s = now_s + number * units[i].seconds;
        return true;
    }
    return key_time_read(text, expires_s) && *expires_s > now_s;
}

static int read_option(struct key_command *command, int option) {
    struct api_key *key = &command->key;
    switch (option) {
    case OPTION_TENANT:
        if (!key_name_fits(optarg))
            return command_misuse("key", "--tenant %s is not 1 to 63 of A-Z a-z 0-9 . _ -", optarg);
        command->tenant = optarg;
        return -1;
    case OPTION_SCOPE:
        if (read_scopes(optarg, &key->scopes)) return -1;
        return command_misuse("key", "--scope %s is not a list of invoke, read and admin", optarg);
    case OPTION_RATE:
        if (read_count(optarg, "/s", KEY_RATE_MOST, &key->rate)) return -1;
        return command_misuse("key", "--rate %s is not from 1/s to %u/s", optarg, KEY_RATE_MOST);
    case OPTION_BURST:
        command->burst_given = true;
        if (read_count(optarg, "", KEY_RATE_MOST, &key->burst)) return -1;
        return command_misuse("key", "--burst %s is not from 1 to %u", optarg, KEY_RATE_MOST);
    case OPTION_CONCURRENCY:
        if (read_count(optarg, "", KEY_CONCURRENCY_MOST, &key->concurrency)) return -1;
        return command_misuse("key", "--concurrency %s is not from 1 to %u", optarg,
                              KEY_CONCURRENCY_MOST);
    case OPTION_EXPIRES:
        if (read_expiry(optarg, key->created_s, &key->expires_s)) return -1;
        return command_misuse("key", "--expires %s is no time to come such as 90d", optarg);
    case OPTION_PRIORITY:
        key->max_priority = priority_from_name(optarg);
        if (key->max_priority != PRIORITY_COUNT) return -1;
        return command_misuse(
            "key", "--max-priority %s is none of critical, high, normal, low, batch", optarg);
    case OPTION_FILE: command->file = optarg; return -1;
    case OPTION_CONFIG: command->config = optarg; return -1;
    default: command->json = true; return -1;
    }
}

static int check_add(struct key_command *command) {
    struct api_key *key = &command->key;
    if (!key_name_fits(command->subject))
        return command_misuse("key", "%s is not 1 to 63 of A-Z a-z 0-9 . _ -", command->subject);
    if (command->tenant == NULL) return command_misuse("key", "add needs --tenant");
    if (command->burst_given && key->rate == 0)
        return command_misuse("key", "--burst needs --rate");
    if (!command->burst_given) key->burst = key->rate;
    snprintf(key->name, sizeof key->name, "%s", command->subject);
    snprintf(key->tenant, sizeof key->tenant, "%s", command->tenant);
    return -1;
}

static int read_words(struct key_command *command, int argc, char **argv) {
    if (optind == argc) return command_misuse("key", "add, list or revoke is missing");
    command->verb = argv[optind++];
    bool list = strcmp(command->verb, "list") == 0, add = strcmp(command->verb, "add") == 0;
    if (!list && !add && strcmp(command->verb, "revoke") != 0)
        return command_misuse("key", "there is no %s, only add, list and revoke", command->verb);
    if (!list && optind == argc)
        return command_misuse("key", "%s needs the name of a key", command->verb);
    if (!list) command->subject = argv[optind++];
    if (optind < argc) return command_misuse("key", "unexpected argument %s", argv[optind]);
    if (command->file != NULL && command->config != NULL)
        return command_misuse("key", "--file and --config exclude each other");
    return add ? check_add(command) : -1;
}

static int read_command(struct key_command *command, int argc, char **argv) {
    int status = -1, option;
    *command = (struct key_command){.key = {.created_s = (uint64_t)time(NULL),
                                            .scopes = KEY_SCOPE_INVOKE,
                                            .max_priority = PRIORITY_CRITICAL}};
    while (status < 0 &&
           (option = command_option(argc, argv, ":h", options, key_usage, &status)) != -1)
        status = read_option(command, option);
    return status >= 0 ? status : read_words(command, argc, argv);
}

/* --- the file --- */

static int complain(const char *path, const char *error) {
    fprintf(stderr, "poolgate: %s: %s\n", path, error[0] != '\0' ? error : "out of memory");
    return EXIT_FAILURE;
}

/* What a link points to is what is to be replaced. */
static int find_file(const struct key_command *command, char path[PATH_MAX]) {
    struct configuration source = {.file = command->config, .files_unseen = true};
    const char *file = command->file;
    if (file == NULL) {
        int status = configuration_load(&source);
        if (status >= 0) return status;
        file = source.config->auth.keys_file;
    }
    int status = -1;
    if (file == NULL)
        status =
            command_misuse("key", "no key file is named: --file, or auth.keys_file in --config");
    else if (realpath(file, path) == NULL && snprintf(path, PATH_MAX, "%s", file) >= PATH_MAX)
        status = complain(file, "its path is too long");
    configuration_free(&source);
    return status;
}

static uint32_t count_valid(const struct keys *keys, const char *name, uint64_t now_s) {
    uint32_t valid = 0;
    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->items[i]->name, name) == 0 && !key_expired(keys->items[i], now_s)) valid++;
    return valid;
}

static int add(struct keys *keys, struct api_key *key, struct token *token) {
    if (keys->count >= KEYS_MOST) {
        fprintf(stderr, "poolgate: there are %u keys already, which is the most\n", KEYS_MOST);
        return EXIT_FAILURE;
    }
    if (count_valid(keys, key->name, key->created_s) >= KEYS_OF_A_NAME) {
        fprintf(stderr, "poolgate: %s has two valid keys already: revoke one by its id first\n",
                key->name);
        return EXIT_FAILURE;
    }
    assert(token != NULL);
    bool made = token_make(token, key->salt) && token_hash(token, key->salt, key->hash);
    memcpy(key->id, token->id, sizeof key->id);
    if (made && keys_add(keys, key) == OK) return -1;
    fprintf(stderr, "poolgate: a key cannot be made: out of memory or of random bytes\n");
    return EXIT_FAILURE;
}

static int revoke(struct keys *keys, const char *subject, uint32_t *count) {
    *count = 0;
    assert(subject != NULL); /* read_words has refused a call without one */
    for (size_t i = keys->count; i-- > 0;) {
        const struct api_key *key = keys->items[i];
        if (strcmp(key->name, subject) != 0 && strcmp(key->id, subject) != 0) continue;
        keys_remove(keys, i);
        ++*count;
    }
    if (*count > 0) return -1;
    fprintf(stderr, "poolgate: there is no key with the name or id %s\n", subject);
    return EXIT_FAILURE;
}

/* Read, changed and written under one lock. A new file begins with the first key. */
static int change(struct key_command *command, const char *path, struct token *token,
                  uint32_t *count) {
    char error[KEY_ERROR_BYTES];
    struct key_file_lock lock;
    struct keys *keys = NULL;
    bool adds = strcmp(command->verb, "add") == 0;
    if (key_file_lock(&lock, path, error) != OK) return complain(path, error);
    enum outcome outcome = key_file_read(&keys, path, error);
    if (outcome == NOT_FOUND && adds) outcome = keys_open(&keys);
    int status = outcome == OK ? -1 : complain(path, error);
    if (status < 0)
        status = adds ? add(keys, &command->key, token) : revoke(keys, command->subject, count);
    if (status < 0 && key_file_write(keys, path, &lock, error) != OK)
        status = complain(path, error);
    key_file_unlock(&lock);
    keys_free(keys);
    return status;
}

static int run_add(struct key_command *command, const char *path) {
    struct token token = {.id = ""};
    char text[TOKEN_DIGITS + 1];
    uint32_t count;
    int status = change(command, path, &token, &count);
    if (status < 0) {
        token_write(&token, text);
        setvbuf(stdout, NULL, _IONBF, 0); /* no copy of it stays behind */
        status = printf("%s\n", text) > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        fprintf(stderr, "poolgate: key %s for tenant %s, id %s; its token is shown this once\n",
                command->key.name, command->key.tenant, token.id);
    }
    token_forget(&token);
    explicit_bzero(text, sizeof text);
    return status;
}

static int run_revoke(struct key_command *command, const char *path) {
    uint32_t count = 0;
    int status = change(command, path, NULL, &count);
    if (status >= 0) return status;
    printf("%u key%s revoked\n", count, count == 1 ? "" : "s");
    return EXIT_SUCCESS;
}

/* --- the list --- */

static void write_scopes(const struct api_key *key, char text[32]) {
    text[0] = '\0';
    for (unsigned i = 0; i < KEY_SCOPE_COUNT; i++) {
        size_t used = strlen(text);
        if ((key->scopes & 1u << i) != 0)
            snprintf(text + used, 32 - used, "%s%s", used > 0 ? "," : "", key_scope_names[i]);
    }
}

static json_t *number_or_null(uint32_t number) {
    return number > 0 ? json_integer(number) : json_null();
}

static json_t *key_json(const struct api_key *key, uint64_t now_s) {
    char created[KEY_TIME_BYTES], expires[KEY_TIME_BYTES];
    json_t *scopes = json_array();
    key_time_write(key->created_s, created);
    key_time_write(key->expires_s, expires);
    for (unsigned i = 0; i < KEY_SCOPE_COUNT; i++)
        if ((key->scopes & 1u << i) != 0)
            json_array_append_new(scopes, json_string(key_scope_names[i]));
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:b, s:o, s:o, s:o, s:s}", "id", key->id,
                     "name", key->name, "tenant", key->tenant, "scopes", scopes, "created", created,
                     "expires", key->expires_s > 0 ? json_string(expires) : json_null(), "valid",
                     !key_expired(key, now_s), "rate", number_or_null(key->rate), "burst",
                     number_or_null(key->burst), "concurrency", number_or_null(key->concurrency),
                     "max_priority", priority_name(key->max_priority));
}

static void print_key(const struct api_key *key, uint64_t now_s) {
    char scopes[32], rate[32] = "-", places[16] = "-", expires[KEY_TIME_BYTES] = "never";
    write_scopes(key, scopes);
    if (key->rate > 0) snprintf(rate, sizeof rate, "%u/s+%u", key->rate, key->burst);
    if (key->concurrency > 0) snprintf(places, sizeof places, "%u", key->concurrency);
    if (key->expires_s > 0) key_time_write(key->expires_s, expires);
    printf("%-16s  %-20s %-20s %-17s %-15s %11s  %-8s %s%s\n", key->id, key->name, key->tenant,
           scopes, rate, places, priority_name(key->max_priority), expires,
           key_expired(key, now_s) ? " (expired)" : "");
}

static int run_list(const struct key_command *command, const char *path) {
    char error[KEY_ERROR_BYTES];
    struct keys *keys;
    uint64_t now_s = command->key.created_s;
    if (key_file_read(&keys, path, error) != OK) return complain(path, error);
    if (command->json) {
        json_t *list = json_array();
        for (size_t i = 0; i < keys->count; i++)
            json_array_append_new(list, key_json(keys->items[i], now_s));
        json_t *root = json_pack("{s:o}", "keys", list);
        json_dumpf(root, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(root);
    } else {
        printf("%-16s  %-20s %-20s %-17s %-15s %11s  %-8s %s\n", "ID", "NAME", "TENANT", "SCOPES",
               "RATE+BURST", "CONCURRENCY", "PRIORITY", "EXPIRES");
        for (size_t i = 0; i < keys->count; i++) print_key(keys->items[i], now_s);
    }
    keys_free(keys);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int command_key(int argc, char **argv) {
    struct key_command command;
    char path[PATH_MAX];
    int status = read_command(&command, argc, argv);
    if (status < 0) status = find_file(&command, path);
    if (status >= 0) return status;
    assert(command.verb != NULL); /* read_words has refused a call without one */
    if (strcmp(command.verb, "add") == 0) return run_add(&command, path);
    if (strcmp(command.verb, "revoke") == 0) return run_revoke(&command, path);
    return run_list(&command, path);
}
