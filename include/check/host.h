/* Checks one host: resolves it, scans each address, and judges the scans. */
#ifndef CHECK_HOST_H
#define CHECK_HOST_H

#include "check/judge.h"
#include "net/resolver.h"
#include "policy/target.h"

struct host_options {
    struct scan_trust trust;
    const char *name; /* to send and to verify instead of the host; NULL: the host */
    int64_t timeout;  /* nanoseconds in total for one host */
    bool smtp;
    struct limiter *limiter;  /* shared by all hosts of this run */
    atomic_uint *connections; /* counts them; NULL: no counting */
};

struct host_report {
    struct target target;
    char name[TARGET_HOST_SIZE]; /* the name that the certificate must have */
    struct scan *scans;          /* one per address */
    size_t scan_count;
    struct judgement judgement;
};

/* Waits until the check is complete or the time is over. host_report_fini() frees the report. */
void host_check(const struct host_options *options, const struct target *target,
                struct host_report *out);
void host_report_fini(struct host_report *r);

#endif
