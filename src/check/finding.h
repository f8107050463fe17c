/* Builds a judgement. Private to check/. */
#ifndef CHECK_FINDING_H
#define CHECK_FINDING_H

#include "check/judge.h"

/* The place for the next item. */
struct judged_at {
    struct judgement *judgement;
    unsigned address; /* its bit */
};

/* An item that exists already gets this address too. */
void finding_add(const struct judged_at *at, enum item_kind kind, const char *code,
                 const char *subject, enum advice_topic topic, const char *format, ...)
    PRINTF(6, 7);

/* The proxy's sentence, with "server" instead of "upstream". */
enum { FINDING_SENTENCE = 256 };
const char *finding_sentence(enum reason r, char out[FINDING_SENTENCE]);

/* Was a connection with this suite established, or would it have been with a client certificate? */
bool scan_is_proved(const struct scan_approved *a);
/* The same for any approved suite. */
bool scan_any_proved(const struct scan *s);

#endif
