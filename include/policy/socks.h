/* SOCKS version 5 (RFC 1928) and its login with user name and password (RFC 1929), both sides: what
 * precedes the connection, and the answers. Pure functions on bytes. */
#ifndef POLICY_SOCKS_H
#define POLICY_SOCKS_H

#include "base/attr.h"
#include "base/reader.h"
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

/* Methods of authentication (section 3); numbers of the wire. */
enum socks_method { SOCKS_WITHOUT = 0, SOCKS_LOGIN = 2, SOCKS_NO_METHOD = 0xff };

/* The client's first message (section 3). SOCKS_OK: *used is its length; *without, *login: it
 * offers this method. SOCKS_BAD: it is not SOCKS 5. */
WARN_UNUSED enum socks_status socks_parse_methods(const uint8_t *p, size_t n, size_t *used,
                                                  bool *without, bool *login);

/* The login (RFC 1929 section 2). SOCKS_OK: *used is its length; the spans are views. */
WARN_UNUSED enum socks_status socks_parse_login(const uint8_t *p, size_t n, size_t *used,
                                                struct span *user, struct span *password);

/* The request (section 4). SOCKS_OK: *used is its length. SOCKS_BAD: `why` is a static sentence,
 * *reply the answer, and `t` what could be read of the destination, host "" otherwise. */
WARN_UNUSED enum socks_status socks_parse_request(const uint8_t *p, size_t n, size_t *used,
                                                  struct target *t, enum socks_reply *reply,
                                                  const char **why);

enum { SOCKS_CHOICE_SIZE = 2 };
void socks_write_choice(enum socks_method method, uint8_t out[SOCKS_CHOICE_SIZE]);
void socks_write_login_answer(bool accepted, uint8_t out[SOCKS_CHOICE_SIZE]);
/* The bound address is given as 0.0.0.0:0, as clients of CONNECT ignore it. */
enum { SOCKS_REPLY_SIZE = 10 };
void socks_write_reply(enum socks_reply reply, uint8_t out[SOCKS_REPLY_SIZE]);

/* The client's side. Writers return the length. */
enum { SOCKS_METHODS_SIZE = 4, SOCKS_LOGIN_SIZE = 3 + 2 * 255, SOCKS_REQUEST_SIZE = 7 + 255 };
size_t socks_write_methods(bool with_login, uint8_t out[SOCKS_METHODS_SIZE]);
/* Both have 1 to 255 bytes. */
size_t socks_write_login(const char *user, const char *password, uint8_t out[SOCKS_LOGIN_SIZE]);
size_t socks_write_request(const struct target *t, uint8_t out[SOCKS_REQUEST_SIZE]);
/* SOCKS_OK: *used is the length, and *method, *accepted or *reply what the server said. */
WARN_UNUSED enum socks_status socks_parse_choice(const uint8_t *p, size_t n, size_t *used,
                                                 uint8_t *method);
WARN_UNUSED enum socks_status socks_parse_login_answer(const uint8_t *p, size_t n, size_t *used,
                                                       bool *accepted);
WARN_UNUSED enum socks_status socks_parse_reply(const uint8_t *p, size_t n, size_t *used,
                                                uint8_t *reply);
/* "connection refused"; "reply 99" is not among them: NULL. */
const char *socks_reply_name(uint8_t reply);

#endif
