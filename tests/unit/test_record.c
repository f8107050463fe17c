/* Audit records: one valid JSON line each, with the fields of policy.md ("One record"). Nothing
 * that a peer sends can break the line. */
#include "helper.h"

#include "audit/open_line.h"
#include "audit/record.h"
#include "pki/keys.h"

/* A strict reader of one JSON text (RFC 8259): returns its end, NULL if it is not valid. */
static const char *json_skip(const char *s, unsigned depth);

static const char *json_skip_string(const char *s)
{
    if (*s++ != '"') return NULL;
    for (; *s != '"'; s++) {
        if ((unsigned char)*s < 0x20) return NULL;
        if (*s != '\\') continue;
        s++;
        if (!*s || !strchr("\"\\/bfnrtu", *s)) return NULL;
        if (*s == 'u' && strspn(s + 1, "0123456789abcdefABCDEF") < 4) return NULL;
    }
    return s + 1;
}

static const char *json_skip_members(const char *s, bool keys, char close, unsigned depth)
{
    if (*s == close) return s + 1;
    for (;;) {
        if (keys) {
            s = json_skip_string(s);
            if (!s || *s++ != ':') return NULL;
        }
        s = json_skip(s, depth + 1);
        if (!s) return NULL;
        if (*s == close) return s + 1;
        if (*s++ != ',') return NULL;
    }
}

static const char *json_skip(const char *s, unsigned depth)
{
    if (depth > 20) return NULL;
    if (*s == '{') return json_skip_members(s + 1, true, '}', depth);
    if (*s == '[') return json_skip_members(s + 1, false, ']', depth);
    if (*s == '"') return json_skip_string(s);
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < N_OF(words); i++)
        if (strncmp(s, words[i], strlen(words[i])) == 0) return s + strlen(words[i]);
    size_t n = strspn(s, "-0123456789");
    return n ? s + n : NULL;
}

/* A sealed record is exactly one object and one line end. */
static void assert_one_line(struct text *t)
{
    struct chain chain;
    chain_begin(&chain);
    assert_true(chain_seal(&chain, t));
    const char *s = text_string(t);
    const char *end = s[0] == '{' ? json_skip(s, 0) : NULL;
    if (!end || strcmp(end, "\n") != 0) fail_msg("not one JSON line: %s", s);
}

static void assert_has(const struct text *t, const char *part)
{
    if (!strstr(text_string(t), part)) fail_msg("no %s in %s", part, text_string(t));
}

static void assert_lacks(const struct text *t, const char *part)
{
    if (strstr(text_string(t), part)) fail_msg("%s in %s", part, text_string(t));
}

static struct blob message;
static struct addr source, destination;
static const struct audit_origin origin = {"gate", "2021", "00ff"};
static const struct timespec at = {951782400, 123456789};

static struct hello parse(const struct hello_spec *s)
{
    struct hello h;
    uint8_t alert;
    blob_hello(&message, s);
    assert_int_equal(hello_parse((struct span){message.p, message.n}, &h, &alert), HELLO_COMPLETE);
    return h;
}

static struct audit_event event_of(enum audit_action action)
{
    return (struct audit_event){.action = action,
                                .at = at,
                                .duration_ns = 1500,
                                .origin = &origin,
                                .listener = "front",
                                .connection_id = "c-1",
                                .source = &source,
                                .alert_sent = -1,
                                .alert_received = -1};
}

static void refused(void **state)
{
    (void)state;
    struct hello_spec s = {.version = 0x0303,
                           .suites = "0a0a 002f c02f fe01 00ff 1301 5600 cca8",
                           .versions = "1a1a 0303 0301",
                           .groups = "2a2a 001d 0099",
                           .schemes = "0401 0201 fe02",
                           .compression = "01 00",
                           .name = "gate.example"};
    struct hello h = parse(&s);
    struct audit_event e = event_of(AUDIT_CONNECTION_REFUSED);
    e.reason = REASON_CLIENT_NO_COMMON_GROUP;
    e.domain = "gate.example";
    e.destination_port = 443;
    e.identity = "gate.example";
    e.hello = &h;
    e.offered = 0x04;
    e.ja4 = "t12d0000_x";
    e.alert_sent = 40;
    struct text t = {0};
    audit_render(&e, &t);
    assert_one_line(&t);
    static const char *const parts[] = {
        "\"@timestamp\":\"2000-02-29T00:00:00.123Z\"",
        "\"ecs\":{\"version\":\"",
        "\"log\":{\"level\":\"warning\"}",
        "\"message\":\"Refused 192.0.2.1:50000 to gate.example:443: the client offers none of the "
        "allowed groups.\"",
        "\"event\":{\"kind\":\"event\",\"category\":[\"network\"],\"type\":[\"denied\"],"
        "\"dataset\":\"suitegate.audit\",\"action\":\"connection-refused\",\"outcome\":\"failure\","
        "\"code\":\"client_no_common_group\",\"reason\":\"the client offers none of the allowed "
        "groups\",\"duration\":1500,\"sequence\":1,",
        "\"observer\":{\"name\":\"suitegate\",\"vendor\":\"",
        "\"rule\":{\"ruleset\":\"2021\"}",
        "\"source\":{\"ip\":\"192.0.2.1\",\"port\":50000}",
        "\"destination\":{\"port\":443,\"domain\":\"gate.example\"}",
        "\"established\":false",
        "\"server_name\":\"gate.example\"",
        "\"supported_ciphers\":[\"TLS_RSA_WITH_AES_128_CBC_SHA\","
        "\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\",\"0xFE01\",\"TLS_EMPTY_RENEGOTIATION_INFO_"
        "SCSV\","
        "\"TLS_AES_128_GCM_SHA256\",\"TLS_FALLBACK_SCSV\","
        "\"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256\"]",
        "\"ja4\":\"t12d0000_x\"",
        "\"service\":{\"node\":{\"name\":\"gate\"}}",
        "\"policy\":{\"digest\":\"00ff\"}",
        "\"listener\":\"front\"",
        "\"connection_id\":\"c-1\"",
        "\"identity\":\"gate.example\"",
        "\"leg\":\"client\",\"blame\":\"client\",\"downgrade\":\"no\"",
        "\"alert\":{\"sent\":40}",
        "\"hello_version\":\"TLS 1.2\"",
        "\"supported_versions\":[\"TLS 1.2\",\"TLS 1.0\"]",
        "\"groups\":[\"x25519\",\"0x0099\"]",
        "\"signature_schemes\":[\"rsa_pkcs1_sha256\",\"rsa_pkcs1_sha1\",\"0xFE02\"]",
        "\"approved\":[\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"]",
        /* GREASE, the signals, TLS 1.3 and ECDHE with an AEAD cipher are not weak. */
        "\"weak_offers\":[\"TLS "
        "1.0\",\"TLS_RSA_WITH_AES_128_CBC_SHA\",\"0xFE01\",\"rsa_pkcs1_sha1\","
        "\"DEFLATE\"]",
        "\"fallback_scsv\":true,\"grease\":true",
    };
    for (size_t i = 0; i < N_OF(parts); i++) assert_has(&t, parts[i]);
    assert_lacks(&t, "\"upstream\"");
    assert_lacks(&t, "0x0A0A");
    assert_lacks(&t, "0x2A2A");
    text_fini(&t);
}

static void opened_and_closed(void **state)
{
    (void)state;
    struct audit_event e = event_of(AUDIT_CONNECTION_OPENED);
    e.destination = &destination;
    e.destination_port = 443;
    e.domain = "gate.example";
    e.identity = "gate.example";
    e.client = (struct audit_leg){.known = true,
                                  .established = true,
                                  .extended_master_secret = true,
                                  .version = 0x0303,
                                  .suite = 0xc02b,
                                  .group = 0x001d,
                                  .next_protocol = "h2",
                                  .certificate = {.subject = "CN=gate.example",
                                                  .issuer = "CN=local",
                                                  .serial = "0f",
                                                  .sha256 = "abcd",
                                                  .not_before = 0,
                                                  .not_after = 951782400}};
    static const uint8_t authorities[] = "\x00\x11\x30\x0f\x31\x0d\x30\x0b\x06\x03\x55\x04\x03"
                                         "\x0c\x04Some";
    e.request = (struct audit_request){
        .asked = true, .identity = "office", .authorities = {authorities, sizeof authorities - 1}};
    e.channel_binding = "differs";
    e.upstream = e.client;
    e.upstream.resumed = true;
    e.upstream.speaks_tls13 = true;
    e.upstream.suite = 0xc027;
    struct text t = {0};
    audit_render(&e, &t);
    assert_one_line(&t);
    static const char *const parts[] = {
        "\"action\":\"connection-opened\",\"outcome\":\"success\",\"duration\":1500,\"sequence\":"
        "1,",
        "\"type\":[\"start\"]",
        "\"level\":\"info\"",
        "\"destination\":{\"ip\":\"2001:db8::1\",\"port\":443,\"domain\":\"gate.example\"}",
        "\"tls\":{\"version\":\"1.2\",\"version_protocol\":\"tls\","
        "\"cipher\":\"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\",\"curve\":\"x25519\","
        "\"established\":true,\"resumed\":false",
        "\"next_protocol\":\"h2\"",
        "\"client\":{\"subject\":\"CN=gate.example\",\"issuer\":\"CN=local\",",
        "\"server\":{\"subject\":\"CN=gate.example\",\"issuer\":\"CN=local\","
        "\"not_before\":\"1970-01-01T00:00:00Z\",\"not_after\":\"2000-02-29T00:00:00Z\","
        "\"hash\":{\"sha256\":\"abcd\"},\"x509\":{\"serial_number\":\"0f\"}}",
        "\"client_certificate\":{\"asked\":true,\"sent\":true,\"identity\":\"office\","
        "\"issuers\":[\"CN=Some\"]}",
        "\"channel_binding\":\"differs\"",
        "\"upstream\":{\"tls\":{\"version\":\"1.2\"",
        "\"cipher\":\"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256\"",
        "\"resumed\":true",
        "\"speaks_tls13\":true",
    };
    for (size_t i = 0; i < N_OF(parts); i++) assert_has(&t, parts[i]);
    assert_lacks(&t, "\"code\"");
    assert_lacks(&t, "\"blame\"");
    assert_lacks(&t, "\"bytes\"");
    text_fini(&t);

    e.action = AUDIT_CONNECTION_CLOSED;
    e.reason = REASON_UPSTREAM_TRUNCATED;
    e.closed_by = "upstream";
    e.has_bytes = true;
    e.source_bytes = 5;
    e.destination_bytes = 104857600;
    audit_render(&e, &t);
    assert_one_line(&t);
    static const char *const closed[] = {
        "\"action\":\"connection-closed\",\"outcome\":\"success\",\"code\":\"upstream_truncated\"",
        "\"type\":[\"end\"]",
        "\"source\":{\"ip\":\"192.0.2.1\",\"port\":50000,\"bytes\":5}",
        "\"bytes\":104857600",
        "\"closed_by\":\"upstream\"",
        "\"leg\":\"upstream\",\"blame\":\"upstream\",\"downgrade\":\"no\"",
    };
    for (size_t i = 0; i < N_OF(closed); i++) assert_has(&t, closed[i]);
    text_fini(&t);
}

/* Every action and every code renders, with as few facts as possible. */
static void every_code(void **state)
{
    (void)state;
    static const char *const actions[] = {
        "connection-refused",     "connection-opened",
        "connection-closed",      "connection-refused-repeated",
        "client-fallback-retry",  "proxy-started",
        "proxy-stopped",          "configuration-loaded",
        "configuration-rejected", "log-checkpoint",
        "log-repaired",           "log-dropped",
        "connection-observed",    "channel-binding-differs",
        "log-rejected",           "process-ended",
        "proxy-upgraded",         "upgrade-rejected",
    };
    assert_int_equal(N_OF(actions), AUDIT_ACTIONS);
    for (size_t a = 0; a < N_OF(actions); a++) {
        struct audit_event e = event_of((enum audit_action)a);
        struct text t = {0};
        char part[64];
        if ((a >= AUDIT_PROXY_STARTED && a <= AUDIT_LOG_DROPPED) ||
            a == AUDIT_CHANNEL_BINDING_DIFFERS)
            e.connection_id = NULL;
        e.source = NULL;
        e.duration_ns = -1;
        audit_render(&e, &t);
        assert_one_line(&t);
        snprintf(part, sizeof part, "\"action\":\"%s\"", actions[a]);
        assert_has(&t, part);
        assert_string_equal(audit_action_name((enum audit_action)a), actions[a]);
        assert_lacks(&t, "\"duration\"");
        assert_lacks(&t, "\"source\"");
        text_fini(&t);
    }
    for (enum reason r = REASON_OK + 1; r < REASON_COUNT; r++) {
        struct audit_event e = event_of(AUDIT_CONNECTION_REFUSED);
        struct text t = {0};
        char part[96];
        e.reason = r;
        audit_render(&e, &t);
        assert_one_line(&t);
        snprintf(part, sizeof part, "\"code\":\"%s\"", reason_row(r)->code);
        assert_has(&t, part);
        text_fini(&t);
    }
}

/* What a peer chooses: a certificate's names, an ALPN, an identity. */
static void hostile_text(void **state)
{
    (void)state;
    struct audit_event e = event_of(AUDIT_CONNECTION_REFUSED);
    struct text t = {0};
    e.reason = REASON_UPSTREAM_CERTIFICATE_INVALID;
    e.identity = "a\"},\"x\":{\"";
    e.domain = "a\nb";
    e.upstream = (struct audit_leg){
        .known = true,
        .next_protocol = "\xff\x01\"",
        .certificate = {.subject = "CN=\"\\\r\n\x7f\xc0\x80", .issuer = "</script>\xed\xa0\x80"}};
    e.detail = "it said \"no\"";
    audit_render(&e, &t);
    assert_one_line(&t);
    assert_has(&t, "\"identity\":\"a\\\"},\\\"x\\\":{\\\"\"");
    assert_has(&t, "\"detail\":\"it said \\\"no\\\"\"");
    assert_int_equal(strchr(text_string(&t), '\n') - text_string(&t), (long)t.size - 1);
    text_fini(&t);
}

static size_t fails; /* the request for memory that does; 0: none */
static size_t requests;

/* The linker leads all calls here (the Makefile says so). */
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_realloc(void *p, size_t n)
{
    return ++requests == fails ? NULL : __real_realloc(p, n);
}

/* A record is whole, or there is none. */
static void fails_at_each_request(const struct audit_event *e)
{
    struct text whole = {0};
    requests = fails = 0;
    audit_render(e, &whole);
    size_t all = requests;
    assert_true(all > 1 && !whole.failed);
    for (size_t n = 1; n <= all; n++) {
        struct text t = {0};
        requests = 0;
        fails = n;
        audit_render(e, &t);
        if (!t.failed) assert_string_equal(text_string(&t), text_string(&whole));
        text_fini(&t);
    }
    fails = 0;
    text_fini(&whole);
}

static void no_half_record_without_memory(void **state)
{
    (void)state;
    static const uint8_t authorities[] = "\x00\x11\x30\x0f\x31\x0d\x30\x0b\x06\x03\x55\x04\x03"
                                         "\x0c\x04Some";
    const struct outlook unknown = {.kind = OUTLOOK_UNKNOWN};
    struct audit_event e = event_of(AUDIT_CONNECTION_OBSERVED);
    e.domain = "gate.example";
    e.destination_port = 443;
    e.outlook = &unknown;
    fails_at_each_request(&e);
    e = event_of(AUDIT_CONNECTION_REFUSED);
    e.reason = REASON_UPSTREAM_UNREACHABLE;
    e.upstream.known = true;
    e.request = (struct audit_request){
        .asked = true, .identity = "office", .authorities = {authorities, sizeof authorities - 1}};
    fails_at_each_request(&e);
}

static void fallback(void **state)
{
    (void)state;
    struct audit_offer before = {.present = true,
                                 .failed = true,
                                 .highest_version = 0x0303,
                                 .approved = 0x05,
                                 .source = source,
                                 .identity = "gate.example",
                                 .host = "gate.example",
                                 .port = 443,
                                 .listener = "front",
                                 .connection_id = "c-1"};
    struct audit_offer now = before;
    struct text t = {0};
    now.highest_version = 0x0302;
    now.approved = 0;
    strcpy(now.connection_id, "c-2");
    audit_render_fallback(&before, &now, at, &origin, &t);
    assert_one_line(&t);
    static const char *const parts[] = {
        "\"action\":\"client-fallback-retry\",\"outcome\":\"failure\","
        "\"code\":\"client_fallback_retry\"",
        "\"previous_offer\":{\"connection_id\":\"c-1\",\"highest_version\":\"TLS "
        "1.2\",\"approved\":"
        "[\"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\",\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"]}",
        "\"offer\":{\"connection_id\":\"c-2\",\"highest_version\":\"TLS 1.1\",\"approved\":[]}",
        "\"downgrade\":\"possible\"",
        "\"message\":\"Possible fallback from 192.0.2.1 to gate.example port 443: ",
        "\"destination\":{\"port\":443,\"domain\":\"gate.example\"}",
        "\"identity\":\"gate.example\"",
        "\"source\":{\"ip\":\"192.0.2.1\",\"port\":50000}",
    };
    for (size_t i = 0; i < N_OF(parts); i++) assert_has(&t, parts[i]);
    text_fini(&t);
}

/* ---- a record is bounded ---- */

static uint32_t draw = 1;

static unsigned pick(unsigned below)
{
    draw = draw * 1664525u + 1013904223u;
    return (draw >> 8) % below;
}

static char hex[4 * 40000 + 1];

/* Hexadecimal digits of `count` ids; mostly those with the longest names. */
static const char *ids(char *out, size_t count, const char *longest)
{
    for (size_t i = 0; i < count; i++)
        if (pick(4))
            memcpy(out + 4 * i, longest, 4);
        else
            snprintf(out + 4 * i, 5, "%04x", pick(65536));
    out[4 * count] = '\0';
    return out;
}

static char *repeated(char *out, const char *part, size_t size)
{
    size_t n = strlen(part), i = 0;
    for (; i + n <= size; i += n) memcpy(out + i, part, n);
    out[i] = '\0';
    return out;
}

static size_t sealed_size(const struct audit_event *e)
{
    struct text t = {0};
    audit_render(e, &t);
    assert_one_line(&t);
    size_t n = t.size;
    text_fini(&t);
    return n;
}

/* CAs of a CertificateRequest, with long names of this text. */
static struct span many_names(const char *part)
{
    static uint8_t names[20 * 254];
    size_t length = strlen(part);
    for (size_t k = 0; k < sizeof names; k += 254) {
        static const uint8_t head[] = {0,   252,  0x30, 0x81, 249,  0x31, 0x81, 246,  0x30, 0x81,
                                       243, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x81, 235};
        memset(names + k, 'x', 254);
        memcpy(names + k, head, sizeof head);
        for (size_t i = sizeof head; i + length <= 254; i += length)
            memcpy(names + k + i, part, length);
    }
    return (struct span){names, sizeof names};
}

/* The longest event, every character escaped. */
static struct audit_event worst_event(void)
{
    static const char *const parts[] = {"\x01", "\"", "\xff", "\xc2\x80", "\xf4\x8f\xbf\xbf", "x"};
    static char subject[N_OF(parts)][70000], protocol[N_OF(parts)][256], sentence[9000];
    static char identity[256], digest[65];
    unsigned k = pick(N_OF(parts));
    struct audit_event e = event_of((enum audit_action)pick(AUDIT_CONNECTION_CLOSED + 1));
    e.listener = "listener_with_a_name_of_forty_characters";
    e.connection_id = "00000000-0000-0000-0000-000000000000";
    e.reason = 1 + (enum reason)pick(REASON_COUNT - 1);
    e.duration_ns = INT64_MAX;
    e.destination = &destination;
    e.destination_port = 65535;
    e.identity = e.domain = repeated(identity, "\"", 255);
    e.has_bytes = true;
    e.source_bytes = e.destination_bytes = INT64_MAX;
    e.closed_by = "hello_timeout";
    e.detail = repeated(sentence, parts[k], sizeof sentence - 1);
    e.ja4 = "t13d9999zz_0123456789ab_0123456789ab";
    e.alert_sent = e.alert_received = 255;
    e.offered = 0xff;
    e.client = (struct audit_leg){
        .known = true,
        .established = true,
        .version = 0x0303,
        .suite = 0xcca9,
        .group = 0x001d,
        .next_protocol = repeated(protocol[k], parts[k], 255),
        .certificate = {.subject = repeated(subject[k], parts[k], sizeof subject[k] - 1),
                        .issuer = subject[k],
                        .serial = repeated(digest, "0", 64),
                        .sha256 = digest},
    };
    e.upstream = e.client;
    e.request = (struct audit_request){.asked = true,
                                       .identity = "an_identity_with_a_name_of_forty_letters",
                                       .authorities = many_names(parts[k])};
    e.channel_binding = "differs";
    return e;
}

static void bounded(void **test)
{
    (void)test;
    static char suites_hex[4 * 2048 + 1], groups[4 * 16000 + 1], schemes[4 * 16000 + 1];
    static char versions[4 * 127 + 1], name[256];
    for (unsigned turn = 0; turn < 300; turn++) {
        struct hello_spec s = {.version = 0x0303,
                               .suites = ids(suites_hex, 1 + pick(2048), "cca9"),
                               .versions = ids(versions, 1 + pick(127), "0302"),
                               .groups = ids(groups, 1 + pick(turn % 2 ? 300 : 16000), "0099"),
                               .schemes = ids(schemes, 1 + pick(turn % 3 ? 300 : 16000), "0403"),
                               .compression = "01 00",
                               .name = repeated(name, "\"", 255)};
        struct hello h = parse(&s);
        struct audit_event e = worst_event();
        e.hello = &h;
        size_t n = sealed_size(&e);
        if (n > AUDIT_RECORD_LIMIT) fail_msg("turn %u: %zu bytes", turn, n);
    }
}

/* How many bytes the items of an array have. */
static size_t array_size(const struct text *t, const char *key)
{
    const char *place = strstr(text_string(t), key);
    assert_non_null(place);
    const char *from = strchr(place, '['), *to = strchr(place, ']');
    assert_true(from && to && from < to);
    return (size_t)(to - from);
}

/* A value that fits is kept; the values that are left out are counted. */
static void cut_lists_are_counted(void **test)
{
    (void)test;
    struct text t = {0}, wanted = {0};
    struct hello_spec s = {.version = 0x0303,
                           .suites = repeated(hex, "c02f", 4 * 50),
                           .versions = "0303",
                           .groups = "001d",
                           .schemes = "0401"};
    struct hello h = parse(&s);
    struct audit_event e = event_of(AUDIT_CONNECTION_REFUSED);
    e.reason = REASON_CLIENT_NO_COMMON_GROUP;
    e.hello = &h;
    audit_render(&e, &t);
    assert_lacks(&t, "lists_cut");
    assert_lacks(&t, "\"offer\"");
    text_fini(&t);
    s.suites = repeated(hex, "0a0a 002f c02f", 14 * 600);
    h = parse(&s);
    audit_render(&e, &t);
    uint8_t digest[32];
    char digits[65];
    assert_true(digest_sha256(message.p, message.n, digest));
    text_hex(digest, sizeof digest, digits);
    text_printf(&wanted,
                "\"lists_cut\":true,\"offer\":{\"suites\":1200,\"versions\":1,\"groups\":1,"
                "\"signature_schemes\":1,\"weak_offers\":600,\"sha256\":\"%s\"}",
                digits);
    assert_has(&t, text_string(&wanted));
    assert_in_range(t.size, AUDIT_RECORD_LIMIT / 2, OPEN_LINE_LIMIT);
    /* Of the room in eighths the suites have three and the weak offers two. */
    size_t suites_size = array_size(&t, "\"supported_ciphers\""),
           weak_size = array_size(&t, "\"weak_offers\"");
    assert_in_range(2 * suites_size, 3 * weak_size - 300, 3 * weak_size + 300);
    text_fini(&t);
    text_fini(&wanted);
}

/* Records about the log and the configuration are also bounded. */
static void bounded_without_a_connection(void **test)
{
    (void)test;
    static char sentence[40000];
    struct text torn = {0};
    struct audit_log about = {.torn = &torn, .missing_from = 1, .missing_to = INT64_MAX};
    while (torn.size < 100000) text_add(&torn, "{\"@timestamp\":\x01");
    struct audit_event e = event_of(AUDIT_LOG_REPAIRED);
    e.connection_id = NULL;
    e.detail = repeated(sentence, "\x01", sizeof sentence - 1);
    e.log = &about;
    assert_in_range(sealed_size(&e), 1000, AUDIT_RECORD_LIMIT);
    struct text t = {0};
    audit_render(&e, &t);
    assert_has(&t, "...\",\"torn_sha256\":\"");
    text_fini(&t);
    torn.size = 1000;
    audit_render(&e, &t);
    assert_lacks(&t, "torn_sha256");
    text_fini(&t);
    text_fini(&torn);
    e.action = AUDIT_LOG_DROPPED;
    e.log = &(struct audit_log){.sink = sentence, .dropped = INT64_MAX};
    assert_in_range(sealed_size(&e), 1000, AUDIT_RECORD_LIMIT);
}

static void repeated_refusals(void **test)
{
    (void)test;
    struct text t = {0};
    struct audit_repeated r = {.source = source,
                               .listener = "front",
                               .reason = REASON_CLIENT_NOT_TLS,
                               .count = 1234,
                               .first = at,
                               .last = at,
                               .destinations = {"crm.example:443", "[2001:db8::1]:443"},
                               .destination_count = 2,
                               .destinations_cut = true};
    r.last.tv_sec += 5;
    audit_render_repeated(&r, r.last, &origin, &t);
    assert_one_line(&t);
    static const char *const parts[] = {
        "\"message\":\"Refused 192.0.2.1 1234 more times at listener front: ",
        "\"source\":{\"ip\":\"192.0.2.1\"}",
        "\"repeated\":{\"count\":1234,\"first\":\"2000-02-29T00:00:00.123Z\","
        "\"last\":\"2000-02-29T00:00:05.123Z\","
        "\"destinations\":[\"crm.example:443\",\"[2001:db8::1]:443\"],\"destinations_cut\":true}",
        "\"action\":\"connection-refused-repeated\",\"outcome\":\"failure\","
        "\"code\":\"client_not_tls\"",
    };
    for (size_t i = 0; i < N_OF(parts); i++) assert_has(&t, parts[i]);
    text_fini(&t);
}

static int set_addresses(void **state)
{
    (void)state;
    return addr_from_text("192.0.2.1:50000", &source) &&
                   addr_from_text("[2001:db8::1]:443", &destination)
               ? 0
               : 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeated_refusals),
        cmocka_unit_test(refused),
        cmocka_unit_test(opened_and_closed),
        cmocka_unit_test(every_code),
        cmocka_unit_test(hostile_text),
        cmocka_unit_test(no_half_record_without_memory),
        cmocka_unit_test(fallback),
        cmocka_unit_test(bounded),
        cmocka_unit_test(cut_lists_are_counted),
        cmocka_unit_test(bounded_without_a_connection),
    };
    return cmocka_run_group_tests_name("record", tests, set_addresses, NULL);
}
