/* Judges a peer's certificate chain: finds a path to a trusted CA through the certificates sent,
 * with every link signed, valid (pki/path.h) and not revoked, and compares an upstream's name (RFC
 * 9525). It alone decides: the TLS library verifies nothing.
 * A struct trust belongs to one thread; a struct peer_check to one handshake. */
#ifndef PKI_TRUST_H
#define PKI_TRUST_H

#include "base/text.h"
#include "pki/cert.h"
#include "pki/path.h"
#include "policy/flight.h"
#include "policy/reasons.h"

/* The system's roots, where Debian keeps them. */
#define TRUST_SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

struct trust;

/* anchors: PEM text of trusted CAs; crls: PEM text or NULL. NULL with a sentence in errors. */
WARN_UNUSED struct trust *trust_new(const struct text *anchors, const char *anchors_name,
                                    const struct text *crls, const char *crls_name,
                                    unsigned minimum_rsa_bits, struct text *errors);
void trust_free(struct trust *trust);
/* When the first of the anchors expires. */
time_t trust_anchor_expiry(const struct trust *trust);
/* When the first CRL expires, 0 without one. */
time_t trust_crl_expiry(const struct trust *trust);
/* The issuer of each CRL that is not an anchor's, as RFC 4514 text, one per line. */
void trust_strange_crls(const struct trust *trust, struct text *out);

/* What the record says about a peer's certificate. cert_facts_fini() frees it. */
struct cert_facts {
    char *subject, *issuer; /* RFC 4514; NULL: no certificate seen */
    char serial[CERT_SERIAL_TEXT];
    enum cert_key key;
    time_t not_before, not_after;
    time_t valid_until; /* of the whole path and its CRLs; 0: not verified */
    char sha256[65];
    bool present;
};
void cert_facts_fini(struct cert_facts *facts);
WARN_UNUSED bool cert_facts_copy(struct cert_facts *to, const struct cert_facts *from);

struct peer_check {
    struct trust *trust;
    enum path_purpose purpose;
    const char *identity; /* an upstream's DNS name or IP address, as text; NULL for a client */
    bool is_ip;
    enum reason reason; /* the first fault; of REASON_UPSTREAM_... also for a client */
    const char *fault;  /* a static sentence with details, or NULL */
    bool verified;      /* the leaf passed everything */
    bool called;        /* a certificate was judged */
    struct cert_facts facts;
};

/* chain: the certificates as sent, the leaf first and the others in any order; more than
 * FLIGHT_CHAIN_LIMIT are refused. True: go on. A second call returns the first answer. */
WARN_UNUSED bool trust_judge(struct peer_check *check, const struct span *chain, size_t n);

/* For a handshake that failed with a library error outside any certificate callback: the
 * reason when the error is about certificates, else REASON_OK. */
enum reason trust_reason_of_error(int error);

#endif
