#include "pki/constraints.h"

#include "pki/name.h"
#include "policy/hello.h"

#include <string.h>
#include <strings.h>

/* GeneralName's tags (RFC 5280 section 4.2.1.6). */
enum {
    FORM_EMAIL = 0x81,
    FORM_DNS = 0x82,
    FORM_DIRECTORY = 0xa4,
    FORM_URI = 0x86,
    FORM_IP = 0x87,
};

/* One GeneralName; for a directory name, value is the Name. */
struct general_name {
    uint8_t form;
    struct span value;
};

static bool ends_with(struct span s, struct span end)
{
    return s.n >= end.n && (end.n == 0 || strncasecmp((const char *)s.p + s.n - end.n,
                                                      (const char *)end.p, end.n) == 0);
}

/* host is base or below it; for a base with a leading dot, only below it. */
static bool host_is_below(struct span host, struct span base)
{
    if (base.n == 0) return true;
    if (!ends_with(host, base)) return false;
    return host.n == base.n ? true : base.p[0] == '.' || host.p[host.n - base.n - 1] == '.';
}

/* URIs and mailboxes (section 4.2.1.10): one host, or with a leading dot all hosts below it. */
static bool host_matches(struct span host, struct span base)
{
    if (base.n == 0) return true;
    return ends_with(host, base) && (base.p[0] == '.' ? host.n > base.n : host.n == base.n);
}

static bool is_wildcard(struct span name)
{
    return name.n > 2 && name.p[0] == '*' && name.p[1] == '.';
}

static bool is_host(struct span s)
{
    if (is_wildcard(s)) s = (struct span){s.p + 2, s.n - 2};
    return s.n > 0 && s.p[s.n - 1] != '.' && hello_name_is_valid((const char *)s.p, s.n);
}

/* Can a host that the wildcard matches be in an excluded subtree? It matches one label. */
static bool wildcard_reaches(struct span name, struct span base)
{
    if (!is_wildcard(name)) return false;
    struct span parent = {name.p + 1, name.n - 1}; /* with its dot */
    return base.n > parent.n && base.p[0] != '.' && ends_with(base, parent) &&
           !memchr(base.p, '.', base.n - parent.n);
}

static bool split_email(struct span email, struct span *local, struct span *host)
{
    const uint8_t *at = email.n ? memrchr(email.p, '@', email.n) : NULL;
    if (!at || at == email.p || at == email.p + email.n - 1) return false;
    *local = (struct span){email.p, (size_t)(at - email.p)};
    *host = (struct span){at + 1, email.n - local->n - 1};
    return true;
}

static bool email_matches(struct span email, struct span base)
{
    struct span local, host, base_local, base_host;
    if (!split_email(email, &local, &host)) return false;
    if (!split_email(base, &base_local, &base_host)) return host_matches(host, base);
    return span_equal(local, base_local) && host.n == base_host.n && ends_with(host, base_host);
}

/* The host of a URI's authority; n = 0 when there is none, or an address. */
static struct span uri_host(struct span uri)
{
    const struct span none = {0};
    const uint8_t *slashes = uri.n ? memmem(uri.p, uri.n, "://", 3) : NULL;
    if (!slashes) return none;
    struct span rest = {slashes + 3, uri.n - (size_t)(slashes + 3 - uri.p)};
    size_t n = 0;
    while (n < rest.n && !strchr("/?#", rest.p[n])) n++;
    rest.n = n;
    const uint8_t *at = rest.n ? memrchr(rest.p, '@', rest.n) : NULL;
    if (at) rest = (struct span){at + 1, rest.n - (size_t)(at + 1 - rest.p)};
    const uint8_t *colon = rest.n ? memchr(rest.p, ':', rest.n) : NULL;
    if (colon) rest.n = (size_t)(colon - rest.p);
    bool address = rest.n > 0 && rest.p[rest.n - 1] >= '0' && rest.p[rest.n - 1] <= '9';
    return rest.n == 0 || address || !is_host(rest) ? none : rest;
}

/* base: address and mask. */
static bool ip_is_within(struct span ip, struct span base)
{
    if (base.n != 2 * ip.n) return false;
    for (size_t i = 0; i < ip.n; i++)
        if ((ip.p[i] ^ base.p[i]) & base.p[ip.n + i]) return false;
    return true;
}

/* A mask is ones, then zeros (RFC 4632). */
static bool is_mask(const uint8_t *mask, size_t n)
{
    bool ended = false;
    for (size_t bit = 0; bit < 8 * n; bit++) {
        bool set = mask[bit / 8] & (0x80 >> bit % 8);
        if (set && ended) return false;
        ended = ended || !set;
    }
    return true;
}

static bool base_is_sound(const struct general_name *base)
{
    if (base->form != FORM_IP) return true;
    return (base->value.n == 8 || base->value.n == 32) &&
           is_mask(base->value.p + base->value.n / 2, base->value.n / 2);
}

/* A name of a constrained form must be comparable. */
static bool name_is_sound(const struct general_name *name)
{
    struct span local, host;
    switch (name->form) {
    case FORM_EMAIL:
        return split_email(name->value, &local, &host);
    case FORM_DNS:
        return is_host(name->value);
    case FORM_DIRECTORY:
        return true;
    case FORM_URI:
        return uri_host(name->value).n > 0;
    case FORM_IP:
        return name->value.n == 4 || name->value.n == 16;
    default:
        return false; /* not supported */
    }
}

static bool is_within(const struct general_name *name, struct span base, bool excluded)
{
    switch (name->form) {
    case FORM_EMAIL:
        return email_matches(name->value, base);
    case FORM_DNS:
        return host_is_below(name->value, base) ||
               (excluded && wildcard_reaches(name->value, base));
    case FORM_DIRECTORY:
        return name_is_within(name->value, base);
    case FORM_URI:
        return host_matches(uri_host(name->value), base);
    default:
        return ip_is_within(name->value, base);
    }
}

static bool read_general_name(const struct der_item *item, struct general_name *out)
{
    struct reader r = reader_of(item->content);
    struct der_item inner;
    *out = (struct general_name){item->tag, item->content};
    if (item->tag != FORM_DIRECTORY) return true;
    if (!der_expect(&r, DER_SEQUENCE, &inner) || r.left > 0) return false;
    out->value = inner.whole;
    return true;
}

/* GeneralSubtree: minimum 0 and no maximum, as RFC 5280 requires. */
static bool next_subtree(struct reader *list, struct general_name *base)
{
    struct der_item subtree, item;
    if (!der_expect(list, DER_SEQUENCE, &subtree)) return false;
    struct reader r = reader_of(subtree.content);
    if (!der_next(&r, &item) || !read_general_name(&item, base) || !base_is_sound(base))
        return false;
    if (r.left == 0) return true;
    return der_expect(&r, 0x80, &item) && r.left == 0 && item.content.n == 1 &&
           item.content.p[0] == 0;
}

struct subtrees {
    struct span permitted, excluded; /* GeneralSubtrees content */
};

/* Reads and checks all: whether they are malformed does not depend on the names checked. */
static bool read_subtrees(struct span constraints, struct subtrees *out)
{
    struct reader r = reader_of(constraints);
    struct general_name unused;
    struct der_item item;
    *out = (struct subtrees){0};
    while (r.left > 0) {
        if (!der_next(&r, &item) || item.content.n == 0) return false;
        struct span *place = item.tag == DER_CONTEXT_0   ? &out->permitted
                             : item.tag == DER_CONTEXT_1 ? &out->excluded
                                                         : NULL;
        if (!place || place->n > 0) return false;
        *place = item.content;
        struct reader list = reader_of(item.content);
        while (list.left > 0)
            if (!next_subtree(&list, &unused)) return false;
    }
    return true;
}

static bool name_is_allowed(const struct subtrees *s, const struct general_name *name)
{
    struct reader permitted = reader_of(s->permitted), excluded = reader_of(s->excluded);
    struct general_name base;
    bool asked = false, inside = false;
    while (permitted.left > 0 && next_subtree(&permitted, &base)) {
        if (base.form != name->form) continue;
        if (!name_is_sound(name)) return false;
        asked = true;
        inside = inside || is_within(name, base.value, false);
    }
    if (asked && !inside) return false;
    while (excluded.left > 0 && next_subtree(&excluded, &base))
        if (base.form == name->form && (!name_is_sound(name) || is_within(name, base.value, true)))
            return false;
    return true;
}

static bool email_is_allowed(void *subtrees, struct span value)
{
    const struct general_name name = {FORM_EMAIL, value};
    return name_is_allowed(subtrees, &name);
}

bool constraints_allow(struct span constraints, const struct cert *c)
{
    struct subtrees s;
    const struct general_name subject = {FORM_DIRECTORY, c->subject};
    if (!read_subtrees(constraints, &s)) return false;
    if (!name_is_empty(c->subject) &&
        (!name_is_allowed(&s, &subject) || !name_each_email(c->subject, email_is_allowed, &s)))
        return false;
    struct reader r = reader_of(c->san);
    while (r.left > 0) {
        struct der_item item;
        struct general_name name;
        if (!der_next(&r, &item) || !read_general_name(&item, &name) || !name_is_allowed(&s, &name))
            return false;
    }
    return true;
}
