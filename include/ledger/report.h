/* Summarizes an audit log: fed record by record, in bounded memory. Names beyond the bound are
 * counted together, those with the fewest refusals first. */
#ifndef LEDGER_REPORT_H
#define LEDGER_REPORT_H

#include "ledger/entry.h"

enum {
    REPORT_ROWS = 10000,  /* clients, and endpoints, with their own row */
    REPORT_BUCKETS = 240, /* of the timeline; it coarsens before there are more */
    REPORT_WEAK = 12      /* weak offers listed per client */
};

/* A refusal that shows what is wrong. */
struct report_evidence {
    enum reason reason; /* REASON_OK: none */
    struct timespec at;
    uint64_t sequence;
    char *connection_id, *instance,
        *other; /* other: for a client the endpoint, for an endpoint the client */
    char *offer, *detail;
};

struct report_weak {
    const char *name;
    uint64_t count;
};

/* One client, one endpoint, or one instance. */
struct report_row {
    char *name;
    uint64_t records; /* of an instance */
    uint64_t allowed, refused, downgrades;
    uint64_t blamed; /* refusals that it caused */
    uint64_t reasons[REASON_COUNT];
    struct timespec last;
    struct report_evidence newest; /* of those that it caused */
    struct report_weak weak[REPORT_WEAK];
    size_t weak_count;
};

struct report_table {
    void *tree;
    struct report_row **rows;
    size_t n;
    uint64_t others, others_allowed, others_refused; /* names counted together */
};

struct report_bucket {
    int64_t start; /* seconds since 1970 */
    uint64_t allowed, refused;
    uint64_t reasons[REASON_COUNT];
};

/* If this were enforced: what observing listeners saw. */
struct report_outlook {
    uint64_t pass, refuse, unknown;
    uint64_t reasons[REASON_COUNT];
    struct report_table clients, endpoints; /* refused: would be */
    struct report_table unknown_endpoints;  /* allowed: how often it is not known */
};

struct report {
    bool has_since, has_until;
    struct timespec since, until;

    uint64_t records, unreadable, outside; /* outside: before since or after until */
    struct timespec first, last;
    uint64_t allowed, refused, closed, retries, downgrades, incidents;
    uint64_t reasons[REASON_COUNT];
    int alerts[REASON_COUNT];    /* received, of the last refusal with that reason */
    uint64_t legs[3], blames[3]; /* by enum reason_leg, reason_blame; refusals */
    uint64_t starts, stops, reloads, rejected_reloads, checkpoints, repairs, dropped;
    struct report_table clients, endpoints;
    struct report_table instances; /* that wrote the records; "": before they had names */
    struct report_outlook outlook;
    struct report_weak *weak; /* all clients' */
    size_t weak_count;
    void *weak_tree;
    int64_t bucket_seconds;
    struct report_bucket *buckets; /* in order of time, without empty ones */
    size_t bucket_count;
    bool failed; /* out of memory */
};

void report_init(struct report *r);
void report_fini(struct report *r);
void report_line(struct report *r, const struct line_view *line);
/* After the last line: sorts rows and names, most urgent first. */
void report_finish(struct report *r);
/* The reasons with a count, most frequent first; returns their number. */
size_t report_order_reasons(const uint64_t counts[REASON_COUNT], enum reason out[REASON_COUNT]);
/* Coarsens the timeline to at most `most` buckets, empty ones included. */
void report_coarsen(struct report *r, size_t most);

#endif
