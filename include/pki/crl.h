/* Certificate revocation lists (RFC 5280 section 5) by issuer. Only certificates of issuers that
 * have a list here are checked; a list counts if it is current and signed by the issuer's own key.
 * A list with a critical extension (a delta, a shard) can revoke a certificate but never clear it.
 * A struct crl_set belongs to one thread; it owns its bytes. */
#ifndef PKI_CRL_H
#define PKI_CRL_H

#include "base/text.h"
#include "pki/cert.h"

enum crl_answer { CRL_PASS, CRL_REVOKED, CRL_UNKNOWN };

struct crl_set;

/* From the PEM text of a file; NULL with a sentence in errors. */
WARN_UNUSED struct crl_set *crl_set_new(const struct text *pem, const char *name,
                                        struct text *errors);
void crl_set_free(struct crl_set *set);

/* May c, issued by issuer, be used now? A NULL set passes everything. *until is lowered to the time
 * when the answer expires. */
enum crl_answer crl_check(struct crl_set *set, const struct cert *c, const struct cert *issuer,
                          time_t now, time_t *until);

/* When this list (DER) was made, and when it expires. False when it cannot be read. */
WARN_UNUSED bool crl_times(struct span der, time_t *this_update, time_t *next_update);

/* Is it a CRL (DER) that this CA has signed? */
bool crl_is_of(struct span der, const struct cert *issuer);

/* The issuer's Name of each list. */
void crl_each_issuer(const struct crl_set *set, void (*each)(void *arg, struct span issuer),
                     void *arg);

/* When the first list expires; 0 without lists. For a warning to the operator. */
time_t crl_first_expiry(const struct crl_set *set);

#endif
