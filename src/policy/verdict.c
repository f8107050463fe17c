#include "policy/verdict.h"

enum reason verdict_of_status(enum hello_status status)
{
    switch (status) {
    case HELLO_HTTP:
        return REASON_CLIENT_PLAINTEXT_HTTP;
    case HELLO_NOT_TLS:
        return REASON_CLIENT_NOT_TLS;
    case HELLO_SSLV2:
        return REASON_CLIENT_SSLV2_HELLO;
    case HELLO_MALFORMED:
        return REASON_CLIENT_MALFORMED_HELLO;
    case HELLO_TOO_LARGE:
    case HELLO_TOO_MANY_SUITES:
    case HELLO_TOO_MANY_EXTENSIONS:
        return REASON_CLIENT_HELLO_TOO_LARGE;
    case HELLO_NO_MEMORY:
        return REASON_INTERNAL_ERROR;
    case HELLO_MORE:
    case HELLO_COMPLETE:
        break;
    }
    return REASON_OK;
}

suite_set verdict_offered(const struct hello *h, suite_set allowed)
{
    suite_set offered = 0;
    for (size_t i = 0; i < h->cipher_suites.n / 2; i++) {
        const struct suite *s = suite_by_id(span_u16(h->cipher_suites, i));
        if (s) offered |= suite_bit(s);
    }
    return offered & allowed;
}

static enum reason judge_version(const struct hello *h)
{
    /* TLS 1.2 itself is negotiated by the old field (RFC 5246 section 7.4.1.2). */
    if (h->highest_version < TLS_1_2 || h->legacy_version < TLS_1_2)
        return REASON_CLIENT_PROTOCOL_TOO_OLD;
    bool has_1_2 = !h->has_versions || span_has_u16(h->supported_versions, TLS_1_2);
    return has_1_2 ? REASON_OK : REASON_CLIENT_TLS13_ONLY;
}

static bool has_byte(struct span s, uint8_t value)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == value) return true;
    return false;
}

/* Without the extension the server may choose freely (RFC 8422 section 4). */
static bool offers_group(const struct hello *h, uint16_t wanted)
{
    return !h->has_groups || span_has_u16(h->groups, wanted);
}

static bool offers_any_group(const struct hello *h)
{
    for (size_t i = 0; i < GROUP_COUNT; i++)
        if (offers_group(h, group_at(i))) return true;
    return false;
}

static bool offers_scheme(const struct hello *h, enum key_type key)
{
    for (size_t i = 0; i < h->schemes.n / 2; i++) {
        const struct scheme *s = scheme_by_id(span_u16(h->schemes, i));
        if (s && s->verdict == SCHEME_ALLOWED && s->key == key) return true;
    }
    return false;
}

/* Fills in the key type; suites and schemes decide first, then what the listener has. */
static enum reason judge_key(const struct hello *h, const struct verdict_keys *keys,
                             struct verdict *v)
{
    bool signable = false;
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if (!(v->offered & suite_bit(&suites[i]))) continue;
        enum key_type key = suites[i].key;
        if (!offers_scheme(h, key)) continue;
        signable = true;
        if (!keys->has[key]) continue;
        /* An ECDSA certificate's curve has to be among the groups (RFC 8422 section 5.1). */
        if (key == KEY_ECDSA && !offers_group(h, keys->ecdsa_group)) continue;
        v->key = key;
        v->suite = &suites[i];
        return REASON_OK;
    }
    return signable ? REASON_CLIENT_NO_USABLE_CERTIFICATE : REASON_CLIENT_NO_COMMON_SIGNATURE;
}

static enum reason judge(const struct hello *h, const struct policy *policy,
                         const struct verdict_keys *keys, struct verdict *v)
{
    if (h->fallback_scsv && h->highest_version < TLS_1_2) return REASON_CLIENT_FALLBACK;
    enum reason reason = judge_version(h);
    if (reason != REASON_OK) return reason;
    if (!has_byte(h->compression, 0)) return REASON_CLIENT_COMPRESSION_ONLY;
    v->offered = verdict_offered(h, policy->allowed);
    if (!v->offered) return REASON_CLIENT_NO_APPROVED_SUITE;
    if (!offers_any_group(h)) return REASON_CLIENT_NO_COMMON_GROUP;
    if (h->has_point_formats && !has_byte(h->point_formats, 0))
        return REASON_CLIENT_BAD_POINT_FORMAT;
    reason = judge_key(h, keys, v);
    if (reason != REASON_OK) return reason;
    /* RFC 5746 section 3.6: a first hello carries an empty renegotiated_connection. */
    if (h->renegotiation.n > 0) return REASON_CLIENT_RENEGOTIATION;
    return REASON_OK;
}

struct verdict verdict_judge(const struct hello *h, const struct policy *policy,
                             const struct verdict_keys *keys)
{
    struct verdict v = {.key = KEY_NONE};
    v.reason = judge(h, policy, keys, &v);
    return v;
}
