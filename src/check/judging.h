/* What the files that judge a scan share. Private to check/. */
#ifndef CHECK_JUDGING_H
#define CHECK_JUDGING_H

#include "check/judge.h"

/* Where the next item goes. */
struct place {
    struct judgement *judgement;
    unsigned address; /* its bit */
};

/* One that is there already gets this address as well. */
void judging_add(const struct place *at, enum item_kind kind, const char *code, const char *subject,
                 enum advice_topic topic, const char *format, ...) PRINTF(6, 7);

/* The gate's sentences are about an upstream; here it is the server. */
enum { JUDGING_SENTENCE = 256 };
const char *judging_sentence(enum reason r, char out[JUDGING_SENTENCE]);

/* Did a connection with an approved suite stand? */
bool judging_any_proved(const struct scan *s);

/* certificates.c: what is wrong with each. name: what they have to be for. */
void judging_certificates(const struct place *at, const struct scan *s, const char *name);
/* Its key is of a kind that no approved suite goes with, so that no handshake comes about. */
bool judging_key_is_foreign(const struct scan_certificate *c);

#endif
