/* A refused client's HTTP response: a page for people, text for programs. Pure: facts in, a whole
 * HTTP/1.1 response out. */
#ifndef PAGE_REFUSAL_PAGE_H
#define PAGE_REFUSAL_PAGE_H

#include "base/text.h"
#include "policy/reasons.h"

#include <stdbool.h>

struct refusal_page {
    enum reason reason;
    unsigned status;
    const char *proxy_status; /* error type of RFC 9209 */
    const char *destination, *connection_id;
    bool html, head_only;
};

void refusal_page_render(const struct refusal_page *page, struct text *out);

#endif
