/* Judges the facts of a scan under the policy: a verdict, and the items that led to it. */
#ifndef CHECK_JUDGE_H
#define CHECK_JUDGE_H

#include "check/advice.h"
#include "check/scan.h"

/* Worst first: the worst host decides the exit status. */
enum compliance { NOT_COMPLIANT, COULD_NOT_TELL, COMPLIANT_WITH_FINDINGS, COMPLIANT };

enum item_kind {
    ITEM_PROBLEM, /* not compliant because of this */
    ITEM_DOUBT,   /* no verdict because of this */
    ITEM_FINDING, /* accepted though outside the policy: a client could be downgraded */
    ITEM_NOTE,
    ITEM_KINDS
};

enum { ITEM_SUBJECT = 64 };

struct item {
    enum item_kind kind;
    const char *code;           /* static */
    char subject[ITEM_SUBJECT]; /* what it is about, "" for the server as a whole */
    char *text;                 /* a clause; NULL if memory ran out */
    enum advice_topic topic;    /* what to change, or ADVICE_NONE */
    unsigned addresses;         /* one bit per address that has it */
};

struct judgement {
    enum compliance verdict;
    struct item *items; /* by kind */
    size_t n;
    bool failed; /* out of memory */
};

/* scans: one per address, at least one. name: the one that the certificate must have. more: the
 * host has addresses that were not scanned. */
void judge_scans(const struct scan *scans, size_t n, const char *name, bool more,
                 struct judgement *out);
/* For a check that ended before any address was known: code and text of a doubt. */
void judge_unknown(const char *code, const char *text, struct judgement *out);
/* The verdict on one of the addresses. */
enum compliance judge_address(const struct judgement *j, size_t address);
/* Is this the worst kind of item with this advice? */
bool judge_wants_advice(const struct judgement *j, enum item_kind kind, enum advice_topic topic);
void judgement_fini(struct judgement *j);

const char *compliance_name(enum compliance v); /* "compliant with findings" */
const char *compliance_code(enum compliance v); /* "compliant_with_findings" */

#endif
