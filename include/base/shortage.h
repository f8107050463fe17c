/* Counts this thread's failures to get memory: an error that they cause is ours, not the peer's.
 * Code that allocates for a connection notes each failure here. */
#ifndef BASE_SHORTAGE_H
#define BASE_SHORTAGE_H

void shortage_note(void);
/* How many so far; wraps. */
unsigned shortage_count(void);

#endif
