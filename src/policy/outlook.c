#include "policy/outlook.h"

#include "policy/wire.h"

const char *outlook_kind_name(enum outlook_kind kind)
{
    static const char *const names[] = {
        [OUTLOOK_PASS] = "pass", [OUTLOOK_REFUSE] = "refuse", [OUTLOOK_UNKNOWN] = "unknown"};
    return names[kind];
}

static struct outlook refuse(enum reason reason)
{
    return (struct outlook){.kind = OUTLOOK_REFUSE, .reason = reason};
}

static struct outlook unknown(const char *why)
{
    return (struct outlook){.kind = OUTLOOK_UNKNOWN, .why = why};
}

/* The server refuses what the client offers, which has all that this proxy would offer of it. */
static struct outlook of_alert(const struct reply *reply)
{
    if (record_version(reply->records.header) < TLS_1_2)
        return refuse(REASON_UPSTREAM_PROTOCOL_TOO_OLD);
    switch (reply->alert) {
    case ALERT_PROTOCOL_VERSION:
        return refuse(REASON_UPSTREAM_PROTOCOL_REFUSED);
    case ALERT_HANDSHAKE_FAILURE:
    case ALERT_INSUFFICIENT_SECURITY:
        return refuse(REASON_UPSTREAM_NO_APPROVED_SUITE);
    default:
        return refuse(REASON_UPSTREAM_HANDSHAKE_FAILED);
    }
}

/* Did the client ask for it (RFC 5746 section 3.4)? */
static bool offers_renegotiation_info(const struct hello *h)
{
    if (h->has_renegotiation) return true;
    for (size_t i = 0; i < h->cipher_suites.n / 2; i++)
        if (span_u16(h->cipher_suites, i) == SCSV_RENEGOTIATION) return true;
    return false;
}

/* A choice that this proxy's own offer would not have left to the server. */
static const char *foreign_choice(const struct reply *reply, suite_set allowed)
{
    const struct suite *suite = suite_by_id(reply->suite);
    const struct scheme *scheme = scheme_by_id(reply->scheme);
    if (!suite || !(allowed & suite_bit(suite)))
        return "The server chose a suite that is not allowed; whether it also has an allowed one "
               "was not seen.";
    if (reply->group && !group_allowed(reply->group))
        return "The server chose a group that is not allowed; whether it also has an allowed one "
               "was not seen.";
    if (reply->scheme && (!scheme || scheme->verdict != SCHEME_ALLOWED))
        return "The server signed with a scheme that is not allowed; whether it also has an "
               "allowed one was not seen.";
    return NULL;
}

bool outlook_needs_certificate(const struct reply *reply)
{
    return reply->kind == REPLY_HELLO && reply->version == TLS_1_2 && reply->certificate_count > 0;
}

static struct outlook of_hello(const struct hello *h, suite_set allowed, const struct reply *reply,
                               enum reason certificate)
{
    if (reply->version < TLS_1_2) return refuse(REASON_UPSTREAM_PROTOCOL_TOO_OLD);
    if (reply->version > TLS_1_2)
        return unknown("Both agreed on TLS 1.3: whether the server also takes TLS 1.2 with an "
                       "allowed suite, and its certificate, were not seen.");
    if (reply->compression != 0) return refuse(REASON_UPSTREAM_SUITE_NOT_OFFERED);
    if (!reply->secure_renegotiation && offers_renegotiation_info(h))
        return refuse(REASON_UPSTREAM_NO_SECURE_RENEGOTIATION);
    if (reply->certificate_count > 0 && certificate != REASON_OK) return refuse(certificate);
    const char *why = foreign_choice(reply, allowed);
    if (why) return unknown(why);
    if (reply->certificate_count == 0)
        return unknown("The session was resumed or broke off: the server's certificate was not "
                       "seen.");
    if (reply->certificate_request)
        return unknown("The server asks for a client certificate, which this proxy has not; "
                       "whether it insists was not seen.");
    return (struct outlook){.kind = OUTLOOK_PASS};
}

struct outlook outlook_of_reply(const struct hello *h, suite_set allowed, const struct reply *reply,
                                enum reason certificate)
{
    switch (reply->kind) {
    case REPLY_HELLO:
        return of_hello(h, allowed, reply, certificate);
    case REPLY_ALERT:
        return of_alert(reply);
    case REPLY_NOT_TLS:
    case REPLY_SSLV2:
        return refuse(REASON_UPSTREAM_NOT_TLS);
    case REPLY_NONE:
        return refuse(REASON_UPSTREAM_CLOSED_HANDSHAKE);
    default:
        return refuse(REASON_UPSTREAM_HANDSHAKE_FAILED);
    }
}
