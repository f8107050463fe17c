/* Plain HTTP with few fixed paths: a listening socket that libmicrohttpd serves in a thread of its
 * own. That library is loaded when it is first needed. GET and HEAD only, bounded per client. For
 * the main thread, but for the site's functions. */
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

#include "base/addr.h"
#include "base/text.h"

struct http_server;

struct http_request {
    const char *path;          /* as it was sent: nothing that is served needs an escape */
    const char *host;          /* with the port, if it has one; "": none (HTTP/1.0) */
    struct addr local, client; /* length 0: a Unix socket */
};

/* status 200 and an empty body at first. */
struct http_response {
    unsigned status;
    const char *type;   /* static, as the next one */
    const char *policy; /* Content-Security-Policy; NULL: HTTP_POLICY */
    unsigned max_age;   /* seconds; 0: not to be stored */
    struct text body;
};

#define HTTP_POLICY                                                                          \
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; " \
    "base-uri 'none'; form-action 'none'"

/* Called on the server's thread. get: false: there is no such path. */
struct http_site {
    bool (*allows)(void *arg, const struct addr *client);
    bool (*get)(void *arg, const struct http_request *request, struct http_response *out);
    void *arg;
};

/* False with a sentence in errors: the library that `who` needs is not there. Before the next one.
 */
WARN_UNUSED bool http_load(const char *who, struct text *errors);
/* At once; of one source. oldest_yields: when all places are taken, the oldest connection makes
 * room: it is slow, as an answer takes no time. Else the next one waits. */
struct http_limits {
    unsigned connections, per_source;
    bool oldest_yields;
};
/* Takes the socket. NULL with errno. */
WARN_UNUSED struct http_server *http_start(int fd, const struct http_site *site,
                                           const struct http_limits *limits);
/* Instead of a page; frees the body that is there. */
void http_answer_words(struct http_response *out, unsigned status, const char *words);
/* Accepts no more; requests that have begun are answered. */
void http_quiesce(struct http_server *s);
/* After that: gives them a moment. */
void http_settle(const struct http_server *s);
/* No effect for NULL. */
void http_stop(struct http_server *s);

#endif
