#include "page/request.h"

#include "base/text.h"
#include "policy/target.h"

#include <string.h>
#include <strings.h>

bool request_begins(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n && i < 20 && p[i] >= 'A' && p[i] <= 'Z') i++;
    return i == n || (i >= 3 && p[i] == ' ');
}

bool request_is_head(const uint8_t *p, size_t n)
{
    size_t skipped = target_empty_lines(p, n);
    return n - skipped >= 5 && memcmp(p + skipped, "HEAD ", 5) == 0;
}

bool request_is_whole(const uint8_t *p, size_t n)
{
    return memmem(p, n, "\r\n\r\n", 4) || memmem(p, n, "\n\n", 2);
}

bool request_wants_html(const uint8_t *p, size_t n)
{
    struct text request = {0};
    text_add_bytes(&request, p, n);
    const char *accept = strcasestr(text_string(&request), "\naccept:");
    const char *end = accept ? strchr(accept + 1, '\n') : NULL;
    const char *html = accept ? strcasestr(accept, "text/html") : NULL;
    bool wants = html && end && html < end;
    text_fini(&request);
    return wants;
}

struct request request_read(const uint8_t *p, size_t n)
{
    struct request r = {.html = request_wants_html(p, n)};
    const uint8_t *space = memchr(p, ' ', n);
    size_t at = space ? (size_t)(space - p) + 1 : n, i = 0;
    r.head_only = request_is_head(p, n);
    while (at < n && i + 1 < sizeof r.path && p[at] > ' ' && p[at] != '?')
        r.path[i++] = (char)p[at++];
    return r;
}
