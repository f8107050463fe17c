#include "policy/policy.h"
#include "base/json.h"
#include "cli/cli.h"
#include "policy/reasons.h"

#include <stdio.h>

static const char help[] =
    "Usage: suitegate policy [--json]\n\n"
    "Prints what is allowed (suites, groups, signatures) and every reason code with its leg,\n"
    "the fatal alert sent on that leg, the HTTP status, who is to blame, and its sentence.\n\n"
    "      --json   as one JSON object\n"
    "  -h, --help   this text\n";

static void print_text(struct text *out)
{
    text_add(out, "TLS 1.2 and nothing else, on both legs, with these suites:\n\n");
    for (size_t i = 0; i < SUITE_COUNT; i++)
        text_printf(out, "  0x%04X  %-41s  %-30s  %s\n", suites[i].id, suites[i].iana,
                    suites[i].openssl, suites[i].source);
    text_add(out, "\nGroups:  ");
    for (size_t i = 0; i < GROUP_COUNT; i++)
        text_printf(out, "%s%s", i ? ", " : "", group_name(group_at(i)));
    text_printf(out,
                "\nKeys:    RSA of %d bits or more, ECDSA of %d or more; signatures with SHA-256 "
                "or better\n\nReason codes:\n\n",
                POLICY_RSA_BITS_FLOOR, POLICY_EC_BITS_FLOOR);
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++) {
        const struct reason_row *row = reason_row((enum reason)r);
        char alert[48] = "-", http[16] = "-";
        if (row->alert >= 0)
            snprintf(alert, sizeof alert, "%d %s", row->alert, reason_alert_name(row->alert));
        if (row->alert == REASON_ALERT_AS_SENT) snprintf(alert, sizeof alert, "as sent");
        if (row->http) snprintf(http, sizeof http, "%u", row->http);
        text_printf(
            out, "%s\n    leg %s, alert %s, HTTP %s, blame %s, downgrade %s\n    %s.\n    %s\n",
            row->code, reason_leg_name(row->leg), alert, http, reason_blame_name(row->blame),
            reason_downgrade_name(row->downgrade), row->sentence, row->remedy);
    }
}

/* The profiles that have the suite, except the first, which has all suites. */
static void put_profiles(struct json *j, const struct suite *s)
{
    for (unsigned p = 1; p < PROFILES; p++) {
        char key[32];
        enum policy_profile profile = (enum policy_profile)p;
        snprintf(key, sizeof key, "profile_%s", policy_profile_name(profile));
        json_put_bool(j, key, policy_profile_suites(profile) & suite_bit(s));
    }
}

static void print_json(struct text *out)
{
    struct json j = json_of(out);
    json_put_object(&j, NULL);
    json_put_string(&j, "version", "TLS 1.2");
    json_put_array(&j, "suites");
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        json_put_object(&j, NULL);
        json_put_number(&j, "id", suites[i].id);
        json_put_string(&j, "iana", suites[i].iana);
        json_put_string(&j, "openssl", suites[i].openssl);
        json_put_string(&j, "key", key_type_name(suites[i].key));
        json_put_string(&j, "source", suites[i].source);
        put_profiles(&j, &suites[i]);
        json_end_object(&j);
    }
    json_end_array(&j);
    json_put_array(&j, "groups");
    for (size_t i = 0; i < GROUP_COUNT; i++) json_put_string(&j, NULL, group_name(group_at(i)));
    json_end_array(&j);
    json_put_array(&j, "reasons");
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++) {
        const struct reason_row *row = reason_row((enum reason)r);
        json_put_object(&j, NULL);
        json_put_string(&j, "code", row->code);
        json_put_string(&j, "leg", reason_leg_name(row->leg));
        if (row->alert >= 0) json_put_number(&j, "alert", row->alert);
        if (row->alert == REASON_ALERT_AS_SENT) json_put_string(&j, "alert", "as sent");
        if (row->http) json_put_number(&j, "http_status", row->http);
        json_put_optional(&j, "proxy_status", row->error);
        json_put_string(&j, "blame", reason_blame_name(row->blame));
        json_put_string(&j, "downgrade", reason_downgrade_name(row->downgrade));
        json_put_string(&j, "sentence", row->sentence);
        json_put_string(&j, "remedy", row->remedy);
        json_end_object(&j);
    }
    json_end_array(&j);
    json_end_object(&j);
    text_add(out, "\n");
}

int cli_policy(int argc, char **argv)
{
    static const struct cli_syntax syntax = {CLI_WITH(JSON), CLI_NO_OPERANDS, help};
    struct cli_options options;
    struct text out = {0};
    int status = cli_parse(argc, argv, &syntax, &options);
    if (status >= 0) return status;
    if (options.json)
        print_json(&out);
    else
        print_text(&out);
    status = cli_print(&out, CLI_DONE);
    text_fini(&out);
    return status;
}
