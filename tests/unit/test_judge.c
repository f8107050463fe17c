/* What facts mean: scans built by hand, the verdict and each item that led to it. */
#include "helper.h"

#include "check/judge.h"
#include "pki/keys.h"
#include "policy/wire.h"

#include <errno.h>
#include <time.h>

static struct scan scans[3];
static struct judgement judged;

static const uint16_t versions[SCAN_VERSIONS] = {SSL_2_0, SSL_3_0, TLS_1_0,
                                                 TLS_1_1, TLS_1_2, TLS_1_3};

static struct scan_version *version_of(struct scan *s, uint16_t version)
{
    for (size_t i = 0; i < SCAN_VERSIONS; i++)
        if (s->versions[i].version == version) return &s->versions[i];
    abort();
}

static void accept_suite(struct scan *s, uint16_t version, uint16_t suite)
{
    struct scan_version *v = version_of(s, version);
    v->accepted = FACT_YES;
    v->suites[v->suite_count++] = suite;
}

static struct scan_approved *approve(struct scan *s, uint16_t suite)
{
    struct scan_approved *a = &s->approved[suite_by_id(suite) - suites];
    accept_suite(s, TLS_1_2, suite);
    *a = (struct scan_approved){.accepted = FACT_YES,
                                .asked = true,
                                .proof = {.completed = true, .verified = true, .group = 0x001d}};
    return a;
}

/* A server without any fault: TLS 1.2, one suite, RSA. */
static struct scan *compliant(struct scan *s)
{
    for (size_t i = 0; i < SCAN_KEYS; i++) buf_fini(&s->certificates[i].der);
    *s = (struct scan){.outcome = PROBE_ANSWERED};
    for (size_t i = 0; i < SCAN_VERSIONS; i++) {
        s->versions[i].version = versions[i];
        s->versions[i].accepted = FACT_NO;
    }
    for (size_t i = 0; i < SUITE_COUNT; i++) s->approved[i].accepted = FACT_NO;
    approve(s, 0xc02f);
    s->groups[s->group_count++] = 0x001d;
    s->certificates[SCAN_KEY_RSA] = (struct scan_certificate){.valid = FACT_YES};
    s->features = (struct scan_features){.secure_renegotiation = FACT_YES,
                                         .extended_master_secret = FACT_YES,
                                         .encrypt_then_mac = FACT_YES,
                                         .compression = FACT_NO,
                                         .client_certificate = FACT_NO};
    return s;
}

static struct scan *fresh(void)
{
    for (size_t i = 1; i < N_OF(scans); i++) compliant(&scans[i]);
    return compliant(&scans[0]);
}

static void judge(size_t n)
{
    judgement_fini(&judged);
    judge_scans(scans, n, "gate.example", false, &judged);
    assert_false(judged.failed);
    for (size_t i = 0; i < judged.n; i++) {
        assert_non_null(judged.items[i].text);
        assert_true(judged.items[i].addresses != 0 && judged.items[i].addresses < 1u << n);
        if (i) assert_true(judged.items[i - 1].kind <= judged.items[i].kind);
    }
}

static const struct item *find(const char *code, const char *subject)
{
    for (size_t i = 0; i < judged.n; i++)
        if (strcmp(judged.items[i].code, code) == 0 &&
            strcmp(judged.items[i].subject, subject) == 0)
            return &judged.items[i];
    return NULL;
}

/* One scan and exactly one item. */
static void expect_one(enum compliance verdict, enum item_kind kind, const char *code,
                       const char *subject, enum advice_topic topic, const char *text)
{
    judge(1);
    if (judged.verdict != verdict || judged.n != 1)
        fail_msg("%s: %s, %zu items, first \"%s\"", code, compliance_code(judged.verdict), judged.n,
                 judged.n ? judged.items[0].text : "");
    assert_int_equal(judge_address(&judged, 0), verdict);
    assert_int_equal(judged.items[0].kind, kind);
    assert_string_equal(judged.items[0].code, code);
    assert_string_equal(judged.items[0].subject, subject);
    assert_string_equal(judged.items[0].text, text);
    assert_int_equal(judged.items[0].topic, topic);
    assert_int_equal(judged.items[0].addresses, 1);
    for (int t = ADVICE_NONE + 1; t < ADVICE_TOPICS; t++) {
        static const enum item_kind kinds[] = {ITEM_PROBLEM, ITEM_FINDING};
        for (size_t k = 0; k < N_OF(kinds); k++)
            assert_int_equal(judge_wants_advice(&judged, kinds[k], (enum advice_topic)t),
                             kind == kinds[k] && (enum advice_topic)t == topic);
    }
}

#define PROBLEM(...) expect_one(NOT_COMPLIANT, ITEM_PROBLEM, __VA_ARGS__)
#define DOUBT(...) expect_one(COULD_NOT_TELL, ITEM_DOUBT, __VA_ARGS__)
#define FINDING(...) expect_one(COMPLIANT_WITH_FINDINGS, ITEM_FINDING, __VA_ARGS__)
#define NOTE(...) expect_one(COMPLIANT, ITEM_NOTE, __VA_ARGS__)

static void nothing_against(void **state)
{
    (void)state;
    struct scan *s = fresh();
    judge(1);
    assert_int_equal(judged.verdict, COMPLIANT);
    assert_int_equal(judged.n, 0);
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (suites[i].id != 0xc02f) approve(s, suites[i].id);
    s->certificates[SCAN_KEY_ECDSA].valid = FACT_YES;
    for (size_t i = 1; i < GROUP_COUNT; i++) s->groups[s->group_count++] = group_at(i);
    judge(1);
    assert_int_equal(judged.verdict, COMPLIANT);
    assert_int_equal(judged.n, 0);
}

static void protocols(void **state)
{
    (void)state;
    static const char *const names[] = {"SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1"};
    for (size_t i = 0; i < N_OF(names); i++) {
        char text[64];
        struct scan *s = fresh();
        s->versions[i].accepted = FACT_YES;
        snprintf(text, sizeof text, "it accepts %s", names[i]);
        FINDING("accepts_protocol", names[i], ADVICE_PROTOCOLS, text);
        s->versions[i].accepted = FACT_UNKNOWN;
        judge(1);
        assert_int_equal(judged.verdict, COULD_NOT_TELL);
        assert_non_null(find("incomplete", ""));
    }
    struct scan *s = fresh();
    s->approved[2] = (struct scan_approved){.accepted = FACT_NO};
    *version_of(s, TLS_1_2) = (struct scan_version){.version = TLS_1_2, .accepted = FACT_NO};
    s->first_alert = ALERT_PROTOCOL_VERSION;
    PROBLEM("no_tls12", "TLS 1.2", ADVICE_PROTOCOLS, "it does not accept TLS 1.2");
    s->first_alert = -1;
    s->any_hello = true;
    PROBLEM("no_tls12", "TLS 1.2", ADVICE_PROTOCOLS, "it does not accept TLS 1.2");
    accept_suite(s, TLS_1_3, 0x1301);
    accept_suite(s, TLS_1_0, 0x002f);
    judge(1);
    assert_int_equal(judged.verdict, NOT_COMPLIANT);
    assert_int_equal(judged.n, 3);
    assert_non_null(find("accepts_protocol", "TLS 1.0"));
    const struct item *note = find("speaks_tls13", "TLS 1.3");
    assert_non_null(note);
    assert_string_equal(note->text,
                        "it speaks TLS 1.3 and not TLS 1.2, with TLS_AES_128_GCM_SHA256; "
                        "this policy is about TLS 1.2: Microsoft's text of 2024-12-02 "
                        "would take it");
}

static void speaks_tls13(void **state)
{
    (void)state;
    struct scan *s = fresh();
    accept_suite(s, TLS_1_3, 0x1301);
    accept_suite(s, TLS_1_3, 0x1302);
    NOTE("speaks_tls13", "TLS 1.3", ADVICE_NONE,
         "it speaks TLS 1.3 too, with TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384; this policy "
         "is about TLS 1.2");
    s = fresh();
    accept_suite(s, TLS_1_3, 0x1303);
    NOTE("speaks_tls13", "TLS 1.3", ADVICE_NONE,
         "it speaks TLS 1.3 too, with TLS_CHACHA20_POLY1305_SHA256 (not in the 2024 revision); "
         "this policy is about TLS 1.2");
    /* More than there is room for, and one without a name. */
    accept_suite(s, TLS_1_3, 0xabcd);
    for (unsigned i = 0; i < 20; i++) accept_suite(s, TLS_1_3, 0x1305);
    judge(1);
    assert_int_equal(judged.verdict, COMPLIANT);
    assert_int_equal(judged.n, 1);
}

static void other_suites(void **state)
{
    (void)state;
    struct scan *s = fresh();
    accept_suite(s, TLS_1_2, 0x009c);
    FINDING("accepts_suite", "TLS_RSA_WITH_AES_128_GCM_SHA256", ADVICE_SUITES,
            "at TLS 1.2 it accepts TLS_RSA_WITH_AES_128_GCM_SHA256");
    s = fresh();
    s->approved[2] = (struct scan_approved){.accepted = FACT_NO};
    *version_of(s, TLS_1_2) = (struct scan_version){.version = TLS_1_2};
    accept_suite(s, TLS_1_2, 0x009c);
    judge(1);
    assert_int_equal(judged.verdict, NOT_COMPLIANT);
    assert_int_equal(judged.n, 2);
    assert_string_equal(judged.items[0].code, "no_approved_suite");
    assert_string_equal(judged.items[1].code, "accepts_suite");
    /* The version reports its old suites. */
    s = fresh();
    accept_suite(s, TLS_1_1, 0x002f);
    FINDING("accepts_protocol", "TLS 1.1", ADVICE_PROTOCOLS, "it accepts TLS 1.1");
}

static void groups_and_signatures(void **state)
{
    (void)state;
    struct scan *s = fresh();
    s->groups[s->group_count++] = 0x0013;
    FINDING("accepts_group", "secp192r1", ADVICE_GROUPS,
            "it accepts the group secp192r1, of less than 112 bits of security");
    /* Outside the policy, but not weaker: nothing has to change. */
    static const uint16_t strong[] = {0x0006, 0x0015, 0x0016, 0x001a, 0x001e, 0x0100, 0x11ec};
    for (size_t i = 0; i < COUNT_OF(strong); i++) {
        s = fresh();
        s->groups[s->group_count++] = strong[i];
        judge(1);
        assert_int_equal(judged.verdict, COMPLIANT);
        assert_int_equal(judged.n, 1);
        assert_non_null(find("accepts_group", group_name(strong[i])));
    }
    s = fresh();
    s->weak_schemes[s->weak_scheme_count++] = 0x0201;
    FINDING("accepts_weak_signature", "rsa_pkcs1_sha1", ADVICE_SIGNATURES,
            "asked for nothing better, it signs with rsa_pkcs1_sha1");
}

static void features(void **state)
{
    (void)state;
    struct scan *s = fresh();
    s->features.compression = FACT_YES;
    FINDING("accepts_compression", "", ADVICE_COMPRESSION,
            "it accepts TLS compression (RFC 7457 section 2.6)");
    s = fresh();
    s->features.client_certificate = FACT_YES;
    NOTE("wants_client_certificate", "", ADVICE_NONE,
         "it asks for a client certificate; none was sent");
    s = fresh();
    s->features.extended_master_secret = FACT_NO;
    NOTE("no_extended_master_secret", "", ADVICE_LIBRARY,
         "it has no extended master secret (RFC 7627)");
    s = fresh();
    s->features.encrypt_then_mac = FACT_NO;
    NOTE("no_encrypt_then_mac", "", ADVICE_LIBRARY,
         "it has no encrypt-then-MAC for its CBC suites (RFC 7366)");
    /* Only if there is an older version to fall back to. */
    s = fresh();
    s->features.fallback = FACT_NO;
    judge(1);
    assert_int_equal(judged.n, 0);
    version_of(s, TLS_1_1)->accepted = FACT_YES;
    judge(1);
    assert_int_equal(judged.n, 2);
    assert_int_equal(find("ignores_fallback_scsv", "")->kind, ITEM_FINDING);
    s->features.fallback = FACT_YES;
    judge(1);
    assert_null(find("ignores_fallback_scsv", ""));
    /* An unknown fact is no finding. */
    s = fresh();
    s->features = (struct scan_features){0};
    judge(1);
    assert_int_equal(judged.verdict, COMPLIANT);
    assert_int_equal(judged.n, 0);
}

static void certificates(void **state)
{
    (void)state;
    static const struct {
        enum reason reason;
        enum advice_topic topic;
        const char *code, *text;
    } rows[] = {
        {REASON_UPSTREAM_CERTIFICATE_EXPIRED, ADVICE_CERTIFICATE, "upstream_certificate_expired",
         "RSA certificate: a certificate of the server has expired"},
        {REASON_UPSTREAM_CERTIFICATE_UNTRUSTED, ADVICE_CHAIN, "upstream_certificate_untrusted",
         "RSA certificate: the server's certificate does not lead to a trusted CA"},
        {REASON_UPSTREAM_CERTIFICATE_NAME_MISMATCH, ADVICE_CERTIFICATE,
         "upstream_certificate_name_mismatch",
         "RSA certificate: the server's certificate is not for this name (RFC 9525): gate.example"},
        {REASON_UPSTREAM_CERTIFICATE_WEAK, ADVICE_CERTIFICATE, "upstream_certificate_weak",
         "RSA certificate: a certificate of the server has a short key or a SHA-1 or MD5 "
         "signature"},
        {REASON_UPSTREAM_CERTIFICATE_INVALID, ADVICE_CHAIN, "upstream_certificate_invalid",
         "RSA certificate: the server's certificate or chain is not valid (RFC 5280)"},
        {REASON_OK, ADVICE_CHAIN, "upstream_certificate_invalid",
         "RSA certificate: the server's certificate or chain is not valid (RFC 5280)"},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct scan *s = fresh();
        struct scan_certificate *c = &s->certificates[SCAN_KEY_RSA];
        c->valid = FACT_NO;
        c->reason = rows[i].reason;
        enum reason told = rows[i].reason;
        if (told == REASON_OK) told = REASON_UPSTREAM_CERTIFICATE_INVALID;
        s->approved[2].proof = (struct proof){.reason = told, .outcome = PROBE_ANSWERED};
        PROBLEM(rows[i].code, "RSA", rows[i].topic, rows[i].text);
    }
    /* A good second chain does not compensate for it. */
    struct scan *s = fresh();
    approve(s, 0xc02b);
    s->certificates[SCAN_KEY_ECDSA] =
        (struct scan_certificate){.valid = FACT_NO, .reason = REASON_UPSTREAM_CERTIFICATE_EXPIRED};
    s->approved[0].proof = (struct proof){.reason = REASON_UPSTREAM_CERTIFICATE_EXPIRED};
    PROBLEM("upstream_certificate_expired", "ECDSA", ADVICE_CERTIFICATE,
            "ECDSA certificate: a certificate of the server has expired");
}

static void cut_chain(void **state)
{
    (void)state;
    struct scan *s = fresh();
    struct scan_certificate *c = &s->certificates[SCAN_KEY_RSA];
    c->cut = true;
    c->valid = FACT_UNKNOWN;
    s->approved[2].proof = (struct proof){.reason = REASON_UPSTREAM_HANDSHAKE_FAILED};
    PROBLEM("upstream_certificate_invalid", "RSA", ADVICE_CHAIN,
            "its certificate chain (RSA) has no end, or cannot be read");
}

static bool keep_first(void *arg, struct span der)
{
    struct scan_certificate *c = arg;
    if (buf_size(&c->der) == 0 && !buf_append(&c->der, der.p, der.n)) abort();
    return true;
}

static void expires_soon(void **state)
{
    (void)state;
    static const struct {
        int days;
        bool soon;
    } rows[] = {{10, true}, {31, false}};
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct scan_certificate *c = &fresh()->certificates[SCAN_KEY_RSA];
        char command[256], pem[4096];
        snprintf(command, sizeof command,
                 "openssl req -x509 -nodes -keyout /dev/null -newkey ec -pkeyopt "
                 "ec_paramgen_curve:P-256 -subj /CN=a -days %d 2>/dev/null",
                 rows[i].days);
        FILE *f = popen(command, "r");
        assert_non_null(f);
        size_t n = fread(pem, 1, sizeof pem - 1, f);
        pem[n] = '\0';
        assert_int_equal(pclose(f), 0);
        assert_true(pem_each(pem, n, PEM_CERTIFICATE, keep_first, c));
        c->chain[0] = (struct span){buf_head(&c->der), buf_size(&c->der)};
        c->count = 1;
        judge(1);
        assert_int_equal(judged.verdict, COMPLIANT);
        assert_int_equal(judged.n, rows[i].soon);
        if (rows[i].soon) {
            const struct item *item = find("certificate_expires_soon", "RSA");
            assert_non_null(item);
            assert_int_equal(item->kind, ITEM_NOTE);
            assert_int_equal(item->topic, ADVICE_CERTIFICATE);
            /* A second may have gone by since. */
            bool ten = strcmp(item->text, "its RSA certificate expires in 10 days") == 0;
            if (!ten) assert_string_equal(item->text, "its RSA certificate expires in 9 days");
        }
        /* A chain with a fault gets other items. */
        c->valid = FACT_UNKNOWN;
        judge(1);
        assert_int_equal(judged.n, 1);
        assert_non_null(find("certificate_not_judged", "RSA"));
    }
    struct scan_certificate *c = &fresh()->certificates[SCAN_KEY_RSA];
    c->chain[0] = (struct span){(const uint8_t *)"\x30\x01", 2}; /* what cannot be parsed */
    c->count = 1;
    judge(1);
    assert_int_equal(judged.n, 0);
}

/* A suite that a ServerHello accepts and whose handshake then fails. */
static void proofs(void **state)
{
    (void)state;
    static const char text[] = "the handshake with ECDHE-RSA-AES128-GCM-SHA256 fails: the "
                               "handshake with the server failed";
    struct scan *s = fresh();
    s->approved[2].proof =
        (struct proof){.reason = REASON_UPSTREAM_HANDSHAKE_FAILED, .outcome = PROBE_ANSWERED};
    PROBLEM("upstream_handshake_failed", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ADVICE_LIBRARY,
            text);
    /* If another suite works, this is only a note. */
    approve(s, 0xc030);
    NOTE("upstream_handshake_failed", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ADVICE_LIBRARY,
         text);
    /* The scan did not finish: no fault of the server. */
    s = fresh();
    s->approved[2].proof =
        (struct proof){.reason = REASON_UPSTREAM_TIMEOUT, .outcome = PROBE_SILENT};
    DOUBT("handshake_unfinished", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ADVICE_NONE,
          "the handshake with ECDHE-RSA-AES128-GCM-SHA256 did not come to its end");
    approve(s, 0xc030);
    NOTE("handshake_unfinished", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ADVICE_NONE,
         "the handshake with ECDHE-RSA-AES128-GCM-SHA256 did not come to its end");
}

/* No evidence against the server, and none for it. */
static void no_evidence(void **state)
{
    (void)state;
    struct scan *s = fresh();
    s->approved[2].asked = false;
    s->approved[2].proof = (struct proof){0};
    DOUBT("no_handshake", "", ADVICE_NONE, "no handshake with an approved suite came to its end");
}

/* If the server requires a client certificate, its own certificate and a key exchange signed with
 * its key are enough proof. The certificate alone is not: anyone can send it. */
static void wants_client_certificate(void **state)
{
    (void)state;
    struct scan *s = fresh();
    s->features.client_certificate = FACT_YES;
    s->approved[2].proof = (struct proof){.verified = true,
                                          .keys_agreed = true,
                                          .reason = REASON_UPSTREAM_WANTS_CLIENT_CERTIFICATE,
                                          .outcome = PROBE_ANSWERED};
    NOTE("wants_client_certificate", "", ADVICE_NONE,
         "it asks for a client certificate; none was sent");
    s->approved[2].proof.keys_agreed = false;
    judge(1);
    assert_int_equal(judged.verdict, NOT_COMPLIANT);
    s->approved[2].proof.verified = false;
    judge(1);
    assert_int_equal(judged.verdict, NOT_COMPLIANT);
    assert_int_equal(
        find("upstream_wants_client_certificate", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")->kind,
        ITEM_PROBLEM);
}

static void outcomes(void **state)
{
    (void)state;
    static const struct {
        enum probe_outcome outcome;
        int fault;
        const char *detail;
        enum compliance verdict;
        const char *code, *text;
    } rows[] = {
        {PROBE_NOT_TLS, 0, "", NOT_COMPLIANT, "not_tls", "it answers with bytes that are not TLS"},
        {PROBE_NOT_TLS, 0, "HTTP", NOT_COMPLIANT, "not_tls",
         "it answers HTTP in plain text, not TLS"},
        {PROBE_NOT_TLS, 0, "SMTP or FTP", NOT_COMPLIANT, "not_tls",
         "it answers SMTP or FTP in plain text, not TLS: for a mail server, try --starttls smtp"},
        {PROBE_UNREACHABLE, ECONNREFUSED, "", COULD_NOT_TELL, "unreachable",
         "no connection: Connection refused"},
        {PROBE_SILENT, 0, "", COULD_NOT_TELL, "silent",
         "it accepts the connection and says nothing"},
        {PROBE_SLOW, 0, "", COULD_NOT_TELL, "slow", "its answer was not complete in time"},
        {PROBE_CLOSED, 0, "", COULD_NOT_TELL, "closed",
         "it closes the connection without an answer, whatever is offered"},
        {PROBE_SMTP, 0, "the server does not speak SMTP", COULD_NOT_TELL, "starttls",
         "the server does not speak SMTP"},
        {PROBE_SMTP, 0, "refuses: %s%n", COULD_NOT_TELL, "starttls", "refuses: %s%n"},
        {PROBE_NO_TIME, 0, "", COULD_NOT_TELL, "no_time",
         "the time given was over before it answered"},
        {PROBE_FAILED, EMFILE, "", COULD_NOT_TELL, "failed",
         "on this machine: Too many open files"},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct scan *s = fresh();
        s->outcome = rows[i].outcome;
        s->fault = rows[i].fault;
        s->incomplete = true; /* reports nothing more */
        snprintf(s->detail, sizeof s->detail, "%s", rows[i].detail);
        bool problem = rows[i].verdict == NOT_COMPLIANT;
        expect_one(rows[i].verdict, problem ? ITEM_PROBLEM : ITEM_DOUBT, rows[i].code, "",
                   ADVICE_NONE, rows[i].text);
    }
}

static void a_mail_server_without_starttls(void **state)
{
    (void)state;
    fresh()->outcome = PROBE_NO_STARTTLS;
    PROBLEM("no_starttls", "", ADVICE_STARTTLS,
            "the mail server does not offer STARTTLS, so that mail goes there in plain text");
}

/* No hello was accepted and no version is known: the name may be the cause. */
static void refusals(void **state)
{
    (void)state;
    static const struct {
        int alert;
        const char *name, *text;
    } rows[] = {
        {40, "gate.example",
         "it refuses every hello, of TLS 1.2 with the alert handshake_failure (40): perhaps it "
         "does "
         "not serve this name, try --name NAME"},
        {80, "::1",
         "it refuses every hello, of TLS 1.2 with the alert internal_error (80): no server name "
         "was "
         "sent, as HOST is an address, try --name NAME"},
        {112, "192.0.2.1",
         "it refuses every hello, of TLS 1.2 with the alert unrecognized_name (112): no server "
         "name "
         "was sent, as HOST is an address, try --name NAME"},
        {-1, "gate.example",
         "it refuses every hello, of TLS 1.2 by closing the connection: perhaps it does not serve "
         "this name, try --name NAME"},
    };
    struct scan *s = fresh();
    s->approved[2] = (struct scan_approved){.accepted = FACT_NO};
    *version_of(s, TLS_1_2) = (struct scan_version){.version = TLS_1_2, .accepted = FACT_NO};
    for (size_t i = 0; i < N_OF(rows); i++) {
        s->first_alert = rows[i].alert;
        judgement_fini(&judged);
        judge_scans(scans, 1, rows[i].name, false, &judged);
        assert_int_equal(judged.verdict, COULD_NOT_TELL);
        assert_int_equal(judged.n, 1);
        assert_string_equal(judged.items[0].code, "refuses_every_hello");
        assert_string_equal(judged.items[0].text, rows[i].text);
    }
    s->first_alert = ALERT_UNRECOGNIZED_NAME;
    PROBLEM("name_refused", "", ADVICE_NAME,
            "it does not serve the name gate.example (alert unrecognized_name)");
}

/* Findings remain; what was not asked makes the rest a doubt. */
static void incomplete(void **state)
{
    (void)state;
    struct scan *s = fresh();
    s->incomplete = true;
    DOUBT("incomplete", "", ADVICE_NONE, "not everything could be asked: it answers no more");
    s->out_of_time = true;
    DOUBT("incomplete", "", ADVICE_NONE,
          "not everything could be asked in the time given: a longer --timeout may help, unless it "
          "answers no more");
    version_of(s, TLS_1_0)->accepted = FACT_YES;
    judge(1);
    assert_int_equal(judged.verdict, COULD_NOT_TELL);
    assert_true(judge_wants_advice(&judged, ITEM_FINDING, ADVICE_PROTOCOLS));
    s->certificates[SCAN_KEY_RSA].valid = FACT_NO;
    judge(1);
    assert_int_equal(judged.verdict, NOT_COMPLIANT);
    assert_int_equal(judged.n, 3);
}

/* Problem before doubt before finding, in whatever order they were found. */
static void precedence(void **state)
{
    (void)state;
    for (unsigned has = 0; has < 16; has++) {
        struct scan *s = fresh();
        s->certificates[SCAN_KEY_RSA].valid = has & 8 ? FACT_NO : FACT_YES;
        s->incomplete = has & 4;
        if (has & 2) s->groups[s->group_count++] = 0x0013;
        if (has & 1) s->features.extended_master_secret = FACT_NO;
        judge(1);
        assert_int_equal(judged.n, !!(has & 8) + !!(has & 4) + !!(has & 2) + !!(has & 1));
        assert_int_equal(judged.verdict, has & 8   ? NOT_COMPLIANT
                                         : has & 4 ? COULD_NOT_TELL
                                         : has & 2 ? COMPLIANT_WITH_FINDINGS
                                                   : COMPLIANT);
    }
    assert_true(NOT_COMPLIANT < COULD_NOT_TELL && COULD_NOT_TELL < COMPLIANT_WITH_FINDINGS &&
                COMPLIANT_WITH_FINDINGS < COMPLIANT);
}

static void several_addresses(void **state)
{
    (void)state;
    fresh();
    judge(3);
    assert_int_equal(judged.verdict, COMPLIANT);
    assert_int_equal(judged.n, 0);
    /* The worst item is the host's verdict; items that two addresses share appear once. */
    version_of(&scans[0], TLS_1_0)->accepted = FACT_YES;
    version_of(&scans[2], TLS_1_0)->accepted = FACT_YES;
    version_of(&scans[2], TLS_1_1)->accepted = FACT_YES;
    scans[1].certificates[SCAN_KEY_RSA].valid = FACT_NO;
    scans[1].certificates[SCAN_KEY_RSA].reason = REASON_UPSTREAM_CERTIFICATE_EXPIRED;
    judge(3);
    assert_int_equal(judged.verdict, NOT_COMPLIANT);
    assert_int_equal(judged.n, 3);
    assert_int_equal(find("accepts_protocol", "TLS 1.0")->addresses, 5);
    assert_int_equal(find("accepts_protocol", "TLS 1.1")->addresses, 4);
    assert_int_equal(find("upstream_certificate_expired", "RSA")->addresses, 2);
    assert_int_equal(judge_address(&judged, 0), COMPLIANT_WITH_FINDINGS);
    assert_int_equal(judge_address(&judged, 1), NOT_COMPLIANT);
    assert_int_equal(judge_address(&judged, 2), COMPLIANT_WITH_FINDINGS);
}

/* An unreachable address is a note if another one is reachable, otherwise a doubt. */
static void unreachable_address(void **state)
{
    (void)state;
    fresh();
    scans[1].outcome = PROBE_UNREACHABLE;
    scans[1].fault = ENETUNREACH;
    judge(2);
    assert_int_equal(judged.verdict, COMPLIANT);
    assert_int_equal(judged.n, 1);
    assert_int_equal(judged.items[0].kind, ITEM_NOTE);
    assert_string_equal(judged.items[0].code, "unreachable");
    assert_string_equal(judged.items[0].text, "no connection: Network is unreachable");
    assert_int_equal(judged.items[0].addresses, 2);
    assert_int_equal(judge_address(&judged, 0), COMPLIANT);
    /* Any other silence remains a doubt. */
    scans[1].outcome = PROBE_SILENT;
    judge(2);
    assert_int_equal(judged.verdict, COULD_NOT_TELL);
    assert_int_equal(judge_address(&judged, 0), COMPLIANT);
    assert_int_equal(judge_address(&judged, 1), COULD_NOT_TELL);
    scans[0].outcome = scans[1].outcome = PROBE_UNREACHABLE;
    scans[0].fault = ECONNREFUSED;
    judge(2);
    assert_int_equal(judged.verdict, COULD_NOT_TELL);
    assert_int_equal(judged.n, 2); /* each with its own cause */
    scans[0].fault = scans[1].fault;
    judge(2);
    assert_int_equal(judged.n, 1);
    assert_int_equal(judged.items[0].addresses, 3);
    assert_int_equal(judged.items[0].kind, ITEM_DOUBT);
}

/* A note at an address where another suite works is a problem at an address where none does. */
static void same_failure_of_another_weight(void **state)
{
    (void)state;
    static const struct proof failed = {.reason = REASON_UPSTREAM_HANDSHAKE_FAILED,
                                        .outcome = PROBE_ANSWERED};
    for (unsigned last = 2; last-- > 0;) {
        fresh();
        approve(&scans[!last], 0xc030);
        scans[0].approved[2].proof = scans[1].approved[2].proof = failed;
        judge(2);
        assert_int_equal(judged.verdict, NOT_COMPLIANT);
        assert_int_equal(judge_address(&judged, last), NOT_COMPLIANT);
        assert_int_equal(judge_address(&judged, !last), COMPLIANT);
    }
}

/* Its second certificate was not judged, so it is not compliant. */
static void certificate_not_judged(void **state)
{
    (void)state;
    struct scan *s = fresh();
    approve(s, 0xc02b)->proof =
        (struct proof){.reason = REASON_UPSTREAM_TIMEOUT, .outcome = PROBE_SLOW};
    judge(1);
    assert_int_equal(judged.verdict, COULD_NOT_TELL);
}

static void unknown(void **state)
{
    (void)state;
    judgement_fini(&judged);
    judge_unknown("name_not_found", "100%s sure", &judged);
    assert_int_equal(judged.verdict, COULD_NOT_TELL);
    assert_int_equal(judged.n, 1);
    assert_int_equal(judged.items[0].kind, ITEM_DOUBT);
    assert_string_equal(judged.items[0].code, "name_not_found");
    assert_string_equal(judged.items[0].text, "100%s sure");
    judgement_fini(&judged);
    assert_null(judged.items);
    judgement_fini(&judged);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(compliance_name(NOT_COMPLIANT), "not compliant");
    assert_string_equal(compliance_name(COULD_NOT_TELL), "could not tell");
    assert_string_equal(compliance_name(COMPLIANT_WITH_FINDINGS), "compliant with findings");
    assert_string_equal(compliance_name(COMPLIANT), "compliant");
    assert_string_equal(compliance_code(NOT_COMPLIANT), "not_compliant");
    assert_string_equal(compliance_code(COULD_NOT_TELL), "could_not_tell");
    assert_string_equal(compliance_code(COMPLIANT_WITH_FINDINGS), "compliant_with_findings");
    assert_string_equal(compliance_code(COMPLIANT), "compliant");
}

/* Each topic that an item can name has one row per product, and a name. */
static void advice(void **state)
{
    (void)state;
    for (int t = ADVICE_PROTOCOLS; t < ADVICE_TOPICS; t++) {
        size_t n;
        const struct advice *rows = advice_of((enum advice_topic)t, &n);
        if (n == 0 || !rows) fail_msg("%s has no advice", advice_topic_name((enum advice_topic)t));
        assert_true(*advice_topic_name((enum advice_topic)t));
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(rows[i].topic, t); /* they are adjacent */
            assert_true(*rows[i].product && *rows[i].text);
            for (size_t k = 0; k < i; k++)
                assert_string_not_equal(rows[i].product, rows[k].product);
        }
    }
    size_t n = 1;
    assert_null(advice_of(ADVICE_NONE, &n));
    assert_int_equal(n, 0);
    assert_string_equal(advice_topic_name(ADVICE_NONE), "");
}

static int finish(void **state)
{
    (void)state;
    fresh();
    judgement_fini(&judged);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_against),
        cmocka_unit_test(protocols),
        cmocka_unit_test(speaks_tls13),
        cmocka_unit_test(other_suites),
        cmocka_unit_test(groups_and_signatures),
        cmocka_unit_test(features),
        cmocka_unit_test(certificates),
        cmocka_unit_test(cut_chain),
        cmocka_unit_test(expires_soon),
        cmocka_unit_test(proofs),
        cmocka_unit_test(no_evidence),
        cmocka_unit_test(wants_client_certificate),
        cmocka_unit_test(outcomes),
        cmocka_unit_test(a_mail_server_without_starttls),
        cmocka_unit_test(refusals),
        cmocka_unit_test(incomplete),
        cmocka_unit_test(precedence),
        cmocka_unit_test(several_addresses),
        cmocka_unit_test(unreachable_address),
        cmocka_unit_test(same_failure_of_another_weight),
        cmocka_unit_test(certificate_not_judged),
        cmocka_unit_test(unknown),
        cmocka_unit_test(names),
        cmocka_unit_test(advice),
    };
    return cmocka_run_group_tests_name("judge", tests, NULL, finish);
}
