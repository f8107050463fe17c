/* The output of check: text for people, JSON for pipelines. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "check/host.h"

/* One host in full. */
void check_put_host(const struct host_report *r, struct text *out);
/* Several hosts, one line each. */
void check_put_table(const struct host_report *reports, size_t n, struct text *out);
/* verdict: of all hosts together. */
void check_put_json(const struct host_report *reports, size_t n, const struct host_options *options,
                    enum compliance verdict, struct text *out);

#endif
