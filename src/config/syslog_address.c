#include "config/syslog_address.h"

#include <string.h>

bool syslog_address_from_text(const char *s, struct syslog_address *out)
{
    static const char *const prefixes[] = {
        [SYSLOG_UNIX] = "unix:", [SYSLOG_UDP] = "udp:", [SYSLOG_TCP] = "tcp:"};
    *out = (struct syslog_address){0};
    for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
        size_t n = strlen(prefixes[i]);
        if (strncmp(s, prefixes[i], n) != 0) continue;
        out->transport = (enum syslog_transport)i;
        s += n;
        n = strlen(s);
        if (i != SYSLOG_UNIX) return target_from_text(s, n, &out->target);
        if (s[0] != '/' || n >= sizeof out->path) return false;
        memcpy(out->path, s, n + 1);
        return true;
    }
    return false;
}
