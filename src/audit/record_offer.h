/* What a client's hello offers, as members of a record. Private to audit/: record.c.
 * Owns nothing. Lists are cut to the bytes that the caller gives them; it keeps the counts. */
#ifndef AUDIT_RECORD_OFFER_H
#define AUDIT_RECORD_OFFER_H

#include "audit/record.h"

#include "base/json.h"

enum offer_list {
    OFFER_SUITES,
    OFFER_VERSIONS,
    OFFER_GROUPS,
    OFFER_SCHEMES,
    OFFER_WEAK,
    OFFER_LISTS
};

/* The lists of one record. */
struct offer_lists {
    size_t room;                /* bytes for all of them together */
    size_t counts[OFFER_LISTS]; /* of all entries, left out or not */
    bool cut;                   /* some entries are left out */
};

/* The name of a suite, group or scheme, or its number if it has no name. */
void record_put_id(struct json *j, const char *key, const char *name, uint16_t id);
/* The SHA-256 of n bytes; nothing if the digest fails. */
void record_put_sha256(struct json *j, const char *key, const void *p, size_t n);
/* The members of tls.client; called before record_put_client() with the same lists. */
void record_put_tls_client(struct json *j, const struct hello *h, const char *ja4,
                           struct offer_lists *lists);
/* suitegate.client; if a list is cut, with the counts and the SHA-256 of the hello. */
void record_put_client(struct json *j, const struct hello *h, suite_set offered,
                       struct offer_lists *lists);
/* One of the two offers of a fallback. */
void record_put_offer(struct json *j, const char *key, const struct audit_offer *o);

#endif
