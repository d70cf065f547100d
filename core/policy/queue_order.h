/* queue_order - who goes before whom among those that wait: classes that age, tenants that take turns.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   the tenants and their lines; borrows the requests between admit and dismiss.
 * fails:  queue_order_init, queue_order_admit: MEMORY_EXHAUSTED, nothing has changed then.
 *
 * A request of own class o that was promoted k times is promoted next at queued_ns + (k + 1) * aging;
 * all of the same o and k stand in one set by arrival, so the next to promote is first in one of them.
 * Between tenants: deficit round robin, its rounds taken as small as the clock's step. A tenant that
 * took `run` is in debt for `run` rounds; instead of going around the ring until somebody has credit,
 * the tenants stand in a heap by the round in which their debt is paid, and the round jumps there (the
 * start-time fair queueing of Goyal, Vin and Cheng 1996 arrives at the same order from the other side).
 * So no tenant is visited in vain, however many there are and however their runs differ. A tenant of weight
 * w owes a w-th of what it took: it gets w parts where another gets one. Each class has
 * its own rounds: what a tenant got as critical is not held against what it asks for as low. */
#ifndef CORE_POLICY_QUEUE_ORDER_H
#define CORE_POLICY_QUEUE_ORDER_H

#include "core/policy/tenants.h"

struct queue_order {
    struct tenants tenants;
    struct tenant everybody;            /* in whose lines all stand while fair is off */
    struct heap turns[PRIORITY_COUNT];  /* seats with a line, by effective class */
    uint64_t rounds_ns[PRIORITY_COUNT]; /* the round that each class is in */
    uint64_t weights[PRIORITY_COUNT];   /* of all who sit in them, added */
    uint64_t seatings;
    struct ranked ages[PRIORITY_COUNT][PRIORITY_COUNT]; /* own class, effective class: by arrival */
    uint64_t due_ns;                                    /* nobody is to be promoted before */
    uint64_t aging_ns;                                  /* 0: never */
    bool fair;
};

enum outcome queue_order_init(struct queue_order *order, size_t room, uint64_t seed);
void queue_order_free(struct queue_order *order); /* nobody may be live */
/* Who waits keeps its turn; what is taken from now on counts by these. */
void queue_order_weigh(struct queue_order *order, const struct tenant_weight *weights,
                       size_t count);
/* While nobody waits. */
void queue_order_tune(struct queue_order *order, uint64_t aging_ns, bool fair);

/* Gives a request that becomes live its tenant's account. */
enum outcome queue_order_admit(struct queue_order *order, struct request *request);
void queue_order_dismiss(struct queue_order *order, struct request *request);
/* Its class, own and promoted, by its age. */
enum priority queue_order_class(const struct queue_order *order, const struct request *request,
                                uint64_t now_ns);
/* It stands in its tenant's line of its effective class, or does no longer. */
void queue_order_enter(struct queue_order *order, struct request *request);
void queue_order_leave(struct queue_order *order, struct request *request);
/* Somebody who waits in a class below the one its age has earned; NULL when nobody does. */
struct request *queue_order_due(struct queue_order *order, uint64_t now_ns);
/* The next of a class in which somebody waits. */
struct request *queue_order_first(const struct queue_order *order, enum priority effective,
                                  bool newest_first);
struct request *queue_order_oldest(const struct queue_order *order); /* NULL: nobody waits */

/* Its tenant pays what its run may take; gets that back; or pays what it really took. */
void queue_order_debit(struct queue_order *order, struct request *request);
void queue_order_refund(struct queue_order *order, struct request *request);
void queue_order_settle(struct queue_order *order, struct request *request, uint64_t run_ns,
                        uint64_t now_ns);

/* Its place in its line, 1 is next; and how many of its class go before it, its line's and others'. */
uint64_t queue_order_place(const struct queue_order *order, const struct request *request,
                           bool newest_first);
uint64_t queue_order_before(const struct queue_order *order, const struct request *request,
                            bool newest_first);
/* How many of this class go before a newcomer of that tenant; NULL: all of them. */
uint64_t queue_order_ahead(const struct queue_order *order, const char *tenant,
                           enum priority effective);

#endif
