/* tree - carries YAML into a draft, along the schema.
 * thread: the owner's.
 * owns:   nothing; what it keeps is copied into the draft's arena.
 * fails:  MEMORY_EXHAUSTED. Mistakes are reported and passed over, so that all of them are found.
 *         Depth is the schema's, whatever the document does. */
#ifndef GATEWAY_CONFIG_TREE_H
#define GATEWAY_CONFIG_TREE_H

#include "gateway/config/document.h"
#include "gateway/config/draft.h"

enum outcome tree_set_defaults(struct draft *draft, struct scope *scope);
/* A map with the members of a group; "" is the whole scope. */
enum outcome tree_set_group(struct draft *draft, struct scope *scope, struct document *document,
                            yaml_node_t *node, const char *group);
/* A known key or group from a text outside of a document: scalars as they are, lists and maps as
 * YAML. */
enum outcome tree_set_text(struct draft *draft, struct scope *scope, const char *path,
                           const struct origin *origin, const char *text);

#endif
