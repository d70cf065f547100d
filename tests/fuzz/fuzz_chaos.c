/* The text of --chaos. */
#include "core/policy/chaos.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = text_of(data, size), error[CHAOS_ERROR_BYTES] = "";
    struct chaos_options options;
    struct chaos chaos;
    if (chaos_parse(&options, text, error) == OK) {
        for (int fault = 0; fault < CHAOS_NONE; fault++)
            must(options.faults[fault].rate <= 1000000);
        chaos_open(&chaos, &options, 1, 1);
        for (int i = 0; i < 8; i++) must(chaos_on_request(&chaos) <= CHAOS_NONE);
    } else {
        must(strlen(error) > 0);
    }
    free(text);
    return 0;
}
