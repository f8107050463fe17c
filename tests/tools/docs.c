/* Prints the generated tables: suites for README.md, options for conf/options.md, reasons for
 * conf/verdicts.md, metrics for conf/metrics.md (docs NAME); the options for checking the sample
 * file and for the man page, with tabs between section, key, default, NAME if the section has one,
 * whether it repeats, and text (docs keys); and the enumerations of the record's schema, one "name
 * TAB value" per line (docs enumerations). */
#include "config/config.h"
#include "operate/overview.h"
#include "policy/policy.h"
#include "policy/reasons.h"

#include <stdio.h>
#include <string.h>

static void option_row(void *arg, const char *section, const char *key, const char *standard,
                       bool repeats, const char *text)
{
    (void)arg;
    printf("| `[%s]` | `%s`%s | %s%s%s | %s |\n", section, key, repeats ? " (repeats)" : "",
           standard ? "`" : "", standard ? standard : "", standard ? "`" : "", text);
}

/* What follows the section's word in the file. */
static const char *name_of(const char *section)
{
#define SECTION(...)
#define NAMED_SECTION(id, text, holder) \
    if (strcmp(section, text) == 0) return "NAME";
#include "config/sections.def"
#undef SECTION
#undef NAMED_SECTION
    return "";
}

static void key_row(void *arg, const char *section, const char *key, const char *standard,
                    bool repeats, const char *text)
{
    (void)arg;
    printf("%s\t%s\t%s\t%s\t%s\t%s\n", section, key, standard ? standard : "", name_of(section),
           repeats ? "repeats" : "", text);
}

static void print_reasons(void)
{
    printf(
        "| code | leg | alert | HTTP | Proxy-Status error | blame | downgrade | what happened |\n"
        "|---|---|---|---|---|---|---|---|\n");
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++) {
        const struct reason_row *row = reason_row((enum reason)r);
        char alert[16] = "", http[16] = "";
        if (row->alert >= 0) snprintf(alert, sizeof alert, "%d", row->alert);
        if (row->alert == REASON_ALERT_AS_SENT) snprintf(alert, sizeof alert, "as sent");
        if (row->http) snprintf(http, sizeof http, "%u", row->http);
        printf("| `%s` | %s | %s | %s | %s | %s | %s | %s |\n", row->code,
               reason_leg_name(row->leg), alert, http, row->error, reason_blame_name(row->blame),
               reason_downgrade_name(row->downgrade), row->sentence);
    }
}

static void metric_row(void *arg, const char *name, const char *type, const char *help)
{
    (void)arg;
    printf("| `%s` | %s | %s |\n", name, type, help);
}

static void print_suites(void)
{
    for (int i = 0; i < SUITE_COUNT; i++) printf("%d. `%s`\n", i + 1, suites[i].iana);
}

static const struct {
    const char *action, *type;
} actions[] = {
#define ACTION(name, action, type, ...) {action, type},
#include "audit/actions.def"
#undef ACTION
};

static void print_enumerations(void)
{
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        printf("action\t%s\ntype\t%s\n", actions[i].action, actions[i].type);
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++) {
        const struct reason_row *row = reason_row((enum reason)r);
        printf("code\t%s\nleg\t%s\nblame\t%s\ndowngrade\t%s\n", row->code,
               reason_leg_name(row->leg), reason_blame_name(row->blame),
               reason_downgrade_name(row->downgrade));
    }
    for (int p = 0; p < PROFILES; p++)
        printf("profile\t%s\n", policy_profile_name((enum policy_profile)p));
    for (int i = 0; i < SUITE_COUNT; i++) printf("approved\t%s\n", suites[i].iana);
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "options") == 0) {
        printf("| section | option | default | meaning |\n|---|---|---|---|\n");
        config_describe(option_row, NULL);
    } else if (strcmp(what, "reasons") == 0) {
        print_reasons();
    } else if (strcmp(what, "metrics") == 0) {
        printf("| metric | type | meaning |\n|---|---|---|\n");
        metrics_describe(metric_row, NULL);
    } else if (strcmp(what, "suites") == 0) {
        print_suites();
    } else if (strcmp(what, "enumerations") == 0) {
        print_enumerations();
    } else if (strcmp(what, "keys") == 0) {
        config_describe(key_row, NULL);
    } else {
        return 64;
    }
    return 0;
}
