#include "shorten.h"

#include <jansson.h>
#include <stdlib.h>

/* Removes the long parts, which the log itself has. */
static void leave_out(json_t *record)
{
    static const char *const of_record[] = {"tls"};
    static const char *const of_suitegate[] = {"client", "upstream", "log", "detail"};
    json_t *suitegate = json_object_get(record, "suitegate");
    for (size_t i = 0; i < sizeof of_record / sizeof of_record[0]; i++)
        json_object_del(record, of_record[i]);
    for (size_t i = 0; i < sizeof of_suitegate / sizeof of_suitegate[0]; i++)
        json_object_del(suitegate, of_suitegate[i]);
}

bool shorten_line(const char *line, size_t n, struct text *out)
{
    json_t *record = json_loadb(line, n, 0, NULL);
    leave_out(record);
    char *text =
        json_object_set_new(json_object_get(record, "suitegate"), "shortened", json_true()) == 0
            ? json_dumps(record, JSON_COMPACT)
            : NULL;
    if (text) text_add(out, text);
    bool ok = text && !out->failed;
    free(text);
    json_decref(record);
    return ok;
}
