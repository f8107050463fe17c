/* Reaches the upstream by its route: its addresses and the TCP connection. */
#include "conn/conn_impl.h"

#include "net/listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void on_dialled(void *arg, int fd, const struct addr *address, int fault);

/* Removes the addresses that cannot be reached from source_address. */
static void keep_family(struct setup *a, const struct addr *source)
{
    size_t kept = 0;
    for (size_t i = 0; i < a->address_count; i++)
        if (!source->length || a->addresses[i].sa.sa_family == source->sa.sa_family)
            a->addresses[kept++] = a->addresses[i];
    a->address_count = kept;
}

static bool is_own_listener(const struct conn *c, const struct addr *a)
{
    const struct loaded_config *loaded = c->runtime->loaded;
    return listener_is_own(a, loaded->listener_addresses, loaded->config->listener_count);
}

/* For a target behind another hop; where a name leads, the hop decides. */
static bool is_own_target(const struct conn *c)
{
    struct addr a;
    bool known = c->target.is_ip && addr_from_ip(c->target.host, c->target.port, &a);
    return (known && is_own_listener(c, &a)) ||
           (c->original.length && is_own_listener(c, &c->original));
}

enum step reach_dial(struct conn *c)
{
    struct setup *a = c->setup;
    const struct addr *source = &c->listener->config->source_address;
    keep_family(a, source);
    if (a->address_count == 0) {
        c->detail = "The destination has no address of the family of source_address.";
        return conn_refuse(c, REASON_LIMIT_REACHED);
    }
    for (size_t i = 0; i < a->address_count; i++)
        if (is_own_listener(c, &a->addresses[i])) return conn_refuse(c, REASON_PROXY_LOOP);
    conn_set_state(c, CONN_DIALLING);
    a->dial = dial_start(c->runtime->loop, a->addresses, a->address_count, source, on_dialled, c);
    return a->dial ? STEP_WAIT : conn_refuse(c, REASON_INTERNAL_ERROR);
}

const struct addr *reach_original_among(const struct conn *c, const struct addr *addresses,
                                        size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (addr_same_ip(&addresses[i], &c->original)) return &addresses[i];
    return NULL;
}

static enum step refuse_other_name(struct conn *c)
{
    char ip[ADDR_TEXT_SIZE];
    addr_format_ip(&c->original, ip);
    snprintf(
        c->setup->detail, sizeof c->setup->detail,
        "It connected to %s, and as this proxy looks it up its server name does not lead there.",
        ip);
    c->detail = c->setup->detail;
    return conn_refuse(c, REASON_CLIENT_SERVER_NAME_MISMATCH);
}

/* Removes forbidden addresses; refuses when none is left. */
static enum step dial_allowed(struct conn *c)
{
    struct setup *a = c->setup;
    size_t kept = 0;
    struct addr last = {0};
    for (size_t i = 0; i < a->address_count; i++) {
        if (c->route->is_forbidden(c, &a->addresses[i]))
            last = a->addresses[i];
        else
            a->addresses[kept++] = a->addresses[i];
    }
    a->address_count = kept;
    if (kept > 0) return reach_dial(c);
    char ip[ADDR_TEXT_SIZE];
    addr_format_ip(&last, ip);
    const char *kind = addr_special_kind(&last);
    snprintf(a->detail, sizeof a->detail,
             "%s%s, %s %s address: a client that is not on this machine gets there only where a "
             "range in allow_upstreams has it.",
             c->target.is_ip ? "It is " : "The name leads to ", ip,
             strchr("aeiou", kind[0]) ? "an" : "a", kind);
    c->detail = a->detail;
    return conn_refuse_with(c, REASON_DESTINATION_DENIED, REASON_ALERT_AS_SENT,
                            "destination_ip_prohibited");
}

/* The next hop fails: for the reason, or as its route calls that. */
static enum step hop_failed(struct conn *c, enum reason reason, const char *proxy_status,
                            const char *why)
{
    if (c->route->failed && !c->setup->naming) return c->route->failed(c, why);
    if (!proxy_status) return conn_refuse(c, reason);
    return conn_refuse_with(c, reason, REASON_ALERT_AS_SENT, proxy_status);
}

enum reason reach_lookup_reason(enum lookup_status status)
{
    switch (status) {
    case LOOKUP_NOT_FOUND:
        return REASON_UPSTREAM_NAME_NOT_FOUND;
    case LOOKUP_NO_MEMORY:
        return REASON_LIMIT_REACHED;
    case LOOKUP_UNANSWERED:
        return REASON_RESOLVER_UNAVAILABLE;
    default:
        return REASON_UPSTREAM_NAME_LOOKUP_FAILED;
    }
}

static enum step lookup_failed(struct conn *c, enum lookup_status status)
{
    enum reason reason = reach_lookup_reason(status);
    if (status == LOOKUP_NO_MEMORY)
        c->detail = "There was no memory for the lookup of the destination's name.";
    if (status == LOOKUP_NO_MEMORY || status == LOOKUP_UNANSWERED) return conn_refuse(c, reason);
    return hop_failed(c, reason, NULL,
                      status == LOOKUP_NOT_FOUND ? "has a name that does not exist"
                                                 : "has a name that could not be looked up");
}

void reach_lookup_overdue(struct conn *c)
{
    enum lookup_status status = lookup_overdue(c->setup->lookup);
    counts_add_one(&c->worker->counts.lookups[status]);
    lookup_failed(c, status);
}

void reach_dial_overdue(struct conn *c)
{
    hop_failed(c, REASON_UPSTREAM_TIMEOUT, NULL, "did not answer within connect_timeout");
}

/* Looks up a name, or takes an address as it is, and continues with `then`. */
static enum step resolve(struct conn *c, const struct target *t, lookup_answer *then)
{
    struct setup *a = c->setup;
    a->lookup = resolver_start(c->runtime->resolver, t->host, t->port, then, c);
    return a->lookup ? STEP_WAIT : conn_refuse(c, REASON_INTERNAL_ERROR);
}

static void keep_answer(struct conn *c, const struct addr *addresses, size_t n)
{
    c->setup->lookup = NULL;
    c->setup->address_count = n;
    if (n > 0) memcpy(c->setup->addresses, addresses, n * sizeof *addresses);
}

static void on_hop_found(void *arg, enum lookup_status status, const struct addr *addresses,
                         size_t n)
{
    struct conn *c = arg;
    counts_add_one(&c->worker->counts.lookups[status]);
    keep_answer(c, addresses, n);
    if (status == LOOKUP_FOUND)
        dial_allowed(c);
    else
        lookup_failed(c, status);
    conn_run(c);
}

static enum step find_hop(struct conn *c)
{
    const struct target *hop = c->route->next_hop(c);
    if (!hop->is_ip) return resolve(c, hop, on_hop_found);
    c->setup->address_count = 1;
    return addr_from_ip(hop->host, hop->port, &c->setup->addresses[0])
               ? dial_allowed(c)
               : conn_refuse(c, REASON_INTERNAL_ERROR);
}

/* The name leads to the address to which the client connected: it alone is used. */
static enum step reach_original(struct conn *c, const struct addr *address)
{
    c->setup->naming = false;
    if (c->route->next_hop(c) != &c->target) return find_hop(c);
    keep_answer(c, address, 1);
    return dial_allowed(c);
}

/* The name's addresses, for a redirected client. */
static void on_name_found(void *arg, enum lookup_status status, const struct addr *addresses,
                          size_t n)
{
    struct conn *c = arg;
    counts_add_one(&c->worker->counts.lookups[status]);
    const struct addr *original = reach_original_among(c, addresses, n);
    c->setup->lookup = NULL;
    if (original)
        reach_original(c, original);
    else if (status == LOOKUP_FOUND || status == LOOKUP_NOT_FOUND)
        refuse_other_name(c);
    else
        lookup_failed(c, status);
    conn_run(c);
}

bool reach_is_allowed(const struct conn *c)
{
    const struct listen_config *l = c->listener->config;
    if (listen_allows_upstream(l, &c->target)) return true;
    if (!c->original.length) return false;
    struct target original = target_of_addr(&c->original);
    return listen_allows_upstream(l, &original);
}

enum step reach_begin(struct conn *c)
{
    if (!reach_is_allowed(c))
        return conn_refuse_with(c, REASON_DESTINATION_DENIED, REASON_ALERT_AS_SENT,
                                c->target.is_ip ? "destination_ip_prohibited" : NULL);
    c->route = c->worker->shared->route_of(c);
    if (c->route->is_forbidden_target && c->route->is_forbidden_target(c)) {
        c->detail = "It would be an address of the parent proxy itself or of its link: a client "
                    "that is not on this machine gets there only where allow_upstreams names it.";
        return conn_refuse(c, REASON_DESTINATION_DENIED);
    }
    if (is_own_target(c)) return conn_refuse(c, REASON_PROXY_LOOP);
    conn_set_state(c, CONN_RESOLVING);
    c->setup->naming = c->original.length && !c->target.is_ip;
    if (c->setup->naming) return resolve(c, &c->target, on_name_found);
    return find_hop(c);
}

void reach_abandon(struct conn *c)
{
    struct setup *a = c->setup;
    if (a && a->lookup) lookup_cancel(a->lookup);
    if (a && a->dial) dial_cancel(a->dial);
    if (a) a->lookup = NULL;
    if (a) a->dial = NULL;
}

static const char *own_shortage(int fault)
{
    switch (fault) {
    case EMFILE:
    case ENFILE:
        return "No file descriptor was left for the connection to the destination: raise the limit "
               "of open files (ulimit -n, LimitNOFILE).";
    case ENOBUFS:
    case ENOMEM:
        return "The system had no memory for the connection to the destination.";
    default:
        return "This machine had no local port or address left for the connection to the "
               "destination: see net.ipv4.ip_local_port_range and its addresses; "
               "source_address, if given, must be one of them.";
    }
}

static enum step dial_failed(struct conn *c, int fault)
{
    if (dial_fault_is_own(fault)) {
        c->detail = own_shortage(fault);
        return conn_refuse(c, REASON_LIMIT_REACHED);
    }
    switch (fault) {
    case ETIMEDOUT:
        return hop_failed(c, REASON_UPSTREAM_TIMEOUT, NULL, "did not answer");
    case ECONNREFUSED:
        return hop_failed(c, REASON_UPSTREAM_UNREACHABLE, NULL, "refused the connection");
    default:
        return hop_failed(c, REASON_UPSTREAM_UNREACHABLE, "destination_ip_unroutable",
                          "cannot be reached by the network");
    }
}

enum step reach_done(struct conn *c)
{
    if (c->setup->has_hello && !c->observer) return upstream_start_handshake(c);
    if (c->front->connected) return c->front->connected(c);
    return observe_relay(c);
}

static void on_dialled(void *arg, int fd, const struct addr *address, int fault)
{
    struct conn *c = arg;
    c->setup->dial = NULL;
    if (fd >= 0) {
        leg_open(&c->upstream, fd, conn_on_leg, c, false);
        c->upstream_address = *address;
        c->setup->exchanged = 0;
        if (c->route->exchange)
            conn_set_state(c, CONN_EXCHANGE);
        else
            reach_done(c);
    } else {
        dial_failed(c, fault);
    }
    conn_run(c);
}
