/* TLS records as they come over the wire, in any pieces (RFC 5246 section 6.2.1): headers are
 * reassembled, fragments returned as they come. Judges nothing and keeps no fragment. Pure. */
#ifndef POLICY_RECORDS_H
#define POLICY_RECORDS_H

#include "base/attr.h"
#include "base/reader.h"
#include "policy/wire.h"

struct records {
    uint8_t header[RECORD_HEADER];
    uint8_t header_size; /* bytes of it so far; RECORD_HEADER until the next one begins */
    size_t left;         /* bytes of the fragment that are still to come */
};

enum records_part {
    RECORDS_MORE,     /* all bytes are taken */
    RECORDS_HEADER,   /* the header is complete, its fragment follows */
    RECORDS_FRAGMENT, /* *fragment is a part of the current record's fragment */
};

/* Takes bytes from the front of *in up to the end of the next part. A zeroed struct is ready. */
WARN_UNUSED enum records_part records_next(struct records *r, struct span *in,
                                           struct span *fragment);

/* A fatal alert in plaintext, as a record of TLS 1.2. */
void record_write_alert(int description, uint8_t out[ALERT_RECORD_SIZE]);

/* header: complete. */
static inline uint16_t record_version(const uint8_t header[RECORD_HEADER])
{
    return (uint16_t)(header[1] << 8 | header[2]);
}

static inline size_t record_length(const uint8_t header[RECORD_HEADER])
{
    return (size_t)header[3] << 8 | header[4];
}

/* The body's length, from a handshake message's header (section 7.4). */
static inline size_t message_length(const uint8_t header[MESSAGE_HEADER])
{
    return (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3];
}

static inline bool record_type_is_known(uint8_t type)
{
    return type >= RECORD_CHANGE_CIPHER_SPEC && type <= RECORD_APPLICATION;
}

#endif
