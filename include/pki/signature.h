/* Verifies a signature over DER with a certificate's public key: ECDSA, RSA PKCS #1 and
 * RSA-PSS with SHA-256 or better, nothing else. All cryptography is wolfCrypt's. */
#ifndef PKI_SIGNATURE_H
#define PKI_SIGNATURE_H

#include "pki/cert.h"
#include "pki/keys.h"

/* algorithm: the content of the AlgorithmIdentifier; signature: the BIT STRING's bytes. */
WARN_UNUSED bool signature_valid(struct span data, struct span algorithm, struct span signature,
                                 const struct cert *signer);

/* The same by a scheme of TLS that the policy allows (RFC 8446 section 4.2.3); false for others. */
WARN_UNUSED bool signature_of_scheme_valid(uint16_t scheme, struct span data, struct span signature,
                                           const struct cert *signer);

/* ECDSA with SHA-256 over data, as DER (RFC 3279 section 2.2.3). The key must be an ECDSA key. */
enum { SIGNATURE_SIZE = 80 };
WARN_UNUSED bool signature_make(const struct private_key *key, struct span data,
                                uint8_t out[SIGNATURE_SIZE], size_t *n);
/* The same, verified with a SubjectPublicKeyInfo. */
WARN_UNUSED bool signature_of_key_valid(struct span spki, struct span data, struct span signature);

#endif
