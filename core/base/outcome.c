#include "core/base/outcome.h"

static const char *const codes[] = {
#define OUTCOME_CODE(name, code, title) [name] = (code),
    OUTCOMES(OUTCOME_CODE)};
static const char *const titles[] = {
#define OUTCOME_TITLE(name, code, title) [name] = (title),
    OUTCOMES(OUTCOME_TITLE)};

const char *outcome_code(enum outcome outcome) {
    return (unsigned)outcome < OUTCOME_COUNT ? codes[outcome] : "?";
}

const char *outcome_title(enum outcome outcome) {
    return (unsigned)outcome < OUTCOME_COUNT ? titles[outcome] : "?";
}
