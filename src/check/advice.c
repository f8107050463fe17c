#include "check/advice.h"

#include "base/attr.h"

static const struct advice table[] = {
#define ADVICE(topic, product, text) {ADVICE_##topic, product, text},
#include "check/advice.def"
#undef ADVICE
};

const struct advice *advice_of(enum advice_topic topic, size_t *n)
{
    const struct advice *first = NULL;
    *n = 0;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (table[i].topic != topic) continue;
        if (!first) first = &table[i];
        (*n)++;
    }
    return first;
}

const char *advice_topic_name(enum advice_topic topic)
{
    static const char *const names[ADVICE_TOPICS] = {[ADVICE_NONE] = "",
                                                     [ADVICE_NAME] = "server name",
                                                     [ADVICE_STARTTLS] = "STARTTLS",
                                                     [ADVICE_PROTOCOLS] = "protocol versions",
                                                     [ADVICE_SUITES] = "cipher suites",
                                                     [ADVICE_GROUPS] = "groups",
                                                     [ADVICE_SIGNATURES] = "signature algorithms",
                                                     [ADVICE_COMPRESSION] = "compression",
                                                     [ADVICE_CHAIN] = "certificate chain",
                                                     [ADVICE_CERTIFICATE] = "certificate",
                                                     [ADVICE_LIBRARY] = "TLS library"};
    return names[topic];
}
