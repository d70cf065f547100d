/* Targets: what is decoded has no control bytes, begins with a slash, and no room is needed beyond the target's. */
#include "gateway/http/path.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *target = text_of(data, size), *out = malloc(size + 2), small[8];
    must(out != NULL);
    const enum outcome outcome = path_decode(target, out, size + 2);
    if (outcome == OK) {
        must(strlen(out) <= size + 1 && (out[0] == '/' || strcmp(out, "*") == 0));
        for (const char *at = out; *at != '\0'; at++) must((uint8_t)*at >= 0x20 && *at != 0x7f);
    }
    if (path_decode(target, small, sizeof small) == OK)
        must(outcome == OK && strcmp(small, out) == 0);
    free(target);
    free(out);
    return 0;
}
