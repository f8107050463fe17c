#include "pki/name.h"

#include "pki/der.h"

#include <string.h>

enum {
    UTF8_STRING = 0x0c,
    NUMERIC_STRING = 0x12,
    PRINTABLE_STRING = 0x13,
    TELETEX_STRING = 0x14,
    IA5_STRING = 0x16,
    VISIBLE_STRING = 0x1a,
    UNIVERSAL_STRING = 0x1c,
    BMP_STRING = 0x1e,
    PAIRS_LIMIT = 8, /* attributes of one RDN */
};

/* One attribute of a relative distinguished name. */
struct pair {
    struct span type;
    uint8_t tag; /* of its value */
    struct span value;
};

/* The characters of a string as RFC 5280 section 7.1 compares them. */
struct characters {
    struct reader r;
    uint8_t tag;
    bool begun, space;
    int32_t next; /* read ahead, after white space; -1: none */
    bool malformed;
};

enum { END = -1 };

static bool is_string(uint8_t tag)
{
    switch (tag) {
    case UTF8_STRING:
    case NUMERIC_STRING:
    case PRINTABLE_STRING:
    case TELETEX_STRING:
    case IA5_STRING:
    case VISIBLE_STRING:
    case UNIVERSAL_STRING:
    case BMP_STRING:
        return true;
    default:
        return false;
    }
}

/* A UTF-8 character (RFC 3629), after its first byte. */
static int32_t rest_of_utf8(struct reader *r, uint8_t first)
{
    unsigned more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 4;
    int32_t c = first & (0x3f >> more);
    if (more == 4 || first > 0xf4) r->failed = true;
    for (unsigned i = 0; i < more && !r->failed; i++) {
        uint8_t byte = reader_u8(r);
        if ((byte & 0xc0) != 0x80) r->failed = true;
        c = c << 6 | (byte & 0x3f);
    }
    return c;
}

static int32_t raw_character(struct characters *s)
{
    if (s->r.left == 0) return END;
    int32_t c;
    if (s->tag == UNIVERSAL_STRING) {
        c = (int32_t)(reader_number(&s->r, 4) & 0x7fffffff);
    } else if (s->tag == BMP_STRING) {
        c = reader_u16(&s->r);
    } else {
        c = reader_u8(&s->r);
        if (s->tag == UTF8_STRING && c >= 0x80) c = rest_of_utf8(&s->r, (uint8_t)c);
    }
    if (s->r.failed) s->malformed = true;
    return s->malformed ? END : c;
}

static bool is_space(int32_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Inner white space becomes one space; at the ends it is dropped. */
static int32_t next_character(struct characters *s)
{
    int32_t c = s->next;
    if (c >= 0) {
        s->next = -1;
        return c;
    }
    bool space = false;
    while (is_space(c = raw_character(s))) space = true;
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    if (c != END && space && s->begun) {
        s->next = c;
        return ' ';
    }
    s->begun = true;
    return c;
}

static struct characters characters_of(const struct pair *p)
{
    return (struct characters){.r = reader_of(p->value), .tag = p->tag, .next = -1};
}

static bool values_equal(const struct pair *a, const struct pair *b)
{
    if (a->tag == b->tag && a->value.n == b->value.n &&
        (a->value.n == 0 || memcmp(a->value.p, b->value.p, a->value.n) == 0))
        return true;
    if (!is_string(a->tag) || !is_string(b->tag)) return false;
    struct characters x = characters_of(a), y = characters_of(b);
    for (;;) {
        int32_t c = next_character(&x), d = next_character(&y);
        if (c != d || x.malformed || y.malformed) return false;
        if (c == END) return true;
    }
}

static bool pairs_equal(const struct pair *a, const struct pair *b)
{
    return a->type.n == b->type.n && memcmp(a->type.p, b->type.p, a->type.n) == 0 &&
           values_equal(a, b);
}

static bool read_pair(struct reader *r, struct pair *out)
{
    struct der_item pair, type, value;
    if (!der_expect(r, DER_SEQUENCE, &pair)) return false;
    struct reader p = reader_of(pair.content);
    if (!der_expect(&p, DER_OID, &type) || !der_next(&p, &value) || p.left > 0) return false;
    *out = (struct pair){type.content, value.tag, value.content};
    return true;
}

/* The number of attributes; 0 when malformed or too many. */
static size_t read_rdn(struct span set, struct pair out[PAIRS_LIMIT])
{
    struct reader r = reader_of(set);
    size_t n = 0;
    while (r.left > 0)
        if (n == PAIRS_LIMIT || !read_pair(&r, &out[n++])) return 0;
    return n;
}

static uint32_t hash_byte(uint32_t hash, uint32_t byte)
{
    return (hash ^ (byte & 0xff)) * 16777619u; /* FNV-1a */
}

/* False when the value does not match its string type. */
static bool hash_pair(const struct pair *p, uint32_t *out)
{
    uint32_t hash = 2166136261u;
    int32_t c;
    struct characters s = characters_of(p);
    for (size_t i = 0; i < p->type.n; i++) hash = hash_byte(hash, p->type.p[i]);
    for (size_t i = 0; !is_string(p->tag) && i < p->value.n; i++)
        hash = hash_byte(hash, p->value.p[i]);
    while (is_string(p->tag) && (c = next_character(&s)) != END)
        for (int bits = 0; bits < 24; bits += 8) hash = hash_byte(hash, (uint32_t)c >> bits);
    *out = hash;
    return !s.malformed;
}

static bool hash_pairs(const struct pair *pairs, size_t n, uint32_t out[PAIRS_LIMIT])
{
    for (size_t i = 0; i < n; i++)
        if (!hash_pair(&pairs[i], &out[i])) return false;
    return true;
}

/* A SET has no order. Only attributes with equal hashes are compared, so that a crafted order does
 * not cost more. */
static bool rdns_equal(struct span a, struct span b)
{
    struct pair x[PAIRS_LIMIT], y[PAIRS_LIMIT];
    uint32_t hash_x[PAIRS_LIMIT] = {0}, hash_y[PAIRS_LIMIT] = {0};
    bool used[PAIRS_LIMIT] = {false};
    size_t n = read_rdn(a, x);
    if (n == 0 || n != read_rdn(b, y)) return false;
    if (n == 1) return pairs_equal(&x[0], &y[0]);
    if (!hash_pairs(x, n, hash_x) || !hash_pairs(y, n, hash_y)) return false;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < n && (used[k] || hash_x[i] != hash_y[k] || !pairs_equal(&x[i], &y[k]))) k++;
        if (k == n) return false;
        used[k] = true;
    }
    return true;
}

static bool open_name(struct span name, struct reader *out)
{
    struct reader r = reader_of(name);
    struct der_item sequence;
    if (!der_expect(&r, DER_SEQUENCE, &sequence) || r.left > 0) return false;
    *out = reader_of(sequence.content);
    return true;
}

bool name_is_within(struct span name, struct span base)
{
    struct reader n, b;
    struct der_item x, y;
    if (!open_name(name, &n) || !open_name(base, &b)) return false;
    while (b.left > 0)
        if (!der_expect(&b, DER_SET, &y) || !der_expect(&n, DER_SET, &x) ||
            !rdns_equal(x.content, y.content))
            return false;
    return true;
}

bool name_equal(struct span a, struct span b)
{
    struct reader x, y;
    struct der_item s, t;
    if (a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0)) return true;
    if (!open_name(a, &x) || !open_name(b, &y)) return false;
    while (x.left > 0 && y.left > 0)
        if (!der_expect(&x, DER_SET, &s) || !der_expect(&y, DER_SET, &t) ||
            !rdns_equal(s.content, t.content))
            return false;
    return x.left == 0 && y.left == 0;
}

bool name_hash(struct span name, uint32_t *out)
{
    struct reader r;
    struct der_item set;
    *out = 0;
    if (!open_name(name, &r)) return false;
    while (r.left > 0) {
        struct pair pairs[PAIRS_LIMIT];
        uint32_t hashes[PAIRS_LIMIT], sum = 0;
        size_t n = der_expect(&r, DER_SET, &set) ? read_rdn(set.content, pairs) : 0;
        if (n == 0 || !hash_pairs(pairs, n, hashes)) return false;
        for (size_t i = 0; i < n; i++) sum += hashes[i]; /* whatever their order */
        *out = *out * 31 + sum;
    }
    return true;
}

bool name_is_empty(struct span name)
{
    struct reader r;
    return !open_name(name, &r) || r.left == 0;
}

bool name_each_email(struct span name, bool (*each)(void *arg, struct span value), void *arg)
{
    static const struct oid email = {9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1}};
    struct reader r;
    struct der_item set;
    struct pair pair;
    if (!open_name(name, &r)) return false;
    while (r.left > 0) {
        if (!der_expect(&r, DER_SET, &set)) return false;
        struct reader s = reader_of(set.content);
        while (s.left > 0) {
            if (!read_pair(&s, &pair)) return false;
            if (oid_is(pair.type, &email) && !each(arg, pair.value)) return false;
        }
    }
    return true;
}

static const char *attribute_name(struct span oid)
{
    static const struct {
        uint8_t last;
        const char *name;
    } names[] = {{3, "CN"},     {6, "C"},  {7, "L"},   {8, "ST"},
                 {9, "STREET"}, {10, "O"}, {11, "OU"}, {5, "serialNumber"}};
    static const struct oid component = {
        10, {0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19}};
    if (oid_is(oid, &component)) return "DC";
    if (oid.n != 3 || oid.p[0] != 0x55 || oid.p[1] != 0x04) return NULL;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i].last == oid.p[2]) return names[i].name;
    return NULL;
}

/* RFC 4514 section 2.4. Bytes outside ASCII stay: they are UTF-8, or the JSON writer replaces
 * them. */
static void format_value(struct span v, struct text *out)
{
    for (size_t i = 0; i < v.n; i++) {
        uint8_t c = v.p[i];
        bool edge = (i == 0 && (c == ' ' || c == '#')) || (i == v.n - 1 && c == ' ');
        if (c < 0x20 || c == 0x7f)
            text_printf(out, "\\%02X", c);
        else if (edge || strchr("\"+,;<>\\", c))
            text_printf(out, "\\%c", c);
        else
            text_add_bytes(out, &c, 1);
    }
}

static void format_rdn(struct span set, struct text *out)
{
    struct reader r = reader_of(set);
    struct der_item pair, oid, value;
    bool first = true;
    while (r.left > 0 && der_expect(&r, DER_SEQUENCE, &pair)) {
        struct reader p = reader_of(pair.content);
        if (!der_expect(&p, DER_OID, &oid) || !der_next(&p, &value)) return;
        if (!first) text_add(out, "+");
        first = false;
        const char *name = attribute_name(oid.content);
        if (name)
            text_printf(out, "%s=", name);
        else
            text_add(out, "OID=");
        format_value(value.content, out);
    }
}

void name_format(struct span name, struct text *out)
{
    enum { RDN_LIMIT = 32 };
    struct span sets[RDN_LIMIT];
    size_t n = 0;
    struct reader outer = reader_of(name);
    struct der_item sequence, set;
    if (!der_expect(&outer, DER_SEQUENCE, &sequence)) return;
    struct reader r = reader_of(sequence.content);
    while (r.left > 0 && n < RDN_LIMIT && der_expect(&r, DER_SET, &set)) sets[n++] = set.content;
    while (n > 0) {
        format_rdn(sets[--n], out);
        if (n > 0) text_add(out, ",");
    }
}
