/* What a TLS handshake has agreed on, and the check of the product's promise: nothing outside the
 * policy is used. Pure: the facts are copied out of the TLS library, which decides nothing here. */
#ifndef POLICY_AGREED_H
#define POLICY_AGREED_H

#include "policy/flight.h"
#include "policy/policy.h"

struct agreed {
    uint16_t version, suite, group; /* group: 0 in an abbreviated handshake */
    bool resumed;                   /* an abbreviated handshake (RFC 5246 section 7.3) */
    bool extended_master_secret, encrypt_then_mac, speaks_tls13;
    char alpn[FLIGHT_ALPN_SIZE]; /* "": none */
};

/* HTTP/2 with a suite that it forbids (RFC 9113 section 9.2.2). */
bool agreed_is_h2_with_cbc(const struct agreed *a);

/* Checked after every handshake of either leg, a resumed one included: TLS 1.2, one of these
 * suites, an allowed group where one was negotiated, and an authenticated peer. proved: this side
 * has verified what it has to verify of the peer, now or in the handshake that began the resumed
 * session. */
WARN_UNUSED bool agreed_is_allowed(const struct agreed *a, suite_set allowed, bool proved);

#endif
