#include "policy/reasons.h"

#include "base/attr.h"

#include <assert.h>
#include <string.h>

#define NONE REASON_ALERT_NONE
#define AS_SENT REASON_ALERT_AS_SENT

static const struct reason_row rows[REASON_COUNT] = {
#define REASON(name, code, leg, alert, http, error, blame, downgrade, sentence, remedy) \
    [REASON_##name] = {code, leg, alert, http, error, blame, downgrade, sentence, remedy},
#include "policy/reasons.def"
#undef REASON
};

const struct reason_row *reason_row(enum reason r)
{
    assert(r > REASON_OK && r < REASON_COUNT);
    return &rows[r];
}

/* What each alert means about our certificate, and what to do. Go sends 42 for every fault, Java
 * 46, also for an unknown CA. */
#define TRUST                                                                                      \
    "nstall the CA that issued it in the client's trust store (suitegate ca show names the local " \
    "one)."
static const struct rejection {
    int alert;
    const char *sentences, *remedy;
} rejections[] = {
#define REJECTION(alert, says, remedy)                          \
    {                                                           \
        alert, "The client says that " says ". " remedy, remedy \
    }
    REJECTION(42, "the certificate is bad",
              "See the client's own log; check the name, dates and chain, and i" TRUST),
    REJECTION(43, "the certificate is of a type that it does not support",
              "Give the listener one for serverAuth with a key that the client supports."),
    REJECTION(44, "the certificate is revoked", "Replace the listener's certificate."),
    REJECTION(45, "the certificate has expired",
              "Renew the listener's certificate or its CA, or set the client's clock."),
    REJECTION(46, "it cannot take the certificate, and not why",
              "See the client's own log; most often it does not know the CA: i" TRUST),
    REJECTION(48, "it does not know the certificate's CA", "I" TRUST),
#undef REJECTION
};
#undef TRUST

static const struct rejection *rejection_by(int alert)
{
    for (size_t i = 0; i < COUNT_OF(rejections); i++)
        if (rejections[i].alert == alert) return &rejections[i];
    return NULL;
}

const char *reason_rejection(int alert)
{
    const struct rejection *found = rejection_by(alert);
    return found ? found->sentences : NULL;
}

const char *reason_remedy(enum reason r, int alert)
{
    const struct rejection *found = NULL;
    if (r == REASON_CLIENT_REJECTED_CERTIFICATE) found = rejection_by(alert);
    return found ? found->remedy : reason_row(r)->remedy;
}

bool reason_is_certificate(enum reason r)
{
    return r >= REASON_UPSTREAM_CERTIFICATE_EXPIRED && r <= REASON_UPSTREAM_CERTIFICATE_INVALID;
}

enum reason reason_by_code(const char *code)
{
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++)
        if (strcmp(rows[r].code, code) == 0) return (enum reason)r;
    return REASON_OK;
}

const char *reason_leg_name(enum reason_leg leg)
{
    static const char *const names[] = {"client", "upstream", "either"};
    return names[leg];
}

const char *reason_blame_name(enum reason_blame blame)
{
    static const char *const names[] = {"client", "upstream", "operator"};
    return names[blame];
}

const char *reason_downgrade_name(enum reason_downgrade downgrade)
{
    static const char *const names[] = {"no", "yes", "unknown", "possible"};
    return names[downgrade];
}

struct number_name {
    int number;
    const char *name;
};

static const char *name_of(const struct number_name *table, size_t n, int number)
{
    for (size_t i = 0; i < n; i++)
        if (table[i].number == number) return table[i].name;
    return "unknown";
}

const char *reason_alert_name(int description)
{
    static const struct number_name names[] = {
        {0, "close_notify"},
        {10, "unexpected_message"},
        {20, "bad_record_mac"},
        {21, "decryption_failed"},
        {22, "record_overflow"},
        {30, "decompression_failure"},
        {40, "handshake_failure"},
        {41, "no_certificate"},
        {42, "bad_certificate"},
        {43, "unsupported_certificate"},
        {44, "certificate_revoked"},
        {45, "certificate_expired"},
        {46, "certificate_unknown"},
        {47, "illegal_parameter"},
        {48, "unknown_ca"},
        {49, "access_denied"},
        {50, "decode_error"},
        {51, "decrypt_error"},
        {60, "export_restriction"},
        {70, "protocol_version"},
        {71, "insufficient_security"},
        {80, "internal_error"},
        {86, "inappropriate_fallback"},
        {90, "user_canceled"},
        {100, "no_renegotiation"},
        {109, "missing_extension"},
        {110, "unsupported_extension"},
        {112, "unrecognized_name"},
        {113, "bad_certificate_status_response"},
        {116, "certificate_required"},
        {120, "no_application_protocol"},
    };
    return name_of(names, COUNT_OF(names), description);
}

const char *reason_http_phrase(unsigned status)
{
    static const struct number_name names[] = {
        {200, "Connection established"}, {400, "Bad Request"},       {403, "Forbidden"},
        {500, "Internal Server Error"},  {502, "Bad Gateway"},       {503, "Service Unavailable"},
        {504, "Gateway Timeout"},        {429, "Too Many Requests"},
    };
    return name_of(names, COUNT_OF(names), (int)status);
}
