/* The publish listeners: plain HTTP with fixed paths (serve/publication.h), each served by a thread
 * of its own (serve/http.h). For the main thread. */
#ifndef SERVE_PUBLISHER_H
#define SERVE_PUBLISHER_H

#include "runtime/loaded_config.h"

struct publisher;

/* Connections of one listener at once, each with a descriptor. */
enum { PUBLISHER_CONNECTIONS = 1024 };

/* Begins the listeners that old (may be NULL) does not have; they answer at once. sockets: it takes
 * those of its listeners, which become -1. NULL with sentences in errors. Without a publish
 * listener it has nothing to do. */
WARN_UNUSED struct publisher *publisher_new(struct loaded_config *loaded, int *sockets,
                                            const struct publisher *old, struct text *errors);
/* Takes over what both have, and ends and frees the old one. */
void publisher_take_over(struct publisher *p, struct publisher *old);
/* Accepts no more; requests that have begun are answered. No effect for NULL, as the next two. */
void publisher_drain(struct publisher *p);
/* After that: gives them a moment. */
void publisher_settle(const struct publisher *p);
void publisher_free(struct publisher *p);

#endif
