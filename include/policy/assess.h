/* Explains a client's hello, item by item: what it offered, and what that means under the policy.
 * For people who test a client; policy/verdict.h judges. Pure. */
#ifndef POLICY_ASSESS_H
#define POLICY_ASSESS_H

#include "base/text.h"
#include "policy/hello.h"

/* How many entries of a list of versions, groups or schemes are named. Real clients have fewer, and
 * naming all that fit into one hello would take 1.4 MB of log. Suites are at most 2,048
 * (policy/hello.h). */
enum { ASSESS_LISTED = 256 };
size_t assess_listed(struct span u16s);

/* Calls `each` with every offer that is weaker than the policy and that another server might
 * accept: older versions, suites, signature schemes, compression. name is static, or NULL for a
 * suite without a known name. */
enum weak_kind { WEAK_VERSION, WEAK_SUITE, WEAK_SCHEME, WEAK_COMPRESSION };
void assess_each_weak(const struct hello *h,
                      void (*each)(void *arg, enum weak_kind kind, uint16_t id, const char *name),
                      void *arg);

enum assess_mark {
    ASSESS_MEETS, /* what the policy asks for */
    ASSESS_WEAK,  /* weaker than the policy: not used here, but possible with other servers */
    ASSESS_NOTE   /* neither */
};
const char *assess_mark_name(enum assess_mark mark); /* "meets the policy" */

struct assess_item {
    const char *name; /* static: "protocol versions" */
    struct text offered;
    enum assess_mark mark;
    const char *words; /* static: a sentence */
};

enum { ASSESS_ITEMS = 12 };
struct assessment {
    struct assess_item items[ASSESS_ITEMS];
    size_t n;
    size_t weak; /* offers weaker than the policy */
};

/* allowed: the policy's suites. assess_fini() frees what `out` holds. */
void assess_hello(const struct hello *h, suite_set allowed, struct assessment *out);
void assess_fini(struct assessment *a);

/* The offer in one line: highest version, how many of the policy's suites, what else. */
void assess_summary(const struct hello *h, suite_set allowed, struct text *out);

#endif
