#include "gateway/http/forwarded.h"

#include <string.h>

static bool is_blank(char letter) {
    return letter == ' ' || letter == '\t';
}

struct address forwarded_client(const struct edge *edge, const struct address *peer,
                                const char *list) {
    struct address client = *peer, next;
    if (list == NULL) return client;
    const char *end = list + strlen(list);
    /* Each proxy has added who it heard of to the end, so it is read from there, while it is believed. */
    while (edge_trusts(edge, &client)) {
        const char *begin = end;
        while (begin > list && begin[-1] != ',') begin--;
        const char *text = begin;
        while (text < end && is_blank(*text)) text++;
        while (end > text && is_blank(end[-1])) end--;
        if (!address_read(&next, text, (size_t)(end - text))) break;
        client = next;
        if (begin == list) break;
        end = begin - 1;
    }
    return client;
}
