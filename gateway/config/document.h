/* document - one YAML document in memory.
 * thread: the owner's.
 * owns:   its nodes; document_close releases them.
 * fails:  INVALID_REQUEST: the text is no single YAML document, or nested deeper than
 *         DOCUMENT_DEPTH, which was reported; MEMORY_EXHAUSTED. Then nothing is open.
 *
 * An alias is the node of its anchor, so nodes may form cycles: whoever walks them must be bounded
 * by something else, as the schema is. */
#ifndef GATEWAY_CONFIG_DOCUMENT_H
#define GATEWAY_CONFIG_DOCUMENT_H

#include "core/base/outcome.h"
#include "gateway/config/report.h"

#include <stdbool.h>
#include <yaml.h>

#define DOCUMENT_DEPTH 64

struct document {
    yaml_document_t yaml;
    struct origin origin; /* of its start */
};

/* prefix and path name the key that the text belongs to. */
enum outcome document_open(struct document *document, struct report *report,
                           const struct origin *origin, const char *prefix, const char *path,
                           const char *text, size_t bytes);
void document_close(struct document *document);

yaml_node_t *document_root(struct document *document); /* null where the text is empty */
yaml_node_t *document_node(struct document *document, int index);
/* Where a node begins: its line in a file, else just the origin. */
struct origin document_origin(const struct document *document, const yaml_node_t *node);
/* The text of a scalar; NULL for lists, maps and what contains a zero byte. */
const char *document_text(const yaml_node_t *node);
/* Nothing was written, or null in one of YAML's spellings. */
bool document_is_null(const yaml_node_t *node);
/* What a person calls the node: "a list", "a map", or the scalar in quotes. */
struct quoted document_describe(const yaml_node_t *node);

#endif
