#include "page/html.h"

#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1a1a1a;--paper:#fff;--dim:#555;--line:#d8d8d8;"
    "--good:#0a6b2d;--weak:#8a4b00;--bad:#a4161a}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#eee;--paper:#1a1a1a;--dim:#aaa;--line:#444;"
    "--good:#6fd08c;--weak:#f0b35a;--bad:#ff8a8a}}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2.5rem auto;padding:0 1rem;"
    "color:var(--ink);background:var(--paper)}\n"
    "h1{font-size:1.5rem}h2{font-size:1.125rem;margin-top:2rem}a{color:inherit}\n"
    "h3{font-size:1rem;margin:1.25rem 0 0}p{margin:.5rem 0;overflow-wrap:anywhere}"
    "pre{font-size:.875rem;padding:.5rem .75rem;margin:.5rem 0;border:1px solid var(--line);"
    "white-space:pre-wrap;overflow-wrap:anywhere}\n"
    "dt{color:var(--dim);font-size:.875rem;margin-top:.75rem}"
    "dd{margin:0;overflow-wrap:anywhere}\n"
    "table{border-collapse:collapse;width:100%;table-layout:fixed}"
    "th,td{text-align:left;vertical-align:top;padding:.5rem .75rem .5rem 0;"
    "border-bottom:1px solid var(--line);overflow-wrap:anywhere}"
    "th{font-weight:600}thead th{color:var(--dim);font-size:.875rem}"
    "th::first-letter{text-transform:uppercase}"
    "thead th:first-child{width:22%}thead th:nth-child(2){width:36%}\n"
    ".good{color:var(--good)}.weak{color:var(--weak)}.bad{color:var(--bad)}"
    ".dim{color:var(--dim);font-size:.875rem;font-weight:400}.narrow{display:none}\n"
    "@media(max-width:40rem){thead{display:none}tr,th,td{display:block;padding:0;border:0}"
    "tr{padding:.75rem 0;border-bottom:1px solid var(--line)}"
    ".narrow{display:inline;color:var(--dim)}}\n";

void html_begin(struct text *out, const char *title)
{
    text_printf(out,
                "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<title>%s</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n",
                title);
    text_add(out, style);
    text_printf(out, "</style>\n</head>\n<body>\n<main>\n<h1>%s</h1>\n", title);
}

void html_end(struct text *out)
{
    text_add(out, "</main>\n</body>\n</html>\n");
}

void html_add_name(struct text *out, const char *names)
{
    while (*names) {
        char part[64];
        size_t n = strcspn(names, "_");
        if (names[n] == '_') n++;
        if (n > sizeof part - 1) n = sizeof part - 1;
        memcpy(part, names, n);
        part[n] = '\0';
        text_add_html(out, part);
        if (part[n - 1] == '_') text_add(out, "<wbr>");
        names += n;
    }
}

void html_term(struct text *out, const char *term, const char *value)
{
    text_printf(out, "<dt>%s</dt><dd>", term);
    text_add_html(out, value);
    text_add(out, "</dd>\n");
}
