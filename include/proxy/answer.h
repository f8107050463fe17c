/* What a test listener answers: to people a page, to programs JSON, about the very handshake that
 * the request came through. Pure: facts in, an HTTP/1.1 response out. */
#ifndef PROXY_ANSWER_H
#define PROXY_ANSWER_H

#include "base/addr.h"
#include "base/text.h"
#include "policy/hello.h"
#include "proxy/recent.h"
#include "tls/session.h"

struct answer_facts {
    const struct hello *hello;
    const char *ja4;
    suite_set allowed;
    enum key_type key; /* of the certificate that was presented */
    struct agreed agreed;
    struct addr peer;
    const char *listener, *connection_id;
    struct recent *recent;
};

/* request: a request's bytes, head included. */
void answer_request(const struct answer_facts *facts, const uint8_t *request, size_t n,
                    struct text *out);

/* It only looks at who came before. */
bool answer_is_view(const uint8_t *request, size_t n);

#endif
