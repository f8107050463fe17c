/* Values that say where something listens. */
#include "values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool endpoint_is_given(const struct endpoint *p)
{
    return p->path || p->address.length;
}

void endpoint_format(const struct endpoint *p, struct text *out)
{
    char where[ADDR_TEXT_SIZE];
    if (p->path) text_printf(out, "unix:%s", p->path);
    if (!p->address.length) return;
    addr_format(&p->address, where);
    text_add(out, where);
}

const char *place_parse_listen(const char *text, struct listen_address *out)
{
    static const char scheme[] = "systemd:";
    size_t n = sizeof scheme - 1;
    if (strncmp(text, scheme, n) == 0 && label_is_valid(text + n))
        return value_set_string(&out->systemd, text_copy(text + n, strlen(text + n)));
    return addr_from_text(text, &out->address)
               ? NULL
               : "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080, or systemd:NAME";
}

const char *place_parse_endpoint(const char *text, const char *directory, struct endpoint *out)
{
    enum { PATH_SIZE = 108 }; /* unix(7), sun_path */
    static const char scheme[] = "unix:", what[] = "an IP address and a port, or unix:PATH";
    size_t n = sizeof scheme - 1;
    if (strncmp(text, scheme, n) != 0) return addr_from_text(text, &out->address) ? NULL : what;
    char *path = text[n] ? value_resolve_path(text + n, directory) : NULL;
    if (path && strlen(path) < PATH_SIZE) return value_set_string(&out->path, path);
    free(path);
    return text[n] ? "a shorter path: a Unix socket's has at most 107 characters" : what;
}

void place_print_listen(const struct listen_address *a, char out[PLACE_PRINTED])
{
    if (a->systemd)
        snprintf(out, PLACE_PRINTED, "systemd:%s", a->systemd);
    else if (a->address.length)
        addr_format(&a->address, out);
}

void place_print_endpoint(const struct endpoint *p, void (*each)(void *arg, const char *text),
                          void *arg)
{
    struct text out = {0};
    endpoint_format(p, &out);
    if (out.size > 0) each(arg, text_string(&out));
    text_fini(&out);
}
