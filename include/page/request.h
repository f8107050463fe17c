/* Reads what a page needs of an HTTP/1 request (RFC 9112). Pure functions on bytes. */
#ifndef PAGE_REQUEST_H
#define PAGE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* May these bytes be the beginning of an HTTP request? */
bool request_begins(const uint8_t *p, size_t n);
/* Is its method HEAD, whose answer has no body (RFC 9110 section 9.3.2)? */
bool request_is_head(const uint8_t *p, size_t n);
/* Are its line and header fields complete? */
bool request_is_whole(const uint8_t *p, size_t n);
/* Does its Accept field name text/html? */
bool request_wants_html(const uint8_t *p, size_t n);

struct request {
    bool head_only, html;
    char path[64]; /* without its query; cut to fit */
};
struct request request_read(const uint8_t *p, size_t n);

#endif
