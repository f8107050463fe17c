/* The library's callbacks, as tls/context.c sets them. */
#ifndef TLS_IO_H
#define TLS_IO_H

#include "pki/wolfcrypt.h"

int session_receive_callback(WOLFSSL *ssl, char *buffer, int size, void *context);
int session_send_callback(WOLFSSL *ssl, char *buffer, int size, void *context);
int session_verify_callback(int ok, WOLFSSL_X509_STORE_CTX *store);
int session_parsed_callback(WOLFSSL *ssl, struct DecodedCert *cert);
int session_ticket_callback(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ],
                            unsigned char iv[WOLFSSL_TICKET_IV_SZ],
                            unsigned char tag[WOLFSSL_TICKET_MAC_SZ], int seal,
                            unsigned char *ticket, int size, int *result_size, void *context);

#endif
