/* Targets: what is decoded has one spelling, and no room is needed beyond the target's. */
#include "gateway/http/path.h"
#include "gateway/text_rules.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *target = text_of(data, size), *out = malloc(size + 2), small[8];
    must(out != NULL);
    const char *flaw, *other;
    const enum outcome outcome = path_decode(target, out, size + 2, &flaw);
    must((flaw != NULL) == (outcome == INVALID_REQUEST));
    if (outcome == OK) {
        must(strlen(out) <= size + 1 && (out[0] == '/' || strcmp(out, "*") == 0));
        must(text_valid(out, strlen(out)) && strstr(out, "//") == NULL);
        must(strstr(out, "/../") == NULL && strstr(out, "/./") == NULL);
    }
    if (path_decode(target, small, sizeof small, &other) == OK)
        must(outcome == OK && strcmp(small, out) == 0);
    free(target);
    free(out);
    return 0;
}
