/* The listening sockets that a proxy was given for its next load of the configuration. */
#ifndef SERVE_GIVEN_H
#define SERVE_GIVEN_H

#include "base/attr.h"
#include "runtime/loaded_config.h"

struct given_socket;

/* Embedded in its owner; zeroed. */
struct given {
    struct given_socket *items;
    size_t n;
};

/* Takes fd. One for which there is no memory will be missing. */
void given_add(struct given *g, size_t listener, size_t worker, int fd);
/* One of them, which becomes the caller's; -1: there is none. That of [operate] is behind the last
 * listener. */
WARN_UNUSED int given_take(struct given *g, size_t listener, size_t worker);
/* Closes what nobody has taken. */
void given_drop(struct given *g);

/* Sets the listeners' real addresses. False with a sentence in errors when one has no socket. */
WARN_UNUSED bool given_set_addresses(const struct given *g, struct loaded_config *loaded,
                                     struct text *errors);
/* The sockets of one worker, one per listener of n, to who takes some of them and sets them to -1;
 * -1 where there is none. given_return() gets back the others. */
void given_lend(const struct given *g, size_t worker, int *sockets, size_t n);
void given_return(struct given *g, size_t worker, const int *sockets, size_t n);

#endif
