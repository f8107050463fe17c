/* An altered audit log: verify, report and tail read it line by line. In a log that verify reports
 * as intact, the records' numbers are consecutive. */
#include "fuzz.h"

#include "ledger/report.h"
#include "ledger/verify.h"

static void read_entry(const struct line_view *line)
{
    struct log_entry e;
    struct text words = {0};
    struct chain_line sealed;
    if (chain_read(line->p, line->n, &sealed)) {
        CHECK(sealed.sequence > 0 && sealed.covered < line->n);
        CHECK(sealed.hash == line->p + sealed.covered);
    }
    if (!entry_read(line, &e)) return;
    entry_describe_offer(&e, &words);
    size_t before = words.size;
    text_add_visible(&words, e.message, 100);
    CHECK(words.size - before <= 100);
    for (size_t i = before; i < words.size; i++) CHECK(words.data[i] >= ' ' && words.data[i] < 127);
    text_add_html(&words, e.message);
    text_fini(&words);
    entry_fini(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verify_keys keys;
    CHECK(verify_keys_init(&keys, NULL, 0));
    struct verify *v = verify_new(&keys, "", NULL);
    struct report report;
    uint64_t number = 0, fed = 0;
    report_init(&report);
    CHECK(v && !report.failed);
    for (size_t from = 0; from < size;) {
        const uint8_t *newline = memchr(data + from, '\n', size - from);
        size_t n = newline ? (size_t)(newline - data) - from : size - from;
        char *copy = (char *)fuzz_copy(data + from, n + 1 < size - from ? n + 1 : n);
        copy = realloc(copy, n + 1);
        CHECK(copy);
        copy[n] = '\0';
        struct line_view line = {copy, n, newline != NULL};
        if (n > 0) {
            verify_line(v, "log", ++number, &line);
            report_line(&report, &line);
            read_entry(&line);
            fed++;
        }
        free(copy);
        from += n + 1;
    }
    verify_end(v);
    report_finish(&report);
    const struct verify_summary *s = verify_summary(v);
    CHECK(s->records <= fed);
    CHECK(s->unlinked < s->chains);
    CHECK((s->fault == VERIFY_INTACT) == (s->sentence.size == 0));
    CHECK(report.records + report.unreadable >= fed || report.failed);
    CHECK(report.allowed + report.refused <= report.records);
    report_fini(&report);
    verify_free(v);
    verify_keys_fini(&keys);
    return 0;
}
