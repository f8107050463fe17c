"""policy.md's verdict tables, written a second time on purpose: these tests check the program's own
table, so it cannot be their source."""

import collections

Verdict = collections.namedtuple("Verdict", "leg alert status error blame downgrade")


def _client(alert, blame, downgrade, status=None, error=None):
    return Verdict("client", alert, status, error, blame, downgrade)


def _upstream(alert, error, blame, downgrade, status=502):
    return Verdict("upstream", alert, status if error else None, error, blame, downgrade)


def _either(status, error, alert=None):
    return Verdict("either", alert, status, error, "operator", "no")


AS_SENT = "as sent"

VERDICTS = {
    "client_plaintext_http": _client(None, "client", "yes", 403, "http_request_denied"),
    "client_not_tls": _client(None, "client", "no"),
    "client_bad_request": _client(None, "client", "no", 400, "http_request_error"),
    "client_sslv2_hello": _client(70, "client", "yes"),
    "client_protocol_too_old": _client(70, "client", "yes"),
    "client_fallback": _client(86, "client", "yes"),
    "client_tls13_only": _client(70, "client", "no"),
    "client_no_approved_suite": _client(40, "client", "yes"),
    "client_no_usable_certificate": _client(40, "operator", "no"),
    "client_no_common_group": _client(40, "client", "no"),
    "client_no_common_signature": _client(40, "client", "yes"),
    "client_bad_point_format": _client(47, "client", "no"),
    "client_compression_only": _client(47, "client", "no"),
    "client_malformed_hello": _client(50, "client", "no"),
    "client_hello_too_large": _client(47, "client", "no"),
    "client_hello_timeout": _client(None, "client", "no"),
    "client_server_name_mismatch": _client(112, "client", "no"),
    "client_no_server_name": _client(40, "client", "no"),
    "client_login_failed": _client(None, "client", "no", 403, "http_request_denied"),
    "parent_unreachable": _upstream(None, "destination_unavailable", "operator", "no"),
    "parent_refused": _upstream(None, "destination_unavailable", "operator", "no"),
    "parent_authentication_required": _upstream(None, "proxy_configuration_error", "operator", "no"),
    "parent_tls_failed": _upstream(None, "tls_protocol_error", "operator", "unknown"),
    "client_bad_proxy_header": _client(None, "operator", "no"),
    "client_certificate_required": _client(40, "client", "no"),
    "client_certificate_invalid": _client(AS_SENT, "client", "no"),
    "client_revocation_unknown": _client(42, "operator", "no"),
    "client_renegotiation": _client(40, "client", "yes"),
    "client_rejected_certificate": _client(None, "operator", "no"),
    "client_handshake_failed": _client(AS_SENT, "client", "no"),
    "client_protocol_violation": _client(AS_SENT, "client", "no"),
    "client_denied": _client(None, "operator", "no", 403, "http_request_denied"),
    "destination_denied": _client(None, "operator", "no", 403, "http_request_denied"),
    "proxy_loop": _client(None, "operator", "no", 502, "proxy_loop_detected"),
    "client_fallback_retry": _client(None, "client", "possible"),
    "upstream_name_not_found": _upstream(None, "dns_error", "upstream", "no"),
    "upstream_name_lookup_failed": _upstream(None, "dns_timeout", "upstream", "no", 504),
    "upstream_unreachable": _upstream(None, "connection_refused", "upstream", "no"),
    "upstream_timeout": _upstream(None, "connection_timeout", "upstream", "no", 504),
    "upstream_closed_handshake": _upstream(None, "connection_terminated", "upstream", "unknown"),
    "upstream_not_tls": _upstream(None, "tls_protocol_error", "upstream", "yes"),
    "upstream_protocol_too_old": _upstream(70, "tls_protocol_error", "upstream", "yes"),
    "upstream_protocol_refused": _upstream(None, "tls_alert_received", "upstream", "no"),
    "upstream_no_approved_suite": _upstream(None, "tls_alert_received", "upstream", "yes"),
    "upstream_suite_not_offered": _upstream(47, "tls_protocol_error", "upstream", "yes"),
    "upstream_downgrade_marker": _upstream(47, "tls_protocol_error", "upstream", "yes"),
    "upstream_no_secure_renegotiation": _upstream(40, "tls_protocol_error", "upstream", "yes"),
    "upstream_certificate_expired": _upstream(45, "tls_certificate_error", "upstream", "no"),
    "upstream_certificate_not_yet_valid": _upstream(45, "tls_certificate_error", "upstream", "no"),
    "upstream_certificate_untrusted": _upstream(48, "tls_certificate_error", "upstream", "no"),
    "upstream_certificate_name_mismatch": _upstream(42, "tls_certificate_error", "upstream", "no"),
    "upstream_certificate_revoked": _upstream(44, "tls_certificate_error", "upstream", "no"),
    "upstream_certificate_weak": _upstream(42, "tls_certificate_error", "upstream", "yes"),
    "upstream_certificate_invalid": _upstream(42, "tls_certificate_error", "upstream", "no"),
    "upstream_wants_client_certificate": _upstream(None, "tls_alert_received", "operator", "no"),
    "upstream_revocation_unknown": _upstream(42, "tls_certificate_error", "operator", "no"),
    "upstream_renegotiation": _upstream(None, None, "upstream", "yes"),
    "upstream_protocol_violation": _upstream(AS_SENT, None, "upstream", "no"),
    "upstream_truncated": _upstream(None, None, "upstream", "no"),
    "upstream_handshake_failed": _upstream(AS_SENT, "tls_alert_received", "upstream", "no"),
    "limit_reached": _either(503, "connection_limit_reached"),
    "shutting_down": _either(503, "connection_terminated"),
    "audit_unavailable": _either(503, "proxy_internal_error"),
    "internal_error": _either(500, "proxy_internal_error", 80),
    "resolver_unavailable": _upstream(None, "dns_timeout", "operator", "no", 504),
    "source_limit_reached": Verdict("either", None, 429, "connection_limit_reached", "client",
                                    "no"),
}

SUITES = {
    0xC02B: ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    0xC02C: ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    0xC02F: ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    0xC030: ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    0xC023: ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"),
    0xC024: ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE-ECDSA-AES256-SHA384"),
    0xC027: ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"),
    0xC028: ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384"),
}

LIFE = ("proxy-started", "proxy-stopped", "configuration-loaded", "configuration-rejected",
        "log-checkpoint", "log-repaired", "log-dropped")


def connection_records(gate):
    """The gate's records about connections, without those about itself."""
    return [r for r in gate.records() if r["event"]["action"] not in LIFE]


def assert_refusal(record, code):
    """One record of a refused connection has what policy.md says about its code."""
    verdict = VERDICTS[code]
    assert record["event"]["action"] == "connection-refused"
    assert record["event"]["code"] == code
    assert record["event"]["outcome"] == "failure"
    assert record["event"]["reason"]
    assert record["suitegate"]["blame"] == verdict.blame
    assert record["suitegate"]["downgrade"] == verdict.downgrade
    if verdict.leg != "either":
        assert record["suitegate"]["leg"] == verdict.leg


def only_refusal(gate, code):
    """In the end only this refusal is recorded. Returns its record."""
    gate.settle()
    records = connection_records(gate)
    assert [r["event"].get("code") for r in records] == [code], records
    assert_refusal(records[0], code)
    return records[0]
