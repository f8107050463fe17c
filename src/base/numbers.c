#include "base/numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void numbers_put(const struct number_row *rows, size_t n, const void *from, struct text *out)
{
    for (size_t i = 0; i < n; i++) {
        unsigned long value;
        memcpy(&value, (const char *)from + rows[i].offset, sizeof value);
        text_printf(out, "%s %lu\n", rows[i].name, value);
    }
}

void numbers_read(const struct number_row *rows, size_t n, const char *name, const char *value,
                  void *to)
{
    unsigned long number = strtoul(value, NULL, 10);
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].name, name) == 0)
            memcpy((char *)to + rows[i].offset, &number, sizeof number);
}

void numbers_each_line(const char *text,
                       void (*each)(void *arg, const char *name, const char *rest), void *arg)
{
    enum { LINE = 512 };
    for (size_t n; *text; text += n + (text[n] == '\n')) {
        char line[LINE];
        n = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)(n < sizeof line ? n : sizeof line - 1), text);
        char *blank = strchr(line, ' ');
        if (!blank) continue;
        *blank = '\0';
        each(arg, line, blank + 1);
    }
}
