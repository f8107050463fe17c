/* SOCKS version 5 (RFC 1928): what a client sends before its connection is made, and the answers.
 * Pure functions on bytes. */
#ifndef POLICY_SOCKS_H
#define POLICY_SOCKS_H

#include "base/attr.h"
#include "policy/target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum socks_status { SOCKS_MORE, SOCKS_OK, SOCKS_BAD };

/* Answers to a request (section 6). */
enum socks_reply {
    SOCKS_SUCCEEDED,
    SOCKS_FAILURE,
    SOCKS_NOT_ALLOWED,
    SOCKS_NETWORK_UNREACHABLE,
    SOCKS_HOST_UNREACHABLE,
    SOCKS_REFUSED,
    SOCKS_TTL_EXPIRED,
    SOCKS_COMMAND_NOT_SUPPORTED,
    SOCKS_ADDRESS_NOT_SUPPORTED,
};

/* The first message (section 3): which methods of authentication the client offers. SOCKS_OK: *used
 * is its length; *without: it offers "no authentication". SOCKS_BAD: it is not SOCKS 5. */
WARN_UNUSED enum socks_status socks_parse_methods(const uint8_t *p, size_t n, size_t *used,
                                                  bool *without);

/* The request (section 4). SOCKS_OK: *used is its length. SOCKS_BAD: `why` is a static sentence,
 * *reply the answer, and `t` what could be read of the destination, host "" otherwise. */
WARN_UNUSED enum socks_status socks_parse_request(const uint8_t *p, size_t n, size_t *used,
                                                  struct target *t, enum socks_reply *reply,
                                                  const char **why);

/* The choice of "no authentication", or of no method. */
enum { SOCKS_CHOICE_SIZE = 2 };
void socks_write_choice(bool accepted, uint8_t out[SOCKS_CHOICE_SIZE]);
/* The bound address is given as 0.0.0.0:0, as clients of CONNECT ignore it. */
enum { SOCKS_REPLY_SIZE = 10 };
void socks_write_reply(enum socks_reply reply, uint8_t out[SOCKS_REPLY_SIZE]);

#endif
