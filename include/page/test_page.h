/* A test listener's response: a page for people, JSON for programs, about the handshake of the
 * request's own connection. Pure: facts in, an HTTP/1.1 response out. */
#ifndef PAGE_TEST_PAGE_H
#define PAGE_TEST_PAGE_H

#include "base/addr.h"
#include "base/text.h"
#include "page/recent.h"
#include "policy/hello.h"
#include "tls/session.h"

struct test_page_facts {
    const struct hello *hello;
    const char *ja4;
    suite_set allowed;
    enum key_type key; /* of the certificate that was presented */
    struct agreed agreed;
    struct addr peer;
    bool is_of_this_machine;
    const char *listener, *connection_id;
    struct recent *recent;
};

/* request: the request's bytes, from its head. */
void test_page_render(const struct test_page_facts *facts, const uint8_t *request, size_t n,
                      struct text *out);

/* Is it a request for the recent attempts only? */
bool test_page_is_view(const uint8_t *request, size_t n);

#endif
