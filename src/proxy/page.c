#include "conn_impl.h"

static const char *who(enum reason_blame blame)
{
    static const char *const names[] = {"the client", "the server at the other end",
                                        "the operator of this proxy"};
    return names[blame];
}

static void render_text(const struct page *p, const struct reason_row *row, struct text *out)
{
    text_printf(out,
                "suitegate refused this connection: %s.\n\n"
                "Code:         %s\n"
                "Destination:  %s\n"
                "To change:    %s\n"
                "What to do:   %s\n"
                "Connection:   %s (in the audit log)\n",
                row->sentence, row->code, *p->destination ? p->destination : "-", who(row->blame),
                row->remedy, p->connection_id);
}

/* Nothing of a peer's goes into a page but the destination, whose characters were checked
 * (RFC 1123 names, IP addresses), and still it is escaped. */
static void put_row(struct text *out, const char *term, const char *value)
{
    text_printf(out, "<dt>%s</dt><dd>", term);
    text_add_html(out, value);
    text_add(out, "</dd>\n");
}

static void render_html(const struct page *p, const struct reason_row *row, struct text *out)
{
    text_add(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                  "<title>Connection refused by suitegate</title>\n<style>\n"
                  "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;"
                  "padding:0 1rem;color:#1a1a1a;background:#fff}\n"
                  "h1{font-size:1.5rem}dt{color:#555;font-size:.875rem;margin-top:.75rem}"
                  "dd{margin:0;overflow-wrap:anywhere}code{font:inherit}\n"
                  "@media(prefers-color-scheme:dark){body{color:#eee;background:#1a1a1a}"
                  "dt{color:#aaa}}\n</style>\n</head>\n<body>\n<main>\n"
                  "<h1>Connection refused by suitegate</h1>\n<p>This proxy lets only TLS 1.2 with "
                  "approved cipher suites and verified certificates through. Here, ");
    text_add_html(out, row->sentence);
    text_add(out, ".</p>\n<dl>\n");
    put_row(out, "Code", row->code);
    put_row(out, "Destination", *p->destination ? p->destination : "-");
    put_row(out, "Who has to change something", who(row->blame));
    put_row(out, "What to do", row->remedy);
    put_row(out, "Connection in the audit log", p->connection_id);
    text_add(out, "</dl>\n</main>\n</body>\n</html>\n");
}

void page_render(const struct page *p, struct text *out)
{
    const struct reason_row *row = reason_row(p->reason);
    struct text body = {0};
    if (p->html)
        render_html(p, row, &body);
    else
        render_text(p, row, &body);
    text_printf(out,
                "HTTP/1.1 %u %s\r\n"
                "Proxy-Status: suitegate; error=%s; details=\"%s\"\r\n"
                "Content-Type: text/%s; charset=utf-8\r\n"
                "Content-Length: %zu\r\n"
                "Cache-Control: no-store\r\n"
                "Connection: close\r\n\r\n",
                p->status, reason_http_phrase(p->status), p->proxy_status, row->code,
                p->html ? "html" : "plain", body.size);
    if (!p->head_only) text_add_bytes(out, text_string(&body), body.size);
    text_fini(&body);
}
