/* uninitialized - for large variables on a request's way that are written before they are read. Release builds
 *                 clear every other variable when its function begins (-ftrivial-auto-var-init=zero);
 *                 clearing these would cost more than what is done with them.
 * thread: any.
 * owns:   nothing.
 * fails:  never. */
#ifndef CORE_BASE_UNINITIALIZED_H
#define CORE_BASE_UNINITIALIZED_H

#define UNINITIALIZED __attribute__((uninitialized))

#endif
