/* What to change on a server, with the exact setting of common products. Constant tables. */
#ifndef CHECK_ADVICE_H
#define CHECK_ADVICE_H

#include <stddef.h>

enum advice_topic {
    ADVICE_NONE,
    ADVICE_NAME,
    ADVICE_STARTTLS,
    ADVICE_PROTOCOLS,
    ADVICE_SUITES,
    ADVICE_GROUPS,
    ADVICE_SIGNATURES,
    ADVICE_COMPRESSION,
    ADVICE_CHAIN,
    ADVICE_CERTIFICATE,
    ADVICE_LIBRARY,
    ADVICE_TOPICS
};

struct advice {
    enum advice_topic topic;
    const char *product;
    const char *text; /* one line or several */
};

/* The rows of a topic: *n of them. */
const struct advice *advice_of(enum advice_topic topic, size_t *n);
/* "Protocols" ... */
const char *advice_topic_name(enum advice_topic topic);

#endif
