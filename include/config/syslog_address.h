/* Where a syslog daemon listens: "unix:/dev/log", "udp:HOST:PORT" or "tcp:HOST:PORT". */
#ifndef CONFIG_SYSLOG_ADDRESS_H
#define CONFIG_SYSLOG_ADDRESS_H

#include "policy/target.h"

enum syslog_transport { SYSLOG_UNIX, SYSLOG_UDP, SYSLOG_TCP };
enum { SYSLOG_PATH_SIZE = 108 }; /* unix(7), sun_path */

struct syslog_address {
    enum syslog_transport transport;
    char path[SYSLOG_PATH_SIZE]; /* SYSLOG_UNIX */
    struct target target;        /* the others */
};

WARN_UNUSED bool syslog_address_from_text(const char *s, struct syslog_address *out);

#endif
