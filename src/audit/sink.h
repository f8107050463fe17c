/* One place that gets a copy of the records: a file or pipe, or a syslog daemon (RFC 5424; RFC 5426
 * over UDP, RFC 6587 section 3.4.1 over TCP). Waits at most SINK_WAIT_MS per call, so that its
 * thread can end. One thread. Private to audit/. */
#ifndef AUDIT_SINK_H
#define AUDIT_SINK_H

#include "line.h"

#include "config/syslog_address.h"

enum { SINK_WAIT_MS = 500 };

enum sink_result {
    SINK_DONE,
    SINK_LATER,     /* it takes no more now; call again with the same line */
    SINK_BROKEN,    /* it is gone (errno); call again later: the line is sent as a whole */
    SINK_IMPOSSIBLE /* the line is too large for it, even shortened */
};

struct sink {
    char *name; /* as configured */
    bool is_syslog;
    struct syslog_address address;
    int fd;           /* -1: not open */
    struct text text; /* the frame being sent */
    size_t sent;      /* of it */
};

/* False when out of memory. */
WARN_UNUSED bool sink_init(struct sink *s, const char *name, bool is_syslog);
void sink_fini(struct sink *s);
WARN_UNUSED enum sink_result sink_write(struct sink *s, const struct line *line);
/* Closes it: the next line opens it again (rotation). */
void sink_close(struct sink *s);

#endif
