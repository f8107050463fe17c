/* One host: its addresses, a scan of each, and what that means. */
#ifndef CHECK_HOST_H
#define CHECK_HOST_H

#include "check/judge.h"
#include "net/resolver.h"
#include "policy/target.h"

struct host_options {
    struct scan_trust trust;
    const char *name; /* to send and to verify instead of the host; NULL: the host */
    int64_t timeout;  /* nanoseconds for one host in all */
    bool smtp;
    struct limiter *limiter;  /* of all hosts of this run */
    atomic_uint *connections; /* counted; NULL: not */
};

struct host_report {
    struct target target;
    char name[TARGET_HOST_SIZE]; /* what the certificate has to be for */
    struct scan *scans;          /* one an address */
    size_t scan_count;
    struct judgement judgement;
};

/* Waits until all is known or the time is over. Ended with host_report_fini(). */
void host_check(const struct host_options *options, const struct target *target,
                struct host_report *out);
void host_report_fini(struct host_report *r);

#endif
