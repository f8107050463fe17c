#include "check/host.h"

#include "base/clock.h"
#include "check/jobs.h"
#include "net/lookup.h"

#include <stdio.h>
#include <stdlib.h>

/* The part of the time for one answer, until the server's speed is known. */
enum { WAIT_SHARE = 6 };
static const int64_t longest_wait = (int64_t)10 * 1000000000;

struct checking {
    const struct host_options *options;
    struct host_report *report;
    struct addr addresses[LOOKUP_LIMIT];
    unsigned threads; /* per address */
    int64_t deadline;
    bool is_ip;
};

static void check_address(void *context, size_t i)
{
    struct checking *c = context;
    const struct host_options *o = c->options;
    int64_t wait = o->timeout / WAIT_SHARE;
    struct probe_target target = {.address = c->addresses[i],
                                  .identity = c->report->name,
                                  .identity_is_ip = c->is_ip,
                                  .smtp = o->smtp,
                                  .limiter = o->limiter,
                                  .deadline = c->deadline,
                                  .first_wait = wait < longest_wait ? wait : longest_wait,
                                  .connections = o->connections};
    scan_run(&target, &o->trust, c->threads, &c->report->scans[i]);
}

void host_check(const struct host_options *options, const struct target *target,
                struct host_report *out)
{
    struct checking c = {
        .options = options, .report = out, .deadline = clock_steady_ns() + options->timeout};
    struct job jobs[LOOKUP_LIMIT];
    struct addr ip;
    *out = (struct host_report){.target = *target};
    snprintf(out->name, sizeof out->name, "%s", options->name ? options->name : target->host);
    c.is_ip = addr_from_ip(out->name, 0, &ip);
    switch (lookup_wait(target->host, target->port, c.deadline, c.addresses, &out->scan_count)) {
    case LOOKUP_NOT_FOUND:
        judge_unknown("name_not_found", "there is no such host name", &out->judgement);
        return;
    case LOOKUP_FAILED:
    case LOOKUP_UNANSWERED:
    case LOOKUP_NO_MEMORY:
        judge_unknown("name_lookup_failed", "the host name could not be looked up",
                      &out->judgement);
        return;
    case LOOKUP_FOUND:
        break;
    }
    /* All addresses at once share the connections that one address would get. */
    unsigned n = (unsigned)out->scan_count;
    c.threads = n < SCAN_CONNECTIONS ? SCAN_CONNECTIONS / n : 1;
    out->scans = calloc(n, sizeof *out->scans);
    if (!out->scans) {
        out->scan_count = 0;
        judge_unknown("failed", "out of memory", &out->judgement);
        return;
    }
    for (size_t i = 0; i < n; i++) jobs[i] = (struct job){check_address, i};
    jobs_run(jobs, n, &c, n < SCAN_CONNECTIONS ? n : SCAN_CONNECTIONS);
    judge_scans(out->scans, n, out->name, n == LOOKUP_LIMIT, &out->judgement);
}

void host_report_fini(struct host_report *r)
{
    for (size_t i = 0; i < r->scan_count; i++) scan_fini(&r->scans[i]);
    free(r->scans);
    judgement_fini(&r->judgement);
}
