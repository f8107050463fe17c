#include "serve/own_records.h"

#include "base/diag.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void own_record(struct recorder *r, const struct loaded_config *loaded, enum audit_action action,
                const char *detail)
{
    struct audit_event e = {.action = action,
                            .origin = &loaded->origin,
                            .duration_ns = -1,
                            .detail = detail,
                            .alert_sent = -1,
                            .alert_received = -1};
    clock_gettime(CLOCK_REALTIME, &e.at);
    recorder_submit(r, &e, NULL, NULL);
}

void to_one_line(char *s)
{
    size_t n = strlen(s);
    while (n > 0 && s[n - 1] == '\n') s[--n] = '\0';
    for (; *s; s++)
        if (*s == '\n') *s = ' ';
}

void to_plain_lines(char *s)
{
    for (; s && *s; s++)
        if (*s != '\n' && (*s < ' ' || *s > '~')) *s = '?';
}

void own_record_with_warnings(struct recorder *r, const struct loaded_config *loaded,
                              enum audit_action action)
{
    struct text warnings = {0};
    loaded_config_warnings(loaded, time(NULL), &warnings);
    char *detail = warnings.size ? text_take(&warnings) : NULL;
    if (detail) {
        to_one_line(detail);
        diag_warning("%s", detail);
    }
    own_record(r, loaded, action, detail);
    free(detail);
    text_fini(&warnings);
}

void own_record_rejection(struct recorder *r, const struct loaded_config *loaded,
                          struct text *errors)
{
    char *faults = text_take(errors);
    if (faults) to_one_line(faults);
    diag_error("configuration rejected, the old one goes on: %s", faults ? faults : "no memory");
    own_record(r, loaded, AUDIT_CONFIGURATION_REJECTED, faults);
    free(faults);
}

void own_warnings(const struct loaded_config *loaded)
{
    struct text warnings = {0};
    loaded_config_warnings(loaded, time(NULL), &warnings);
    if (warnings.size) diag_warning("%s", text_string(&warnings));
    text_fini(&warnings);
}
