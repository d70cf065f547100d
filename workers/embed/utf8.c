#include "utf8.h"

struct range {
    uint32_t first, last;
};

static bool in_ranges(const struct range *ranges, size_t count, uint32_t code_point) {
    for (size_t i = 0; i < count; i++)
        if (code_point >= ranges[i].first && code_point <= ranges[i].last) return true;
    return false;
}
#define IN_RANGES(ranges, code_point)                                                              \
    in_ranges(ranges, sizeof ranges / sizeof ranges[0], code_point)

/* The well-formed sequences, table 3-7 of the Unicode standard, by their first byte. Only the second
 * byte's bounds vary; those after it run from 0x80 to 0xBF. */
static const struct sequence {
    unsigned char first, last;
    unsigned char bytes, mask; /* mask: what the first byte adds to the code point */
    unsigned char second_min, second_max;
} sequences[] = {
    {0x00, 0x7F, 1, 0x7F, 0, 0},       {0xC2, 0xDF, 2, 0x1F, 0x80, 0xBF},
    {0xE0, 0xE0, 3, 0x0F, 0xA0, 0xBF}, {0xE1, 0xEC, 3, 0x0F, 0x80, 0xBF},
    {0xED, 0xED, 3, 0x0F, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x0F, 0x80, 0xBF},
    {0xF0, 0xF0, 4, 0x07, 0x90, 0xBF}, {0xF1, 0xF3, 4, 0x07, 0x80, 0xBF},
    {0xF4, 0xF4, 4, 0x07, 0x80, 0x8F},
};

static const struct sequence *sequence_of(unsigned char first) {
    for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++)
        if (first >= sequences[i].first && first <= sequences[i].last) return &sequences[i];
    return NULL;
}

size_t utf8_decode(const unsigned char *text, size_t bytes, uint32_t *code_point) {
    const struct sequence *sequence = sequence_of(text[0]);
    if (sequence == NULL || sequence->bytes > bytes) return 0;
    uint32_t decoded = text[0] & sequence->mask;
    for (size_t i = 1; i < sequence->bytes; i++) {
        unsigned char min = i == 1 ? sequence->second_min : 0x80;
        unsigned char max = i == 1 ? sequence->second_max : 0xBF;
        if (text[i] < min || text[i] > max) return 0;
        decoded = decoded << 6 | (text[i] & 0x3F);
    }
    *code_point = decoded;
    return sequence->bytes;
}

/* From first to last, every step-th code point is a capital; its small letter is add away. */
static const struct folding {
    uint16_t first, last;
    int16_t add;
    uint16_t step;
} foldings[] = {
    {0x0041, 0x005A, 32, 1},                            /* A to Z */
    {0x00B5, 0x00B5, 775, 1},                           /* the micro sign is a mu */
    {0x00C0, 0x00D6, 32, 1},   {0x00D8, 0x00DE, 32, 1}, /* Latin-1 */
    {0x0100, 0x012E, 1, 2},    {0x0132, 0x0136, 1, 2},    {0x0139, 0x0147, 1, 2}, /* Extended-A */
    {0x014A, 0x0176, 1, 2},    {0x0178, 0x0178, -121, 1}, {0x0179, 0x017D, 1, 2},
    {0x017F, 0x017F, -268, 1}, /* the long s is an s */
    {0x0370, 0x0372, 1, 2},    {0x0376, 0x0376, 1, 1},    {0x037F, 0x037F, 116, 1}, /* Greek */
    {0x0386, 0x0386, 38, 1},   {0x0388, 0x038A, 37, 1},   {0x038C, 0x038C, 64, 1},
    {0x038E, 0x038F, 63, 1},   {0x0391, 0x03A1, 32, 1},   {0x03A3, 0x03AB, 32, 1},
    {0x03C2, 0x03C2, 1, 1}, /* a final sigma is a sigma; more letters with two shapes follow */
    {0x03CF, 0x03CF, 8, 1},    {0x03D0, 0x03D0, -30, 1},  {0x03D1, 0x03D1, -25, 1},
    {0x03D5, 0x03D5, -15, 1},  {0x03D6, 0x03D6, -22, 1},  {0x03D8, 0x03EE, 1, 2},
    {0x03F0, 0x03F0, -54, 1},  {0x03F1, 0x03F1, -48, 1},  {0x03F4, 0x03F4, -60, 1},
    {0x03F5, 0x03F5, -64, 1},  {0x03F7, 0x03F7, 1, 1},    {0x03F9, 0x03F9, -7, 1},
    {0x03FA, 0x03FA, 1, 1},    {0x03FD, 0x03FF, -130, 1}, {0x0400, 0x040F, 80, 1},
    {0x0410, 0x042F, 32, 1},   {0x0460, 0x0480, 1, 2}, /* Cyrillic */
    {0x048A, 0x04BE, 1, 2},    {0x04C0, 0x04C0, 15, 1},   {0x04C1, 0x04CD, 1, 2},
    {0x04D0, 0x052E, 1, 2},
};

uint32_t codepoint_fold(uint32_t code_point) {
    if (code_point < 0x80)
        return code_point >= 'A' && code_point <= 'Z' ? code_point + 32 : code_point;
    for (size_t i = 0; i < sizeof foldings / sizeof foldings[0]; i++) {
        const struct folding *folding = &foldings[i];
        if (code_point < folding->first || code_point > folding->last) continue;
        if ((code_point - folding->first) % folding->step != 0) continue;
        return (uint32_t)((int32_t)code_point + folding->add);
    }
    return code_point;
}

bool codepoint_in_word(uint32_t code_point) {
    static const struct range apart[] = {
        {0x0080, 0x00A9}, {0x00AB, 0x00B1}, {0x00B4, 0x00B4}, {0x00B6, 0x00B8}, /* Latin-1 signs */
        {0x00BB, 0x00BB}, {0x00BF, 0x00BF}, {0x00D7, 0x00D7}, {0x00F7, 0x00F7}, {0x037E, 0x037E},
        {0x0387, 0x0387},                                                       /* Greek */
        {0x0589, 0x058A}, {0x05BE, 0x05BE}, {0x060C, 0x060C}, {0x061B, 0x061F}, /* Near East */
        {0x066A, 0x066D}, {0x06D4, 0x06D4}, {0x0964, 0x0965}, {0x1680, 0x1680}, {0x2000, 0x200B},
        {0x200E, 0x206F}, {0x2190, 0x23FF}, {0x2500, 0x25FF},                   /* general */
        {0x2E00, 0x2E7F}, {0x3000, 0x3004}, {0x3008, 0x3020}, {0x3030, 0x3030}, /* East Asia */
        {0x303D, 0x303F}, {0x30FB, 0x30FB}, {0xFE30, 0xFE6F}, {0xFEFF, 0xFEFF}, {0xFF01, 0xFF0F},
        {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65}, {0xFFF9, 0xFFFF},
    };
    if (code_point < 0x80)
        return (code_point >= 'a' && code_point <= 'z') ||
               (code_point >= 'A' && code_point <= 'Z') || (code_point >= '0' && code_point <= '9');
    return !IN_RANGES(apart, code_point);
}

bool codepoint_is_word(uint32_t code_point) {
    static const struct range alone[] = {
        {0x3005, 0x3007}, {0x3041, 0x3096}, {0x30A1, 0x30FA},   {0x3400, 0x4DBF},
        {0x4E00, 0x9FFF}, {0xF900, 0xFAFF}, {0x20000, 0x3FFFF},
    };
    return code_point >= 0x3005 && IN_RANGES(alone, code_point);
}
