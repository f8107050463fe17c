/* What enforcing would have made of a connection that was only observed. Pure: the client's hello
 * and the server's plaintext answer to it in, an outlook out. */
#ifndef POLICY_OUTLOOK_H
#define POLICY_OUTLOOK_H

#include "policy/hello.h"
#include "policy/policy.h"
#include "policy/reasons.h"
#include "policy/reply.h"

enum outlook_kind { OUTLOOK_PASS, OUTLOOK_REFUSE, OUTLOOK_UNKNOWN };
const char *outlook_kind_name(enum outlook_kind kind); /* "pass" ... */

struct outlook {
    enum outlook_kind kind;
    enum reason reason; /* of a refusal */
    const char *why;    /* a static sentence, or NULL */
};

/* h: a hello that the policy allows. certificate: the verdict on the certificates of the reply,
 * which must be `done` unless the server has ended the connection. same_name: the client names the
 * host that this proxy would name. The server answered the client's own offer: what it would choose
 * of another one is not always known. */
struct outlook outlook_of_reply(const struct hello *h, suite_set allowed, const struct reply *reply,
                                enum reason certificate, bool same_name);

/* Does the reply have certificates that decide? */
bool outlook_needs_certificate(const struct reply *reply);

#endif
