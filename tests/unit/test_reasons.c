/* Snapshot of every verdict: code, leg, alert, HTTP, Proxy-Status, blame, downgrade. The
 * codes are a public interface (policy.md, "Verdicts"): a red line here breaks its users. */
#include "helper.h"

#include "policy/reasons.h"

#define C LEG_CLIENT
#define U LEG_UPSTREAM
#define E LEG_EITHER
#define BY_CLIENT BLAME_CLIENT
#define BY_UPSTREAM BLAME_UPSTREAM
#define BY_OPERATOR BLAME_OPERATOR
#define NO DOWNGRADE_NO
#define YES DOWNGRADE_YES
#define POSSIBLE DOWNGRADE_POSSIBLE
#define UNKNOWN DOWNGRADE_UNKNOWN

static const struct {
    enum reason reason;
    const char *code;
    enum reason_leg leg;
    int alert; /* -1 none, -2 as sent */
    unsigned http;
    const char *error;
    enum reason_blame blame;
    enum reason_downgrade downgrade;
} rows[] = {
    /* clang-format off */
    {REASON_CLIENT_PLAINTEXT_HTTP, "client_plaintext_http", C, -1, 403, "http_request_denied", BY_CLIENT, YES},
    {REASON_CLIENT_NOT_TLS, "client_not_tls", C, -1, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_BAD_REQUEST, "client_bad_request", C, -1, 400, "http_request_error", BY_CLIENT, NO},
    {REASON_CLIENT_SSLV2_HELLO, "client_sslv2_hello", C, 70, 0, "", BY_CLIENT, YES},
    {REASON_CLIENT_PROTOCOL_TOO_OLD, "client_protocol_too_old", C, 70, 0, "", BY_CLIENT, YES},
    {REASON_CLIENT_FALLBACK, "client_fallback", C, 86, 0, "", BY_CLIENT, YES},
    {REASON_CLIENT_TLS13_ONLY, "client_tls13_only", C, 70, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_NO_APPROVED_SUITE, "client_no_approved_suite", C, 40, 0, "", BY_CLIENT, YES},
    {REASON_CLIENT_NO_USABLE_CERTIFICATE, "client_no_usable_certificate", C, 40, 0, "", BY_OPERATOR, NO},
    {REASON_CLIENT_NO_COMMON_GROUP, "client_no_common_group", C, 40, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_NO_COMMON_SIGNATURE, "client_no_common_signature", C, 40, 0, "", BY_CLIENT, YES},
    {REASON_CLIENT_BAD_POINT_FORMAT, "client_bad_point_format", C, 47, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_COMPRESSION_ONLY, "client_compression_only", C, 47, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_MALFORMED_HELLO, "client_malformed_hello", C, 50, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_HELLO_TOO_LARGE, "client_hello_too_large", C, 47, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_HELLO_TIMEOUT, "client_hello_timeout", C, -1, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_SERVER_NAME_MISMATCH, "client_server_name_mismatch", C, 112, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_RENEGOTIATION, "client_renegotiation", C, 40, 0, "", BY_CLIENT, YES},
    {REASON_CLIENT_REJECTED_CERTIFICATE, "client_rejected_certificate", C, -1, 0, "", BY_OPERATOR, NO},
    {REASON_CLIENT_HANDSHAKE_FAILED, "client_handshake_failed", C, -2, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_PROTOCOL_VIOLATION, "client_protocol_violation", C, -2, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_DENIED, "client_denied", C, -1, 403, "http_request_denied", BY_OPERATOR, NO},
    {REASON_DESTINATION_DENIED, "destination_denied", C, -1, 403, "http_request_denied", BY_OPERATOR, NO},
    {REASON_PROXY_LOOP, "proxy_loop", C, -1, 502, "proxy_loop_detected", BY_OPERATOR, NO},
    {REASON_CLIENT_FALLBACK_RETRY, "client_fallback_retry", C, -1, 0, "", BY_CLIENT, POSSIBLE},
    {REASON_UPSTREAM_NAME_NOT_FOUND, "upstream_name_not_found", U, -1, 502, "dns_error", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_NAME_LOOKUP_FAILED, "upstream_name_lookup_failed", U, -1, 504, "dns_timeout", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_UNREACHABLE, "upstream_unreachable", U, -1, 502, "connection_refused", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_TIMEOUT, "upstream_timeout", U, -1, 504, "connection_timeout", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_CLOSED_HANDSHAKE, "upstream_closed_handshake", U, -1, 502, "connection_terminated", BY_UPSTREAM, UNKNOWN},
    {REASON_UPSTREAM_NOT_TLS, "upstream_not_tls", U, -1, 502, "tls_protocol_error", BY_UPSTREAM, YES},
    {REASON_UPSTREAM_PROTOCOL_TOO_OLD, "upstream_protocol_too_old", U, 70, 502, "tls_protocol_error", BY_UPSTREAM, YES},
    {REASON_UPSTREAM_PROTOCOL_REFUSED, "upstream_protocol_refused", U, -1, 502, "tls_alert_received", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_NO_APPROVED_SUITE, "upstream_no_approved_suite", U, -1, 502, "tls_alert_received", BY_UPSTREAM, YES},
    {REASON_UPSTREAM_SUITE_NOT_OFFERED, "upstream_suite_not_offered", U, 47, 502, "tls_protocol_error", BY_UPSTREAM, YES},
    {REASON_UPSTREAM_DOWNGRADE_MARKER, "upstream_downgrade_marker", U, 47, 502, "tls_protocol_error", BY_UPSTREAM, YES},
    {REASON_UPSTREAM_NO_SECURE_RENEGOTIATION, "upstream_no_secure_renegotiation", U, 40, 502, "tls_protocol_error", BY_UPSTREAM, YES},
    {REASON_UPSTREAM_CERTIFICATE_EXPIRED, "upstream_certificate_expired", U, 45, 502, "tls_certificate_error", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_CERTIFICATE_NOT_YET_VALID, "upstream_certificate_not_yet_valid", U, 45, 502, "tls_certificate_error", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_CERTIFICATE_UNTRUSTED, "upstream_certificate_untrusted", U, 48, 502, "tls_certificate_error", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_CERTIFICATE_NAME_MISMATCH, "upstream_certificate_name_mismatch", U, 42, 502, "tls_certificate_error", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_CERTIFICATE_REVOKED, "upstream_certificate_revoked", U, 44, 502, "tls_certificate_error", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_CERTIFICATE_WEAK, "upstream_certificate_weak", U, 42, 502, "tls_certificate_error", BY_UPSTREAM, YES},
    {REASON_UPSTREAM_CERTIFICATE_INVALID, "upstream_certificate_invalid", U, 42, 502, "tls_certificate_error", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_WANTS_CLIENT_CERTIFICATE, "upstream_wants_client_certificate", U, -1, 502, "tls_alert_received", BY_OPERATOR, NO},
    {REASON_UPSTREAM_REVOCATION_UNKNOWN, "upstream_revocation_unknown", U, 42, 502, "tls_certificate_error", BY_OPERATOR, NO},
    {REASON_UPSTREAM_RENEGOTIATION, "upstream_renegotiation", U, -1, 0, "", BY_UPSTREAM, YES},
    {REASON_UPSTREAM_PROTOCOL_VIOLATION, "upstream_protocol_violation", U, -2, 0, "", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_TRUNCATED, "upstream_truncated", U, -1, 0, "", BY_UPSTREAM, NO},
    {REASON_UPSTREAM_HANDSHAKE_FAILED, "upstream_handshake_failed", U, -2, 502, "tls_alert_received", BY_UPSTREAM, NO},
    {REASON_LIMIT_REACHED, "limit_reached", E, -1, 503, "connection_limit_reached", BY_OPERATOR, NO},
    {REASON_SHUTTING_DOWN, "shutting_down", E, -1, 503, "connection_terminated", BY_OPERATOR, NO},
    {REASON_AUDIT_UNAVAILABLE, "audit_unavailable", E, -1, 503, "proxy_internal_error", BY_OPERATOR, NO},
    {REASON_INTERNAL_ERROR, "internal_error", E, 80, 500, "proxy_internal_error", BY_OPERATOR, NO},
    {REASON_SOURCE_LIMIT_REACHED, "source_limit_reached", E, -1, 429, "connection_limit_reached", BY_CLIENT, NO},
    {REASON_RESOLVER_UNAVAILABLE, "resolver_unavailable", U, -1, 504, "dns_timeout", BY_OPERATOR, NO},
    {REASON_CLIENT_NO_SERVER_NAME, "client_no_server_name", C, 40, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_LOGIN_FAILED, "client_login_failed", C, -1, 403, "http_request_denied", BY_CLIENT, NO},
    {REASON_PARENT_UNREACHABLE, "parent_unreachable", U, -1, 502, "destination_unavailable", BY_OPERATOR, NO},
    {REASON_PARENT_REFUSED, "parent_refused", U, -1, 502, "destination_unavailable", BY_OPERATOR, NO},
    {REASON_PARENT_AUTHENTICATION_REQUIRED, "parent_authentication_required", U, -1, 502,
     "proxy_configuration_error", BY_OPERATOR, NO},
    {REASON_PARENT_TLS_FAILED, "parent_tls_failed", U, -1, 502, "tls_protocol_error", BY_OPERATOR,
     DOWNGRADE_UNKNOWN},
    {REASON_CLIENT_CERTIFICATE_REQUIRED, "client_certificate_required", C, 40, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_CERTIFICATE_INVALID, "client_certificate_invalid", C, REASON_ALERT_AS_SENT, 0, "", BY_CLIENT, NO},
    {REASON_CLIENT_REVOCATION_UNKNOWN, "client_revocation_unknown", C, 42, 0, "", BY_OPERATOR, NO},
    {REASON_CLIENT_BAD_PROXY_HEADER, "client_bad_proxy_header", C, -1, 0, "", BY_OPERATOR, NO},
    /* clang-format on */
};

static void every_code(void **state)
{
    (void)state;
    assert_int_equal(REASON_COUNT - 1, N_OF(rows));
    for (size_t i = 0; i < N_OF(rows); i++) {
        const struct reason_row *r = reason_row(rows[i].reason);
        if (strcmp(r->code, rows[i].code) != 0 || strcmp(r->error, rows[i].error) != 0 ||
            r->leg != rows[i].leg || r->alert != rows[i].alert || r->http != rows[i].http ||
            r->blame != rows[i].blame || r->downgrade != rows[i].downgrade)
            fail_msg("%s has changed: %s alert %d http %u %s blame %d downgrade %d", rows[i].code,
                     r->code, r->alert, r->http, r->error, (int)r->blame, (int)r->downgrade);
    }
}

static void codes_are_unique(void **state)
{
    (void)state;
    for (size_t i = 1; i < REASON_COUNT; i++)
        for (size_t k = 1; k < i; k++)
            assert_string_not_equal(reason_row((enum reason)i)->code,
                                    reason_row((enum reason)k)->code);
}

/* A rejected certificate: the remedy depends on the alert. */
static void rejections(void **state)
{
    (void)state;
    const enum reason rejected = REASON_CLIENT_REJECTED_CERTIFICATE;
    for (int alert = -1; alert < 256; alert++) {
        const char *said = reason_rejection(alert), *remedy = reason_remedy(rejected, alert);
        bool about = (alert >= 42 && alert <= 46) || alert == 48;
        assert_true(about == (said != NULL));
        if (!about) assert_string_equal(remedy, reason_row(rejected)->remedy);
        if (!about) continue;
        size_t n = strlen(said), m = strlen(remedy);
        assert_true(n > m && strcmp(said + n - m, remedy) == 0);
        assert_true(remedy[0] >= 'A' && remedy[0] <= 'Z' && remedy[m - 1] == '.');
        assert_null(strpbrk(said, "\"\\<>&\r\n"));
        assert_string_equal(reason_remedy(REASON_CLIENT_DENIED, alert),
                            reason_row(REASON_CLIENT_DENIED)->remedy);
    }
    assert_non_null(strstr(reason_remedy(rejected, 45), "Renew the listener's certificate"));
    assert_non_null(strstr(reason_remedy(rejected, 48), "Install the CA"));
}

/* A sentence fits after "refused: "; a remedy is a sentence of its own. Neither can break JSON,
 * HTML or a header. */
static void sentences(void **state)
{
    (void)state;
    for (size_t i = 1; i < REASON_COUNT; i++) {
        const struct reason_row *r = reason_row((enum reason)i);
        size_t n = strlen(r->sentence), m = strlen(r->remedy);
        assert_true(n > 10 && m > 10);
        assert_true(r->sentence[0] >= 'a' && r->sentence[0] <= 'z');
        assert_true(r->sentence[n - 1] != '.');
        assert_true(r->remedy[0] >= 'A' && r->remedy[0] <= 'Z');
        assert_true(r->remedy[m - 1] == '.');
        assert_null(strpbrk(r->sentence, "\"\\<>&\r\n"));
        assert_null(strpbrk(r->remedy, "\"\\<>&\r\n"));
    }
}

static void names(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(rows); i++) {
        if (rows[i].alert >= 0)
            assert_string_not_equal(reason_alert_name(rows[i].alert), "unknown");
        if (rows[i].http) assert_string_not_equal(reason_http_phrase(rows[i].http), "unknown");
        /* An HTTP status comes with a Proxy-Status error, and the reverse. */
        assert_int_equal(rows[i].http != 0, rows[i].error[0] != '\0');
    }
    assert_string_equal(reason_alert_name(40), "handshake_failure");
    assert_string_equal(reason_alert_name(70), "protocol_version");
    assert_string_equal(reason_alert_name(86), "inappropriate_fallback");
    assert_string_equal(reason_alert_name(112), "unrecognized_name");
    assert_string_equal(reason_alert_name(255), "unknown");
    assert_string_equal(reason_alert_name(-1), "unknown");
    assert_string_equal(reason_http_phrase(403), "Forbidden");
    assert_string_equal(reason_leg_name(LEG_CLIENT), "client");
    assert_string_equal(reason_leg_name(LEG_UPSTREAM), "upstream");
    assert_string_equal(reason_leg_name(LEG_EITHER), "either");
    assert_string_equal(reason_blame_name(BLAME_CLIENT), "client");
    assert_string_equal(reason_blame_name(BLAME_UPSTREAM), "upstream");
    assert_string_equal(reason_blame_name(BLAME_OPERATOR), "operator");
    assert_string_equal(reason_downgrade_name(DOWNGRADE_NO), "no");
    assert_string_equal(reason_downgrade_name(DOWNGRADE_YES), "yes");
    assert_string_equal(reason_downgrade_name(DOWNGRADE_UNKNOWN), "unknown");
    assert_string_equal(reason_downgrade_name(DOWNGRADE_POSSIBLE), "possible");
}

/* TLS alerts as RFC 5246 section 7.2 and the IANA registry name them. */
static void alert_names(void **state)
{
    (void)state;
    static const struct {
        int alert;
        const char *name;
    } table[] = {
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
    size_t at = 0;
    for (int alert = 0; alert < 256; alert++) {
        bool known = at < N_OF(table) && table[at].alert == alert;
        assert_string_equal(reason_alert_name(alert), known ? table[at].name : "unknown");
        at += known;
    }
    assert_int_equal(at, N_OF(table));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code), cmocka_unit_test(codes_are_unique),
        cmocka_unit_test(rejections), cmocka_unit_test(sentences),
        cmocka_unit_test(names),      cmocka_unit_test(alert_names),
    };
    return cmocka_run_group_tests_name("reasons", tests, NULL, NULL);
}
