/* Verifies a signature over DER with a certificate's public key: ECDSA, RSA PKCS #1 and
 * RSA-PSS with SHA-256 or better, nothing else. All cryptography is wolfCrypt's. */
#ifndef PKI_SIGNATURE_H
#define PKI_SIGNATURE_H

#include "pki/cert.h"

/* algorithm: the content of the AlgorithmIdentifier; signature: the BIT STRING's bytes. */
WARN_UNUSED bool signature_valid(struct span data, struct span algorithm, struct span signature,
                                 const struct cert *signer);

#endif
