/* A session's own struct: for tls/session.c, which runs it, and tls/io.c, which the library calls.
 */
#ifndef TLS_SESSION_IMPL_H
#define TLS_SESSION_IMPL_H

#include "pki/signing.h"
#include "pki/wolfcrypt.h"
#include "tls/session.h"

/* Of this side, made elsewhere. */
struct signature {
    struct signing_request request;
    bool given;
    uint8_t bytes[SIGNING_SIZE];
    size_t size; /* 0: it could not be made */
};

/* What only the handshake needs. */
struct handshake {
    struct flight flight;
    struct flight_offer offer;
    struct peer_check *check; /* of the peer's certificate; NULL: the client is not asked for one */
    struct ticket_scope tickets; /* server side; own NULL: none */
    struct client_flight client; /* server side */
    bool sent_certificate;       /* client side */
    struct signature *signature; /* NULL: none was asked for */
};

struct session {
    WOLFSSL *ssl;
    struct stream *stream;
    struct handshake *handshake; /* NULL once it is over */
    struct agreed agreed;
    size_t record_left;                   /* of the record that the library is reading */
    uint8_t record_header[RECORD_HEADER]; /* its header */
    bool protected;                       /* the peer's records are */
    int violation;                        /* the alert for what the library was not given, -1 */
    int error, alert_sent;
    bool short_of_memory; /* when the error came */
    bool is_server, established, closed_by_peer, failed, ended, sent_in_read;
};

#endif
