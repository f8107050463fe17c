#include "policy/outlook.h"

#include "policy/verdict.h"
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

/* Does the client offer all that this proxy would offer? Then a server that refuses the client
 * would refuse this proxy. */
static bool offers_all(const struct hello *h, suite_set allowed)
{
    if (verdict_offered(h, allowed) != allowed) return false;
    for (size_t i = 0; i < GROUP_COUNT; i++)
        if (!span_has_u16(h->groups, group_at(i))) return false;
    return true;
}

static const char other_offer[] =
    "The server refused the client's offer, which is not the one that this proxy would make.";

static struct outlook of_alert(const struct hello *h, suite_set allowed, const struct reply *reply,
                               bool same_name)
{
    if (record_version(reply->records.header) < TLS_1_2)
        return refuse(REASON_UPSTREAM_PROTOCOL_TOO_OLD);
    if (reply->alert == ALERT_PROTOCOL_VERSION) return refuse(REASON_UPSTREAM_PROTOCOL_REFUSED);
    if (!same_name || !offers_all(h, allowed)) return unknown(other_offer);
    if (reply->alert == ALERT_HANDSHAKE_FAILURE || reply->alert == ALERT_INSUFFICIENT_SECURITY)
        return refuse(REASON_UPSTREAM_NO_APPROVED_SUITE);
    return refuse(REASON_UPSTREAM_HANDSHAKE_FAILED);
}

/* An answer to what nobody asked for (RFC 5246 section 7.4.1.4). */
static bool answers_unasked(const struct hello *h, const struct reply *reply)
{
    for (size_t i = 0; i < reply->extension_count; i++) {
        uint16_t type = reply->extensions[i];
        bool asked = type == EXTENSION_RENEGOTIATION ? hello_offers_secure_renegotiation(h)
                                                     : hello_offers_extension(h, type);
        if (!asked) return true;
    }
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

/* What the server did wrong, whatever the offer. REASON_OK: nothing was seen. */
static enum reason fault_of(const struct hello *h, const struct reply *reply,
                            enum reason certificate)
{
    if (reply->version < TLS_1_2) return REASON_UPSTREAM_PROTOCOL_TOO_OLD;
    if (reply->version > TLS_1_2) return REASON_OK;
    if (reply->downgraded) return REASON_UPSTREAM_DOWNGRADE_MARKER;
    if (reply->compression != 0 || answers_unasked(h, reply))
        return REASON_UPSTREAM_SUITE_NOT_OFFERED;
    if (!reply->secure_renegotiation && hello_offers_secure_renegotiation(h))
        return REASON_UPSTREAM_NO_SECURE_RENEGOTIATION;
    if (reply->chain_cut) return REASON_UPSTREAM_CERTIFICATE_INVALID;
    if (reply->certificate_count > 0 && certificate != REASON_OK) return certificate;
    if (reply->alert >= 0)
        return reply->certificate_request ? REASON_UPSTREAM_WANTS_CLIENT_CERTIFICATE
                                          : REASON_UPSTREAM_HANDSHAKE_FAILED;
    bool lacks_key = cipher_has_curve(reply->suite) && reply->group == 0;
    if (!reply->done) return REASON_UPSTREAM_CLOSED_HANDSHAKE;
    return reply->certificate_count > 0 && lacks_key ? REASON_UPSTREAM_HANDSHAKE_FAILED : REASON_OK;
}

static struct outlook of_hello(const struct hello *h, suite_set allowed, const struct reply *reply,
                               enum reason certificate, bool same_name)
{
    if (!same_name)
        return unknown("The client names another host than this proxy would: what the server "
                       "answers to that was not seen.");
    enum reason fault = fault_of(h, reply, certificate);
    if (fault != REASON_OK) return refuse(fault);
    if (reply->version > TLS_1_2)
        return unknown("Both agreed on TLS 1.3: whether the server also takes TLS 1.2 with an "
                       "allowed suite, and its certificate, were not seen.");
    const char *why = foreign_choice(reply, allowed);
    if (why) return unknown(why);
    if (reply->certificate_count == 0)
        return unknown("The session was resumed: the server's certificate was not seen.");
    if (!reply->secure_renegotiation)
        return unknown("The client did not ask for secure renegotiation (RFC 5746), which this "
                       "proxy wants.");
    if (reply->certificate_request)
        return unknown("The server asks for a client certificate, which this proxy has not; "
                       "whether it insists was not seen.");
    return (struct outlook){.kind = OUTLOOK_PASS};
}

struct outlook outlook_of_reply(const struct hello *h, suite_set allowed, const struct reply *reply,
                                enum reason certificate, bool same_name)
{
    switch (reply->kind) {
    case REPLY_HELLO:
        return of_hello(h, allowed, reply, certificate, same_name);
    case REPLY_ALERT:
        return of_alert(h, allowed, reply, same_name);
    case REPLY_NOT_TLS:
    case REPLY_SSLV2:
        return refuse(REASON_UPSTREAM_NOT_TLS);
    case REPLY_NONE:
        return same_name && offers_all(h, allowed) ? refuse(REASON_UPSTREAM_CLOSED_HANDSHAKE)
                                                   : unknown(other_offer);
    default:
        return refuse(REASON_UPSTREAM_HANDSHAKE_FAILED);
    }
}
