/* handlers - what a route can do with a request; one constant table of functions each.
 * thread: the HTTP thread's.
 * owns:   nothing.
 * fails:  begin and body refuse through exchange_refuse. */
#ifndef GATEWAY_HTTP_HANDLERS_H
#define GATEWAY_HTTP_HANDLERS_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

struct exchange;

struct handler {
    bool probe;                       /* answered also when all places for clients are taken */
    void (*begin)(struct exchange *); /* the headers are there; may be NULL */
    void (*body)(struct exchange *, const char *data, size_t bytes); /* NULL: it is not read */
    enum MHD_Result (*complete)(struct exchange *); /* all of it is there: reply or suspend */
    enum MHD_Result (*answered)(struct exchange *); /* resumed: reply */
    void (*end)(struct exchange *);                 /* however it ended; may be NULL */
};

extern const struct handler handler_invoke;
extern const struct handler handler_pools, handler_pool, handler_slots;
extern const struct handler handler_load, handler_unload, handler_drain, handler_pause,
    handler_resume, handler_scale;
extern const struct handler handler_quarantine, handler_kick, handler_delete;
extern const struct handler handler_request, handler_cancel;
extern const struct handler handler_livez, handler_readyz, handler_startupz, handler_healthz;
extern const struct handler handler_metrics, handler_openapi, handler_events;

#endif
