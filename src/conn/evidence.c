#include "audit/fallback.h"
#include "base/clock.h"
#include "conn/conn_impl.h"
#include "policy/assess.h"

#include <stdio.h>
#include <string.h>

/* Describes a leg's session as far as it got. */
static void describe_leg(const struct session *s, bool server_side, struct audit_leg *out,
                         struct agreed *facts)
{
    if (!s) return;
    *facts = session_agreed(s);
    const struct flight *flight = session_flight(s);
    out->known = true;
    out->established = facts->version != 0;
    out->resumed = facts->resumed;
    out->extended_master_secret = facts->extended_master_secret;
    out->encrypt_then_mac = facts->encrypt_then_mac;
    out->speaks_tls13 = facts->speaks_tls13;
    out->version = facts->version;
    out->suite = facts->suite;
    out->group = facts->group;
    out->next_protocol = facts->alpn;
    if (out->established || !flight || !flight->has_hello) return;
    /* A handshake that failed: what the server's flight has shown so far. */
    out->version = flight->version;
    out->suite = flight->suite;
    out->group = flight->group;
    out->speaks_tls13 = !server_side && flight->speaks_tls13;
}

static void describe_certificate(const struct cert_facts *facts, struct audit_leg *out)
{
    if (!facts->present) return;
    out->known = true;
    out->certificate = (struct audit_certificate){.subject = facts->subject ? facts->subject : "",
                                                  .issuer = facts->issuer,
                                                  .serial = facts->serial,
                                                  .sha256 = facts->sha256,
                                                  .not_before = facts->not_before,
                                                  .not_after = facts->not_after};
}

/* Did the attempt fail because of the client's offer, or in its own handshake? Only then does a
 * client retry with a weaker offer. */
static bool failed_for_client(enum reason reason)
{
    bool denied = reason == REASON_CLIENT_DENIED || reason == REASON_DESTINATION_DENIED ||
                  reason == REASON_PROXY_LOOP;
    return reason != REASON_OK && reason_row(reason)->leg == LEG_CLIENT && !denied;
}

/* What was agreed on, as far as it was seen. */
static void describe_observed(const struct reply *reply, struct audit_leg *out)
{
    if (reply->kind != REPLY_HELLO) return;
    out->known = out->observed = true;
    out->version = reply->version;
    out->suite = reply->suite;
    out->group = reply->group;
    out->extended_master_secret = reply->extended_master_secret;
    out->encrypt_then_mac = reply->encrypt_then_mac;
    out->next_protocol = reply->alpn;
}

static const char *const binding_names[] = {
    [BINDING_UNKNOWN] = NULL, [BINDING_SAME] = "same", [BINDING_DIFFERS] = "differs"};

static void describe_offer(const struct conn *c, struct audit_offer *offer)
{
    const struct setup *a = c->setup;
    *offer = (struct audit_offer){0};
    if (!a || !a->has_hello) return;
    fallback_describe(&a->hello, verdict_offered(&a->hello, conn_config(c)->policy.allowed), offer);
    offer->failed = failed_for_client(c->reason);
    offer->source = c->peer;
    offer->port = c->target.port;
    snprintf(offer->host, sizeof offer->host, "%s", c->target.host);
    memcpy(offer->identity, c->identity, sizeof offer->identity);
    strncpy(offer->listener, c->listener->config->name, sizeof offer->listener - 1);
    memcpy(offer->connection_id, c->id, sizeof offer->connection_id);
}

static void submit(struct conn *c, enum audit_action action, const struct recorder_reply *reply)
{
    struct agreed client = {0}, upstream = {0};
    struct audit_offer offer;
    struct setup *a = c->setup;
    struct audit_event e = {.action = action,
                            .mode = listen_mode_name(c->listener->config->mode),
                            .reason = action == AUDIT_CONNECTION_OBSERVED ? REASON_OK : c->reason,
                            .duration_ns = clock_steady_ns() - c->started_ns,
                            .origin = &c->runtime->loaded->origin,
                            .listener = c->listener->config->name,
                            .connection_id = c->id,
                            .source = &c->peer,
                            .via = c->via.length ? &c->via : NULL,
                            .destination = &c->upstream_address,
                            .domain = c->target.is_ip ? NULL : c->target.host,
                            .destination_port = c->target.port,
                            .identity = c->identity,
                            .closed_by = action == AUDIT_CONNECTION_CLOSED ? c->closed_by : NULL,
                            .detail = c->detail,
                            .has_bytes = action == AUDIT_CONNECTION_CLOSED,
                            .source_bytes = c->to_upstream.bytes,
                            .destination_bytes = c->to_client.bytes,
                            .alert_sent = c->alert_sent,
                            .alert_received = c->alert_received};
    bool through = c->route && c->route->failed; /* the address is that of a proxy on the way */
    struct addr named = c->original;
    bool known = c->upstream_address.length && !through;
    if (!known && c->target.is_ip && !addr_from_ip(c->target.host, c->target.port, &named))
        named.length = 0;
    if (!known) e.destination = &named;
    if (through) e.parent = c->listener->config->parent->name;
    clock_gettime(CLOCK_REALTIME, &e.at);
    describe_leg(c->client.tls, true, &e.client, &client);
    describe_leg(c->upstream.tls, false, &e.upstream, &upstream);
    mutual_describe(c, &e.request);
    e.channel_binding = binding_names[c->channel_binding];
    if (action == AUDIT_CONNECTION_OBSERVED) {
        e.outlook = &c->observer->outlook;
        describe_observed(&c->observer->reply, &e.client);
        describe_observed(&c->observer->reply, &e.upstream);
    }
    if (a) {
        describe_certificate(&a->check.facts, &e.upstream);
        describe_certificate(&a->client_check.facts, &e.client);
        if (a->has_hello) {
            e.hello = &a->hello;
            e.ja4 = a->ja4;
            e.offered = verdict_offered(&a->hello, conn_config(c)->policy.allowed);
        }
    }
    describe_offer(c, &offer);
    recorder_submit(c->worker->recorder, &e, &offer, reply);
}

static void deliver_answer(struct worker *w, struct mail *mail)
{
    (void)w;
    struct conn *c = (struct conn *)((char *)mail - offsetof(struct conn, mail));
    conn_audit_answered(c, c->written);
}

/* The connection may be in the middle of a step. */
static void on_written(void *context, void *token, bool written)
{
    struct conn *c = token;
    c->written = written;
    c->mail = (struct mail){.deliver = deliver_answer};
    worker_post(context, &c->mail);
}

void evidence_recent(const struct conn *c)
{
    const struct setup *a = c->setup;
    struct recent *recent = c->worker->shared->recent;
    struct recent_entry e = {.source = c->peer,
                             .reason = c->reason,
                             .alert_sent = c->alert_sent,
                             .alert_received = c->alert_received};
    if (!c->front->responder || !recent) return;
    clock_gettime(CLOCK_REALTIME, &e.at);
    if (c->client.tls) {
        struct agreed facts = session_agreed(c->client.tls);
        e.version = facts.version;
        e.suite = facts.suite;
        e.group = facts.group;
    }
    snprintf(e.listener, sizeof e.listener, "%s", c->listener->config->name);
    snprintf(e.connection_id, sizeof e.connection_id, "%s", c->id);
    snprintf(e.detail, sizeof e.detail, "%s", c->detail ? c->detail : "");
    if (a && a->has_hello) {
        struct text offered = {0};
        assess_summary(&a->hello, conn_config(c)->policy.allowed, &offered);
        snprintf(e.offered, sizeof e.offered, "%s", text_string(&offered));
        text_fini(&offered);
    }
    recent_add(recent, &e);
}

static void keep_refusal(const struct conn *c)
{
    struct refusals *refusals = c->worker->shared->refusals;
    if (!refusals) return;
    struct refusal *e = refusals_begin(refusals);
    clock_gettime(CLOCK_REALTIME, &e->at);
    e->source = c->peer;
    e->reason = c->reason;
    e->alert_received = c->alert_received;
    text_fill(e->listener, sizeof e->listener, c->listener->config->name);
    text_fill(e->connection_id, sizeof e->connection_id, c->id);
    text_fill(e->host, sizeof e->host, c->target.host);
    e->port = c->target.port;
    e->is_ip = c->target.is_ip;
    text_fill(e->detail, sizeof e->detail, c->detail ? c->detail : "");
    refusals_end(refusals);
}

void evidence_refused(struct conn *c, bool wait)
{
    if (c->recorded) return;
    c->recorded = true;
    counts_add_one(&c->worker->counts.refused[c->reason]);
    evidence_recent(c);
    struct recorder_reply reply = {on_written, c->worker, c};
    char destination[TARGET_TEXT_SIZE] = "";
    if (c->target.host[0]) target_format(&c->target, destination);
    c->waiting_for_audit = wait;
    if (!recorder_count_refusal(c->worker->recorder, &c->peer, c->listener->config->name,
                                destination, c->reason, &c->runtime->loaded->origin,
                                wait ? &reply : NULL)) {
        keep_refusal(c);
        submit(c, AUDIT_CONNECTION_REFUSED, wait ? &reply : NULL);
    }
}

/* Once per listener and load of the configuration: all its connections have the same cause. */
static void tell_of_binding(struct conn *c)
{
    struct loaded_config *loaded = c->runtime->loaded;
    size_t i = (size_t)(c->listener - c->runtime->listeners);
    bool differs = c->front->has_one_upstream && c->channel_binding == BINDING_DIFFERS;
    if (!differs || __atomic_exchange_n(&loaded->binding_told[i], true, __ATOMIC_RELAXED)) return;
    struct text detail = {0};
    text_printf(&detail,
                "Listener %s shows its clients another certificate than %s shows this proxy, so "
                "Extended Protection, as of Exchange, refuses the login. The remedy is the "
                "upstream's own certificate and key on the listener (certificate, key), of the "
                "type of key that it shows this proxy.",
                c->listener->config->name, c->identity);
    struct audit_event e = {.action = AUDIT_CHANNEL_BINDING_DIFFERS,
                            .origin = &loaded->origin,
                            .listener = c->listener->config->name,
                            .duration_ns = -1,
                            .detail = text_string(&detail),
                            .alert_sent = -1,
                            .alert_received = -1};
    clock_gettime(CLOCK_REALTIME, &e.at);
    recorder_submit(c->worker->recorder, &e, NULL, NULL);
    text_fini(&detail);
}

void evidence_opened(struct conn *c)
{
    counts_add_one(&c->worker->counts.opened);
    submit(c, AUDIT_CONNECTION_OPENED, NULL);
    tell_of_binding(c);
}

void evidence_handshake(struct conn *c, unsigned leg, const struct agreed *agreed)
{
    struct counts *counts = &c->worker->counts;
    const struct suite *suite = suite_by_id(agreed->suite);
    int64_t took = clock_steady_ns() - c->setup->handshake_ns;
    size_t group = 0;
    while (group < GROUP_COUNT && group_at(group) != agreed->group) group++;
    group = group < GROUP_COUNT ? group + 1 : 0;
    if (suite) counts_add_one(&counts->handshakes[leg][suite - suites][group][agreed->resumed]);
    histogram_add(&counts->handshake_time[leg], took);
}

void evidence_observed(struct conn *c)
{
    const struct outlook *outlook = &c->observer->outlook;
    enum reason reason = outlook->kind == OUTLOOK_REFUSE ? outlook->reason : REASON_OK;
    counts_add_one(&c->worker->counts.outlook[reason]);
    submit(c, AUDIT_CONNECTION_OBSERVED, NULL);
}

void evidence_closed(struct conn *c)
{
    struct counts *counts = &c->worker->counts;
    counts_add_one(&counts->closed[c->reason]);
    counts_add(&counts->bytes[COUNTS_CLIENT], c->to_upstream.bytes);
    counts_add(&counts->bytes[COUNTS_UPSTREAM], c->to_client.bytes);
    submit(c, AUDIT_CONNECTION_CLOSED, NULL);
}
