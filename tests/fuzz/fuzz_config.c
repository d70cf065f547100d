/* The configuration: a file; behind each NUL an argument of --set. */
#include "gateway/config/config.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#define SETTINGS 8

static int write_file(const uint8_t *data, size_t size, char path[64]) {
    const int file = memfd_create("config", MFD_CLOEXEC);
    must(file >= 0 && (size == 0 || write(file, data, size) == (ssize_t)size));
    must(lseek(file, 0, SEEK_SET) == 0);
    snprintf(path, 64, "/proc/self/fd/%d", file);
    return file;
}

static void load(const struct config_source *source) {
    struct config *config = NULL;
    char *lines = NULL;
    size_t bytes = 0;
    FILE *errors = open_memstream(&lines, &bytes);
    must(errors != NULL);
    const enum outcome outcome = config_load(&config, source, errors);
    fclose(errors);
    must(outcome == OK || outcome == INVALID_REQUEST);
    must((config != NULL) == (outcome == OK));
    if (outcome == INVALID_REQUEST) must(bytes > 0);
    config_free(config);
    free(lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64], *settings[SETTINGS + 1] = {NULL};
    const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
    const size_t file_bytes = end != NULL ? (size_t)(end - data) : size;
    struct tape tape = tape_of(data + file_bytes, size - file_bytes);
    for (size_t i = 0; i < SETTINGS && tape_more(&tape); i++) {
        tape_byte(&tape);
        const uint8_t *next = memchr(tape.at, 0, (size_t)(tape.end - tape.at));
        size_t bytes;
        const size_t most = (size_t)((next != NULL ? next : tape.end) - tape.at);
        const uint8_t *at = tape_bytes(&tape, most, &bytes);
        settings[i] = text_of(at, bytes);
    }
    const int file = write_file(data, file_bytes, path);
    load(&(struct config_source){
        .file = path, .settings = (const char *const *)settings, .allow_chaos = true});
    close(file);
    for (size_t i = 0; i < SETTINGS; i++) free(settings[i]);
    return 0;
}
