#include "gateway/http/scale.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define SHAPE "{\"min\": ..., \"max\": ...}, either may be missing"

static enum outcome read_member(uint32_t *out, const char *name, const json_t *value,
                                uint32_t least, uint32_t most, char flaw[SCALE_FLAW_BYTES]) {
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number >= least && number <= most) {
        *out = (uint32_t)number;
        return OK;
    }
    snprintf(flaw, SCALE_FLAW_BYTES, "%s is not a whole number from %u to %u, the pool's slots.max",
             name, least, most);
    return INVALID_REQUEST;
}

static enum outcome read_members(struct scale *out, json_t *object, uint32_t max_now, uint32_t most,
                                 char flaw[SCALE_FLAW_BYTES]) {
    const json_t *min = json_object_get(object, "min"), *max = json_object_get(object, "max");
    size_t known = (size_t)(min != NULL) + (size_t)(max != NULL);
    if (known == 0 || json_object_size(object) != known) {
        snprintf(flaw, SCALE_FLAW_BYTES, "the body has no member or others than these: " SHAPE);
        return INVALID_REQUEST;
    }
    enum outcome outcome = OK;
    if (min != NULL) outcome = read_member(&out->min, "min", min, 0, most, flaw);
    if (outcome == OK && max != NULL) outcome = read_member(&out->max, "max", max, 1, most, flaw);
    uint32_t bound = max != NULL ? out->max : max_now;
    if (outcome != OK || min == NULL || out->min <= bound) return outcome;
    snprintf(flaw, SCALE_FLAW_BYTES, "min is above max, which is %s%u", max == NULL ? "now " : "",
             bound);
    return INVALID_REQUEST;
}

enum outcome scale_read(struct scale *out, const char *text, size_t bytes, uint32_t max_now,
                        uint32_t most, char flaw[SCALE_FLAW_BYTES]) {
    *out = (struct scale){POOL_KEEP, POOL_KEEP};
    flaw[0] = '\0';
    json_t *object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
    enum outcome outcome = INVALID_REQUEST;
    if (json_is_object(object))
        outcome = read_members(out, object, max_now, most, flaw);
    else
        snprintf(flaw, SCALE_FLAW_BYTES, "the body is not a JSON object; allowed: " SHAPE);
    json_decref(object);
    return outcome;
}
