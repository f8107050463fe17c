/* Judges a parsed ClientHello against the policy. Pure: the same hello and policy always give the
 * same verdict. The order of precedence is a public interface. */
#ifndef POLICY_VERDICT_H
#define POLICY_VERDICT_H

#include "policy/hello.h"
#include "policy/policy.h"
#include "policy/reasons.h"

/* What a listener can present: key types, and the curve an ECDSA key is on. */
struct verdict_keys {
    bool has[KEY_TYPES];
    uint16_t ecdsa_group; /* supported_groups id of the ECDSA key's curve */
};

struct verdict {
    enum reason reason; /* REASON_OK: go on with `key` */
    /* What the handshake will agree on: the first allowed suite in the server's order that can be
     * used. NULL if there is none. */
    const struct suite *suite;
    enum key_type key; /* its key type */
    suite_set offered; /* of the allowed suites, those that the client offers */
};

struct verdict verdict_judge(const struct hello *h, const struct policy *policy,
                             const struct verdict_keys *keys);

/* The reason for a reader's or parser's final status; REASON_OK for HELLO_COMPLETE. */
enum reason verdict_of_status(enum hello_status status);

/* Of the policy's suites, those in the hello. */
suite_set verdict_offered(const struct hello *h, suite_set allowed);

#endif
