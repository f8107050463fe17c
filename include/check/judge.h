/* What the facts of a scan mean under the policy: a verdict, and each thing that led to it. */
#ifndef CHECK_JUDGE_H
#define CHECK_JUDGE_H

#include "check/advice.h"
#include "check/scan.h"

/* In the order of the exit status that one of several hosts decides: the worst first. */
enum compliance { NOT_COMPLIANT, COULD_NOT_TELL, COMPLIANT_WITH_FINDINGS, COMPLIANT };

enum item_kind {
    ITEM_PROBLEM, /* not compliant because of this */
    ITEM_DOUBT,   /* could not be told because of this */
    ITEM_FINDING, /* accepted though outside the policy: a client could be downgraded */
    ITEM_NOTE,
    ITEM_KINDS
};

enum { ITEM_SUBJECT = 64 };

struct item {
    enum item_kind kind;
    const char *code;           /* static */
    char subject[ITEM_SUBJECT]; /* what it is about, "" for the server as a whole */
    char *text;                 /* a clause; NULL when out of memory */
    enum advice_topic topic;    /* what to change; ADVICE_NONE */
    unsigned addresses;         /* one bit an address it was seen at */
};

struct judgement {
    enum compliance verdict;
    struct item *items; /* by kind */
    size_t n;
    bool failed; /* out of memory */
};

/* scans: one an address, of which at least one. name: what the certificate has to be for. */
/* more: it has addresses that were not asked. */
void judge_scans(const struct scan *scans, size_t n, const char *name, bool more,
                 struct judgement *out);
/* One that ends before any address is known: code and text of a doubt. */
void judge_unknown(const char *code, const char *text, struct judgement *out);
/* Of one address of the scans judged. */
enum compliance judge_address(const struct judgement *j, size_t address);
/* Is this the gravest kind of item that calls for this advice? */
bool judge_wants_advice(const struct judgement *j, enum item_kind kind, enum advice_topic topic);
void judgement_fini(struct judgement *j);

const char *compliance_name(enum compliance v); /* "compliant with findings" */
const char *compliance_code(enum compliance v); /* "compliant_with_findings" */

#endif
