/* What a judgement consists of. Private to check/. */
#ifndef CHECK_FINDING_H
#define CHECK_FINDING_H

#include "check/judge.h"

/* Where the next item goes. */
struct judged_at {
    struct judgement *judgement;
    unsigned address; /* its bit */
};

/* One that is there already gets this address as well. */
void finding_add(const struct judged_at *at, enum item_kind kind, const char *code,
                 const char *subject, enum advice_topic topic, const char *format, ...)
    PRINTF(6, 7);

/* The proxy's sentences are about an upstream; here it is the server. */
enum { FINDING_SENTENCE = 256 };
const char *finding_sentence(enum reason r, char out[FINDING_SENTENCE]);

/* Was a connection with this suite established, but for a certificate of ours? */
bool scan_is_proved(const struct scan_approved *a);
/* With any approved suite? */
bool scan_any_proved(const struct scan *s);

#endif
