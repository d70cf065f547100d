/* Texts as embed reads them: a vector of unit length, or why not; the same text, the same bits. */
#include "tests/fuzz/fuzz.h"
#include "workers/embed/text_features.h"
#include "workers/embed/utf8.h"

#define DIMENSIONS 64

static bool decodes(const uint8_t *data, size_t size) {
    for (size_t at = 0, taken; at < size; at += taken) {
        uint32_t code_point;
        taken = utf8_decode(data + at, size - at, &code_point);
        if (taken == 0) return false;
        must(taken <= 4 && taken <= size - at && code_point <= 0x10ffff);
        must(codepoint_fold(codepoint_fold(code_point)) == codepoint_fold(code_point));
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    float vector[DIMENSIONS], again[DIMENSIONS];
    size_t words, same;
    const enum features_result result =
        features_embed((const char *)data, size, vector, DIMENSIONS, &words);
    must(decodes(data, size) == (result != FEATURES_NOT_UTF8));
    must(features_embed((const char *)data, size, again, DIMENSIONS, &same) == result);
    must(memcmp(vector, again, sizeof vector) == 0);
    double sum = 0;
    for (size_t i = 0; i < DIMENSIONS; i++) sum += (double)vector[i] * (double)vector[i];
    if (result == FEATURES_OK) must(words > 0 && words == same && sum > 0.999 && sum < 1.001);
    if (result != FEATURES_OK) must(sum == 0);
    return 0;
}
