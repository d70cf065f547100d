/* pattern - what a text of the configuration has to look like.
 * thread: any.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_CONFIG_PATTERN_H
#define GATEWAY_CONFIG_PATTERN_H

#include <stdbool.h>

typedef bool pattern_fn(const char *text);

bool pattern_text(const char *text);        /* UTF-8 without control characters */
bool pattern_path(const char *text);        /* any bytes but control characters */
bool pattern_pool_name(const char *text);   /* 1 to 63 of a-z, 0-9 and - */
bool pattern_plugin_name(const char *text); /* 1 to 63 of a-z, 0-9, _ and - */
bool pattern_variable(const char *text);    /* the name of an environment variable */
bool pattern_url(const char *text);         /* http:// or https:// and something behind it */
bool pattern_network(const char *text);     /* an address, or one with the bits of its prefix */
bool pattern_cpus(const char *text);        /* any, auto, or a list such as 0-3,8 */

#endif
