/* Failures of this thread to get memory, counted: what fails for want of it is our own failure, not
 * a peer's. Whoever asks the system for memory on behalf of a connection notes them here. */
#ifndef BASE_SHORTAGE_H
#define BASE_SHORTAGE_H

void shortage_note(void);
/* How many so far; wraps. */
unsigned shortage_count(void);

#endif
