#include "serve/operate_server.h"

#include "base/diag.h"
#include "serve/http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OK = 200, FORBIDDEN = 403, UNAVAILABLE = 503 };

static const struct http_limits limits = {
    .connections = 64, .per_source = 16, .oldest_yields = true};

struct operate_server {
    struct text place; /* as text */
    uint64_t cookie;   /* of the socket: two descriptors of one have the same (socket(7)) */
    int fd;            /* until it serves; -1: then */
    struct lookout *lookout;
    struct http_server *server;
    bool left;
};

static bool allows(void *arg, const struct addr *client)
{
    const struct operate_server *o = arg;
    return client->length == 0 || lookout_allows(o->lookout, client);
}

/* ---- the paths, on the server's thread ---- */

static void put_metrics(const struct overview *o, void *arg)
{
    struct http_response *out = arg;
    out->type = METRICS_TYPE;
    metrics_put(o, &out->body);
}

static void put_health(const struct overview *o, void *arg)
{
    struct http_response *out = arg;
    http_answer_words(out, o->fault ? UNAVAILABLE : OK, o->fault ? o->fault : "It serves");
    text_add(&out->body, ".\n");
}

static void put_ready(const struct overview *o, void *arg)
{
    struct http_response *out = arg;
    if (o->ready || o->fault) {
        put_health(o, out);
        return;
    }
    http_answer_words(out, UNAVAILABLE, "It accepts no new connections: it is about to end.\n");
}

static void put_json(const struct overview *o, void *arg)
{
    struct http_response *out = arg;
    out->type = "application/json";
    status_put_json(o, &out->body);
}

static void put_page(const struct overview *o, void *arg)
{
    struct http_response *out = arg;
    out->type = "text/html; charset=utf-8";
    out->policy = OVERVIEW_POLICY;
    overview_put_page(o, &out->body);
}

static const struct {
    const char *path;
    void (*put)(const struct overview *o, void *arg);
} paths[] = {
    {"/metrics", put_metrics},  {"/health", put_health}, {"/ready", put_ready},
    {"/status.json", put_json}, {"/", put_page},
};

/* A web page that a browser of this machine shows may ask for its own name, made to lead here (DNS
 * rebinding): such a name is no address. */
static bool host_is_here(const struct http_request *request)
{
    struct target host;
    if (request->client.length == 0 || !addr_is_loopback(&request->client) || !*request->host)
        return true;
    char whole[TARGET_TEXT_SIZE];
    const char *bracket = strchr(request->host, ']');
    bool has_port = strchr(bracket ? bracket : request->host, ':') != NULL;
    int n = snprintf(whole, sizeof whole, "%s%s", request->host, has_port ? "" : ":80");
    return n > 0 && (size_t)n < sizeof whole && target_from_text(whole, (size_t)n, &host) &&
           (host.is_ip || strcmp(host.host, "localhost") == 0);
}

static bool get(void *arg, const struct http_request *request, struct http_response *out)
{
    struct operate_server *o = arg;
    if (!host_is_here(request)) {
        http_answer_words(out, FORBIDDEN, "Ask by an IP address, or localhost.\n");
        return true;
    }
    if (strcmp(request->path, OVERVIEW_SCRIPT) == 0) {
        out->type = "text/javascript; charset=utf-8";
        text_add(&out->body, overview_script());
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        if (strcmp(request->path, paths[i].path) != 0) continue;
        if (!lookout_show(o->lookout, paths[i].put, out))
            http_answer_words(out, UNAVAILABLE, "It does not serve yet.\n");
        return true;
    }
    return false;
}

/* ---- its life ---- */

static uint64_t cookie_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

struct operate_server *operate_server_new(int fd, const struct endpoint *at,
                                          struct lookout *lookout, struct text *errors)
{
    struct operate_server *o = calloc(1, sizeof *o);
    if (!o || fd < 0 || !http_load("[operate]", errors)) {
        if (errors->size == 0) text_add(errors, "[operate]: no descriptor or no memory\n");
        if (fd >= 0) close(fd);
        free(o);
        return NULL;
    }
    o->fd = fd;
    o->cookie = cookie_of(fd);
    o->lookout = lookout;
    endpoint_format(at, &o->place);
    return o;
}

void operate_server_begin(struct operate_server *o)
{
    if (!o || o->server) return;
    const struct http_site site = {allows, get, o};
    o->server = http_start(o->fd, &site, &limits);
    o->fd = -1;
    if (!o->server) diag_error("[operate] on %s: %s", text_string(&o->place), strerror(errno));
}

bool operate_server_has(const struct operate_server *o, int fd)
{
    return o && fd >= 0 && cookie_of(fd) == o->cookie;
}

void operate_server_leave(struct operate_server *o)
{
    if (!o || !o->server || o->left) return;
    o->left = true;
    http_quiesce(o->server);
}

void operate_server_free(struct operate_server *o)
{
    if (!o) return;
    if (o->left) http_settle(o->server);
    http_stop(o->server);
    if (o->fd >= 0) close(o->fd);
    text_fini(&o->place);
    free(o);
}

/* ---- the command ---- */

struct status {
    bool json;
    struct text text;
};

static void put_status(const struct overview *o, void *arg)
{
    struct status *s = arg;
    text_add(&s->text, o->ready && !o->fault ? "1" : "0");
    if (s->json)
        status_put_json(o, &s->text);
    else
        status_put_text(o, &s->text);
}

/* Writing to it never waits. */
static bool is_pipe(int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && flags >= 0 &&
           fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

void operate_server_show_status(struct lookout *lookout, bool json, int pipe)
{
    struct status s = {.json = json};
    if (is_pipe(pipe) && lookout_show(lookout, put_status, &s)) {
        const char *p = text_string(&s.text);
        size_t left = s.text.size;
        for (ssize_t n; left > 0 && (n = write(pipe, p, left)) > 0; left -= (size_t)n) p += n;
    }
    close(pipe);
    text_fini(&s.text);
}
