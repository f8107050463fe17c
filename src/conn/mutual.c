/* Mutual TLS: what a client presents to a listener that asks for a certificate, and what is
 * presented to an upstream that asks for one. */
#include "conn/conn_impl.h"

#include <stdio.h>
#include <time.h>

bool mutual_asks(const struct conn *c)
{
    return listen_asks_certificate(c->listener->config);
}

void mutual_ask(struct conn *c)
{
    struct setup *a = c->setup;
    if (!mutual_asks(c)) return;
    cert_facts_fini(&a->client_check.facts);
    a->client_check =
        (struct peer_check){.trust = c->listener->client_trust, .purpose = PATH_CLIENT};
    session_ask_certificate(c->client.tls, c->listener->config->client_certificate,
                            &a->client_check);
}

/* The check names its faults as those of an upstream. */
static const char *sentence_of(enum reason fault)
{
    switch (fault) {
    case REASON_UPSTREAM_CERTIFICATE_EXPIRED:
        return "It, or a CA above it, has expired.";
    case REASON_UPSTREAM_CERTIFICATE_NOT_YET_VALID:
        return "It, or a CA above it, is not yet valid.";
    case REASON_UPSTREAM_CERTIFICATE_UNTRUSTED:
        return "It comes from no CA in client_ca.";
    case REASON_UPSTREAM_CERTIFICATE_REVOKED:
        return "It, or a CA above it, is revoked.";
    case REASON_UPSTREAM_CERTIFICATE_WEAK:
        return "It, or a CA above it, has a key or a signature that the policy does not allow.";
    default:
        return "It cannot be read.";
    }
}

/* What is wrong with the certificate that the client sent; NULL: nothing. */
static const char *fault_of_certificate(const struct conn *c)
{
    const struct peer_check *check = &c->setup->client_check;
    if (session_excess_certificates(c->client.tls))
        return "It comes with more certificates than any chain needs.";
    if (session_certificate_unread(c->client.tls)) return "It cannot be read.";
    if (check->called && !check->verified)
        return check->fault ? check->fault : sentence_of(check->reason);
    return session_lacks_proof(c->client.tls) ? "Its key is not proved to be the client's: the "
                                                "signature is wrong, or the key cannot "
                                                "be read."
                                              : NULL;
}

bool mutual_refuse(struct conn *c)
{
    const struct peer_check *check = &c->setup->client_check;
    if (session_lacks_certificate(c->client.tls)) {
        conn_refuse_with(c, REASON_CLIENT_CERTIFICATE_REQUIRED, c->alert_sent, NULL);
        return true;
    }
    if (check->called && check->reason == REASON_UPSTREAM_REVOCATION_UNKNOWN) {
        conn_refuse_with(c, REASON_CLIENT_REVOCATION_UNKNOWN, c->alert_sent, NULL);
        return true;
    }
    const char *fault = fault_of_certificate(c);
    if (!fault) return false;
    c->detail = fault;
    conn_refuse_with(c, REASON_CLIENT_CERTIFICATE_INVALID, c->alert_sent, NULL);
    return true;
}

/* The upstream's request. False: it has made none. */
static bool read_request(const struct conn *c, struct certificate_request *out)
{
    const struct flight *flight = c->upstream.tls ? session_flight(c->upstream.tls) : NULL;
    return flight && flight->has_certificate_request &&
           certificate_request_read(
               (struct span){buf_head(&flight->request), buf_size(&flight->request)}, out);
}

/* The TLS library takes its hash from the schemes for the suite's type of key, whatever the type of
 * ours: without one it fails as soon as it has a certificate. */
static bool library_can_sign(const struct conn *c, const struct certificate_request *request)
{
    const struct suite *suite = suite_by_id(session_flight(c->upstream.tls)->suite);
    return suite && certificate_request_has_scheme(request, suite->key);
}

bool mutual_answer(struct conn *c)
{
    struct setup *a = c->setup;
    struct certificate_request request;
    if (a->requested || !read_request(c, &request)) return true;
    a->requested = true;
    struct target upstream = {.port = c->target.port, .is_ip = c->identity_is_ip};
    snprintf(upstream.host, sizeof upstream.host, "%s", c->identity);
    const struct loaded_config *loaded = c->runtime->loaded;
    int i = library_can_sign(c, &request)
                ? loaded_config_identity(loaded, &upstream, &request, time(NULL))
                : -1;
    if (i < 0) return true;
    a->presented = &loaded->identities[i];
    return session_present(c->upstream.tls, &a->presented->chain);
}

void mutual_describe(const struct conn *c, struct audit_request *out)
{
    const struct setup *a = c->setup;
    const struct loaded_config *loaded = c->runtime->loaded;
    struct certificate_request request;
    *out = (struct audit_request){0};
    if (!a || !read_request(c, &request)) return;
    out->asked = true;
    out->authorities = request.authorities;
    if (a->presented && session_sent_certificate(c->upstream.tls))
        out->identity = loaded->config->identities[a->presented - loaded->identities].name;
}
