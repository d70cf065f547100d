/* request_queue - every live request of a pool: waiting in order, out at a slot, or following another.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   its tenants and groups; borrows the requests between add and finish.
 * fails:  request_queue_init, request_queue_add: MEMORY_EXHAUSTED (a new tenant's or key's record); add
 *         leaves the request outside then. Nothing else: its room is the pool's permits.
 *
 * Order among those that wait (first of them: request_queue_first):
 *   1. effective class: its own, promoted one step for each full aging_ns waited since it was added;
 *   2. between tenants of the best class, deficit round robin (Shreedhar and Varghese 1995) on service
 *      time, per class: a tenant is debited its own mean run when a request is taken, and corrected by
 *      what the run really took when it is finished; debts outlive an empty line, credit does not;
 *   3. arrival; or, while newest_first is set, the reverse.
 * With fair off all requests count as one tenant's. A request that goes back after a crash keeps its
 * rank and its age. Deadlines expire requests, they never reorder them.
 *
 * Bound of ageing: with fair off and newest_first off, whatever is added later than
 * priority × aging_ns after a request never overtakes it: by then it is critical, and among the critical
 * arrival decides. With fair on the same holds within each tenant.
 *
 * add, take, return, finish, inherit, raise, place, and each promotion: O(log n). first: O(1) when nobody
 * is due for promotion. Nothing is O(tenants) per request. */
#ifndef CORE_POLICY_REQUEST_QUEUE_H
#define CORE_POLICY_REQUEST_QUEUE_H

#include "core/base/list.h"
#include "core/base/outcome.h"
#include "core/base/request.h"
#include "core/policy/deadlines.h"
#include "core/policy/queue_groups.h"
#include "core/policy/queue_order.h"

struct queue_options {
    size_t room;       /* how many requests may be live at once */
    uint64_t aging_ns; /* 0: no promotion */
    bool fair;
    const struct tenant_weight *weights; /* the caller's, as long as they are in use */
    size_t weights_count;
    uint32_t batch_max; /* above 1: requests are grouped by batch_key */
    uint64_t seed;      /* unknown to clients: tenants' names and batch keys are hashed with it */
};

struct request_queue {
    struct queue_options options;
    uint32_t by_priority[PRIORITY_COUNT];  /* waiting, by their own class */
    uint32_t by_effective[PRIORITY_COUNT]; /* waiting, by the class they have now */
    uint32_t waiting, live;
    uint32_t tenants_live; /* with live requests */
    bool newest_first;
    struct deadlines deadlines; /* of all live requests that have one */
    struct request **by_id;     /* buckets, chained through next_by_id */
    size_t buckets;             /* a power of two */
    uint64_t arrivals;
    struct queue_order *order;   /* tenants, lines, ageing, turns */
    struct queue_groups *groups; /* batch keys; NULL when batch_max is 1 */
};

enum outcome request_queue_init(struct request_queue *queue, const struct queue_options *options);
void request_queue_free(struct request_queue *queue); /* nothing may be live */
/* Other numbers from now on: aging_ns, fair and weights; who waits keeps its age. */
void request_queue_tune(struct request_queue *queue, const struct queue_options *options);

enum outcome request_queue_add(struct request_queue *queue, struct request *request,
                               uint64_t now_ns);
/* Live without a place of its own: known by id and by deadline, counted for its tenant. Fails as add. */
enum outcome request_queue_follow(struct request_queue *queue, struct request *follower,
                                  uint64_t now_ns);
/* A follower takes over: it waits in line (with the rank and age of the leader if it was added later),
 * or is out at the slot where its leader was. It waits with its own class, by that age. Both are of one
 * tenant. The leader must be finished by the caller afterwards. */
void request_queue_inherit_line(struct request_queue *queue, struct request *leader,
                                struct request *heir, uint64_t now_ns);
void request_queue_inherit_slot(struct request_queue *queue, struct request *leader,
                                struct request *heir);
/* This is its own class from now on, if it is higher (an identical request joined it); its age stays.
 * One that is out takes effect when it comes back. */
void request_queue_raise(struct request_queue *queue, struct request *request,
                         enum priority priority, uint64_t now_ns);

/* Who is next; NULL when nobody waits. Promotes whoever is due. The same until something changes. */
struct request *request_queue_first(struct request_queue *queue, uint64_t now_ns);
/* The oldest of all that wait; NULL when nobody does. For codel. */
struct request *request_queue_oldest(const struct request_queue *queue);
/* It goes to a slot: leaves its line, stays live; its tenant is debited. */
void request_queue_take(struct request_queue *queue, struct request *request, uint64_t now_ns);
/* It comes back from a slot that had not begun it: waits again, at its old rank and age; the debit is
 * given back. */
void request_queue_return(struct request_queue *queue, struct request *request, uint64_t now_ns);
/* It comes back from a slot that was lost with it: the same, but its tenant pays what the run took. */
void request_queue_retry(struct request_queue *queue, struct request *request, uint64_t ran_ns,
                         uint64_t now_ns);
/* It is answered: no longer live. run_ns: what its run took, corrects the debit; 0 if it never ran. */
void request_queue_finish(struct request_queue *queue, struct request *request, uint64_t run_ns,
                          uint64_t now_ns);

/* --- batches ---------------------------------------------------------------------------------------- */

/* The waiting requests that may go with it: the same batch_key, itself first, then by class and arrival;
 * solo ones never (`solo` must not change while it waits). Returns how many were written, from 1 to
 * `most`. */
size_t request_queue_batch(struct request_queue *queue, struct request *leader,
                           struct request **out, size_t most);
/* The best request of a group that is ripe: batch_max of them wait, its oldest has waited delay_ns, or the
 * earliest deadline in it is less than spare_ns away. `first` itself when its group is ripe. NULL: none
 * is; *ripe_ns then says when the next one will be (CLOCK_NEVER: nobody waits). */
struct request *request_queue_ripe(struct request_queue *queue, uint64_t delay_ns,
                                   uint64_t spare_ns, uint64_t now_ns, uint64_t *ripe_ns);

/* --- looking ---------------------------------------------------------------------------------------- */

struct request *request_queue_find(const struct request_queue *queue, uint64_t id);
/* A live request whose deadline has passed, earliest first; NULL if there is none. */
struct request *request_queue_expired(const struct request_queue *queue, uint64_t now_ns);
/* CLOCK_NEVER when no live request has a deadline. */
uint64_t request_queue_next_deadline(const struct request_queue *queue);
/* Its place in its tenant's line of its class: 1 is next, the newest while newest_first is set; 0 when it
 * does not wait. */
uint64_t request_queue_place(const struct request_queue *queue, const struct request *request);
/* How many requests that wait go to a slot before this one, which waits, as far as can be known now. */
uint64_t request_queue_before(const struct request_queue *queue, const struct request *request);
/* How many requests go to a slot before a newcomer of this class and tenant: all of better classes, in
 * its own class its tenant's and the turns of the others meanwhile. tenant NULL: all, the worst case. */
uint64_t request_queue_ahead(const struct request_queue *queue, const char *tenant,
                             enum priority priority);
/* The tenants with live requests, those with the most first; returns how many were written. */
size_t request_queue_tenants(const struct request_queue *queue, struct tenant_facts *out,
                             size_t most, uint64_t now_ns);

#endif
