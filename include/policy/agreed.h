/* What a TLS handshake has agreed on, and the product's promise: nothing outside the policy is
 * used. Pure: the facts are copied out of the TLS library, which has no say here. */
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

/* Asked after every handshake of either leg, a resumed one included: TLS 1.2, one of these suites,
 * one of the allowed groups where one was negotiated, and a peer that is proved. proved: this
 * side has verified what it has to verify of the peer, or has done so in the handshake in which the
 * session that is resumed began. */
WARN_UNUSED bool agreed_is_allowed(const struct agreed *a, suite_set allowed, bool proved);

#endif
