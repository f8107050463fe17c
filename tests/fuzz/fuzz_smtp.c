/* The dialogue before TLS. First byte: how the rest is split; the rest is the server's replies. The
 * result must not depend on the splits. */
#include "fuzz.h"

#include "check/smtp.h"

enum { STEPS = 3 };

/* Where it ends, the commands on the way, and the size of each reply. */
struct heard {
    enum smtp_status status;
    size_t steps, ends[STEPS], used;
    struct smtp smtp;
};

static bool is_final(enum smtp_status status)
{
    return status != SMTP_MORE && status != SMTP_SEND;
}

static void hear(struct heard *h, const uint8_t *p, size_t n, uint32_t *seed)
{
    *h = (struct heard){.status = SMTP_MORE};
    while (h->used < n && !is_final(h->status)) {
        size_t piece = seed ? fuzz_piece(seed, n - h->used) : n - h->used, used = n + 1;
        uint8_t *copy = fuzz_copy(p + h->used, piece);
        h->status = smtp_feed(&h->smtp, (const char *)copy, piece, &used);
        free(copy);
        CHECK(used > 0 && used <= piece);
        CHECK(h->status != SMTP_MORE || used == piece);
        h->used += used;
        if (h->status != SMTP_SEND) continue;
        CHECK(h->steps < STEPS - 1);
        h->ends[h->steps++] = h->used;
        CHECK(strcmp(smtp_command(&h->smtp),
                     h->steps == 1 ? "EHLO suitegate.invalid\r\n" : "STARTTLS\r\n") == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    uint32_t seed = data[0];
    struct heard whole, cut;
    hear(&whole, data + 1, size - 1, NULL);
    hear(&cut, data + 1, size - 1, &seed);
    CHECK(whole.steps == cut.steps && memcmp(whole.ends, cut.ends, sizeof whole.ends) == 0);
    CHECK(whole.smtp.step == cut.smtp.step && whole.smtp.offered == cut.smtp.offered);
    CHECK(whole.smtp.n == cut.smtp.n && whole.smtp.lines == cut.smtp.lines);
    CHECK(memcmp(whole.smtp.line, cut.smtp.line, sizeof whole.smtp.line) == 0);
    /* A piece that ends with a reply gives SMTP_SEND; with more bytes it would be SMTP_MORE. */
    CHECK(whole.used == cut.used && is_final(whole.status) == is_final(cut.status));
    if (!is_final(whole.status)) {
        CHECK(whole.used == size - 1);
        return 0;
    }
    CHECK(whole.status == cut.status);
    CHECK(memchr(whole.smtp.line, 0, sizeof whole.smtp.line));
    /* A refusal has a whole line of digits and text. */
    if (whole.status == SMTP_READY) CHECK(whole.steps == 2 && whole.smtp.line[0] == '2');
    if (whole.status == SMTP_WITHOUT) CHECK(whole.steps == 1 && !whole.smtp.offered);
    if (whole.status == SMTP_REFUSED) CHECK(whole.smtp.line[0] != '2' && whole.smtp.line[2]);
    return 0;
}
