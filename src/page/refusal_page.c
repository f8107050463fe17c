#include "page/refusal_page.h"

#include "page/html.h"

static const char *who(enum reason_blame blame)
{
    static const char *const names[] = {"the client", "the server at the other end",
                                        "the operator of this proxy"};
    return names[blame];
}

static void render_text(const struct refusal_page *p, const struct reason_row *row,
                        struct text *out)
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

/* The destination is the only text from a peer. Its characters were checked (RFC 1123 names, IP
 * addresses); it is escaped all the same. */
static void render_html(const struct refusal_page *p, const struct reason_row *row,
                        struct text *out)
{
    html_begin(out, "Connection refused by suitegate");
    text_add(out, "<p>This proxy lets only TLS 1.2 with approved cipher suites and verified "
                  "certificates through. Here, ");
    text_add_html(out, row->sentence);
    text_add(out, ".</p>\n<dl>\n");
    html_term(out, "Code", row->code);
    html_term(out, "Destination", *p->destination ? p->destination : "-");
    html_term(out, "Who has to change something", who(row->blame));
    html_term(out, "What to do", row->remedy);
    html_term(out, "Connection in the audit log", p->connection_id);
    text_add(out, "</dl>\n");
    html_end(out);
}

/* The status line names the code: for a refused CONNECT, Java, git and .NET show only that line. */
void refusal_page_render(const struct refusal_page *p, struct text *out)
{
    const struct reason_row *row = reason_row(p->reason);
    struct text body = {0};
    if (p->html)
        render_html(p, row, &body);
    else
        render_text(p, row, &body);
    text_printf(out,
                "HTTP/1.1 %u %s (%s)\r\n"
                "Proxy-Status: suitegate; error=%s; details=\"%s\"\r\n"
                "Content-Type: text/%s; charset=utf-8\r\n"
                "Content-Length: %zu\r\n"
                "Cache-Control: no-store\r\n"
                "Connection: close\r\n\r\n",
                p->status, reason_http_phrase(p->status), row->code, p->proxy_status, row->code,
                p->html ? "html" : "plain", body.size);
    if (!p->head_only) text_add_bytes(out, text_string(&body), body.size);
    text_fini(&body);
}
