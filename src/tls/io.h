/* The library's callbacks, as tls/context.c sets them. */
#ifndef TLS_IO_H
#define TLS_IO_H

#include "pki/wolfcrypt.h"

int session_receive_callback(WOLFSSL *ssl, char *buffer, int size, void *context);
int session_send_callback(WOLFSSL *ssl, char *buffer, int size, void *context);
int session_verify_callback(int ok, WOLFSSL_X509_STORE_CTX *store);
int session_parsed_callback(WOLFSSL *ssl, struct DecodedCert *cert);
/* Signatures (tls/sign.c). */
int session_ecdsa_callback(WOLFSSL *ssl, const unsigned char *in, unsigned size, unsigned char *out,
                           word32 *out_size, const unsigned char *key, unsigned key_size,
                           void *context);
int session_rsa_callback(WOLFSSL *ssl, const unsigned char *in, unsigned size, unsigned char *out,
                         word32 *out_size, const unsigned char *key, unsigned key_size,
                         void *context);
int session_pss_callback(WOLFSSL *ssl, const unsigned char *in, unsigned size, unsigned char *out,
                         unsigned *out_size, int hash, int mgf, const unsigned char *key,
                         unsigned key_size, void *context);
int session_rsa_check_callback(WOLFSSL *ssl, unsigned char *signature, unsigned size,
                               unsigned char **out, const unsigned char *key, unsigned key_size,
                               void *context);
int session_pss_check_callback(WOLFSSL *ssl, unsigned char *signature, unsigned size,
                               unsigned char **out, int hash, int mgf, const unsigned char *key,
                               unsigned key_size, void *context);
int session_ticket_callback(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ],
                            unsigned char iv[WOLFSSL_TICKET_IV_SZ],
                            unsigned char tag[WOLFSSL_TICKET_MAC_SZ], int seal,
                            unsigned char *ticket, int size, int *result_size, void *context);

#endif
