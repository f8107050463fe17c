#include "pki/policies.h"

#include <stddef.h>

/* With more policies at one depth, no explicit policy is found. */
enum { POLICIES_LIMIT = 64 };

static const struct oid any_policy = {4, {0x55, 0x1d, 0x20, 0}};

/* The policies that the next certificate may name. */
struct policy_list {
    struct span oids[POLICIES_LIMIT];
    size_t n;
    bool any; /* any other policy too */
    bool overflow;
};

/* RFC 5280 section 6.1.2 (d) to (f). */
struct policy_state {
    struct policy_list expected;
    size_t explicit_policy, policy_mapping, inhibit_any;
};

static void add(struct policy_list *list, struct span oid)
{
    for (size_t i = 0; i < list->n; i++)
        if (span_equal(list->oids[i], oid)) return;
    if (list->n < POLICIES_LIMIT)
        list->oids[list->n++] = oid;
    else
        list->overflow = true;
}

static bool has(const struct policy_list *list, struct span oid)
{
    for (size_t i = 0; i < list->n; i++)
        if (span_equal(list->oids[i], oid)) return true;
    return false;
}

static bool next_policy(struct reader *r, struct span *oid)
{
    struct der_item information, id;
    if (!der_expect(r, DER_SEQUENCE, &information)) return false;
    struct reader inner = reader_of(information.content);
    if (!der_expect(&inner, DER_OID, &id)) return false;
    *oid = id.content;
    return true;
}

/* Section 6.1.3 (d) and (e): from the expected policies to the valid ones. */
static bool take_policies(struct policy_state *s, const struct cert *c, bool any_allowed)
{
    const struct policy_list before = s->expected;
    struct policy_list *valid = &s->expected;
    struct reader r = reader_of(c->policies);
    bool any = false;
    struct span oid;
    *valid = (struct policy_list){0};
    while (r.left > 0) {
        if (!next_policy(&r, &oid)) return false;
        if (oid_is(oid, &any_policy))
            any = true;
        else if (before.any || has(&before, oid))
            add(valid, oid);
    }
    if (!any || !any_allowed) return true;
    valid->any = before.any;
    for (size_t i = 0; i < before.n; i++) add(valid, before.oids[i]);
    return true;
}

static bool next_mapping(struct reader *r, struct span *from, struct span *to)
{
    struct der_item pair, issuer, subject;
    if (!der_expect(r, DER_SEQUENCE, &pair)) return false;
    struct reader p = reader_of(pair.content);
    if (!der_expect(&p, DER_OID, &issuer) || !der_expect(&p, DER_OID, &subject)) return false;
    *from = issuer.content;
    *to = subject.content;
    return !oid_is(*from, &any_policy) && !oid_is(*to, &any_policy);
}

static bool is_mapped(const struct cert *c, struct span oid)
{
    struct reader r = reader_of(c->policy_mappings);
    struct span from, to;
    while (r.left > 0 && next_mapping(&r, &from, &to))
        if (span_equal(from, oid)) return true;
    return false;
}

/* Section 6.1.4 (a) and (b). */
static bool map_policies(struct policy_state *s, const struct cert *c)
{
    const struct policy_list valid = s->expected;
    struct policy_list *expected = &s->expected;
    struct reader r = reader_of(c->policy_mappings);
    struct span from, to;
    *expected = (struct policy_list){.any = valid.any};
    for (size_t i = 0; i < valid.n; i++)
        if (!is_mapped(c, valid.oids[i])) add(expected, valid.oids[i]);
    while (r.left > 0) {
        if (!next_mapping(&r, &from, &to)) return false;
        if (s->policy_mapping > 0 && (valid.any || has(&valid, from))) add(expected, to);
    }
    expected->overflow = expected->overflow || valid.overflow;
    return true;
}

static void count_down(size_t *counter)
{
    if (*counter > 0) --*counter;
}

static void lower(size_t *counter, int to)
{
    if (to != CERT_ABSENT && (size_t)to < *counter) *counter = (size_t)to;
}

/* Section 6.1.4 (h) to (j). */
static void prepare_counters(struct policy_state *s, const struct cert *c)
{
    if (!cert_is_self_issued(c)) {
        count_down(&s->explicit_policy);
        count_down(&s->policy_mapping);
        count_down(&s->inhibit_any);
    }
    lower(&s->explicit_policy, c->require_explicit_policy);
    lower(&s->policy_mapping, c->inhibit_policy_mapping);
    lower(&s->inhibit_any, c->inhibit_any_policy);
}

static bool has_policy(const struct policy_list *list)
{
    return (list->n > 0 || list->any) && !list->overflow;
}

bool policies_hold(const struct cert *const *path, size_t n)
{
    struct policy_state s = {
        .expected = {.any = true}, .explicit_policy = n, .policy_mapping = n, .inhibit_any = n};
    for (size_t i = n - 1; i-- > 0;) {
        const struct cert *c = path[i];
        bool leaf = i == 0;
        bool any_allowed = s.inhibit_any > 0 || (!leaf && cert_is_self_issued(c));
        if (!take_policies(&s, c, any_allowed)) return false;
        if (s.explicit_policy == 0 && !has_policy(&s.expected)) return false;
        if (!leaf) {
            if (!map_policies(&s, c)) return false;
            prepare_counters(&s, c);
        }
    }
    if (n < 2) return true;
    /* Section 6.1.5 (a), (b) and (g). */
    count_down(&s.explicit_policy);
    if (path[0]->require_explicit_policy == 0) s.explicit_policy = 0;
    return s.explicit_policy > 0 || has_policy(&s.expected);
}
