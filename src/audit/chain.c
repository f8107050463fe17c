#include "audit/chain.h"

#include "pki/keys.h"

#include <string.h>

#define SEQUENCE_KEY ",\"sequence\":"
#define HASH_KEY ",\"hash\":\""
#define LINE_TAIL "\"}}"

enum { DIGEST = 32, DIGITS_LIMIT = 19, TAIL = sizeof LINE_TAIL - 1 };

void chain_begin(struct chain *c)
{
    c->sequence = 0;
    memset(c->hash, '0', CHAIN_HASH);
    c->hash[CHAIN_HASH] = '\0';
}

bool chain_hash(const char previous[CHAIN_HASH], const char *line, size_t covered,
                char out[CHAIN_HASH + 1])
{
    uint8_t digest[DIGEST];
    struct span before = {(const uint8_t *)previous, CHAIN_HASH};
    if (!digest_sha256_two(before, (struct span){(const uint8_t *)line, covered}, digest))
        return false;
    text_hex(digest, sizeof digest, out);
    return true;
}

bool chain_seal(struct chain *c, struct text *line)
{
    char number[TEXT_DECIMAL_SIZE], hash[CHAIN_HASH + 1];
    text_decimal(c->sequence + 1, number);
    text_add(line, SEQUENCE_KEY);
    text_add(line, number);
    text_add(line, HASH_KEY);
    if (line->failed || !chain_hash(c->hash, line->data, line->size, hash)) return false;
    text_add(line, hash);
    text_add(line, LINE_TAIL "\n");
    if (line->failed) return false;
    c->sequence++;
    memcpy(c->hash, hash, sizeof hash);
    return true;
}

/* No branch per digit: every line of a log is checked. */
static bool is_hash(const char *p)
{
    unsigned bad = 0;
    for (size_t i = 0; i < CHAIN_HASH; i++) {
        unsigned c = (unsigned char)p[i];
        bad |= (c - '0' > 9) & (c - 'a' > 5);
    }
    return !bad;
}

/* Does the part of line before p end in s? */
static bool ends_in(const char *line, const char *p, const char *s)
{
    size_t n = strlen(s);
    return (size_t)(p - line) >= n && memcmp(p - n, s, n) == 0;
}

/* Read from the end: the part before it has peers' text. */
bool chain_read(const char *line, size_t n, struct chain_line *out)
{
    if (n < TAIL + CHAIN_HASH || !ends_in(line, line + n, LINE_TAIL)) return false;
    const char *p = line + n - TAIL - CHAIN_HASH;
    if (!is_hash(p) || !ends_in(line, p, HASH_KEY)) return false;
    *out = (struct chain_line){.hash = p, .covered = (size_t)(p - line)};
    p -= strlen(HASH_KEY);
    const char *end = p;
    while (p > line && p[-1] >= '0' && p[-1] <= '9') p--;
    if (p == end || end - p > DIGITS_LIMIT || *p == '0' || !ends_in(line, p, SEQUENCE_KEY))
        return false;
    for (; p < end; p++) out->sequence = out->sequence * 10 + (uint64_t)(*p - '0');
    return true;
}
