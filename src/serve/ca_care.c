#include "serve/ca_care.h"

#include "base/diag.h"
#include "runtime/ca_files.h"

#include <stdlib.h>
#include <string.h>

static void tell(const char *what, struct text *lines, void (*say)(const char *format, ...))
{
    char *all = text_take(lines), *rest = all;
    for (char *one; rest && (one = strsep(&rest, "\n"));)
        if (*one) say("%s %s", what, one);
    free(all);
}

bool ca_care_run(const struct config *c, time_t now)
{
    struct text done = {0}, errors = {0};
    if (!config_needs_ca(c)) return false;
    const struct ca_place place = ca_place_of(c);
    ca_files_renew(&place, CA_RENEW_IN_PASSING, now, &done, &errors);
    bool changed = done.size > 0;
    tell("renewed", &done, diag_info);
    tell("the local CA cannot be renewed:", &errors, diag_warning);
    text_fini(&done);
    text_fini(&errors);
    return changed;
}

void ca_care_begin(const char *config_file, time_t now)
{
    struct text unread = {0};
    struct config *c = config_load(config_file, &unread);
    if (c) ca_care_run(c, now);
    config_free(c);
    text_fini(&unread);
}
