#include "serve/publication.h"

#include "base/clock.h"
#include "page/pac.h"
#include "page/trust_page.h"
#include "pki/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CAS = 1 + KEY_TYPES,
    NAME_SIZE = CA_NAME_SIZE,
    PROXY_SIZE = TARGET_TEXT_SIZE,
    DAY_SECONDS = 86400,
    CRL_MAX_AGE = 3600,
    CERTIFICATE_MAX_AGE = DAY_SECONDS,
    PAC_MAX_AGE = 300,
};

/* One CA with what is published of it. */
struct published_ca {
    char name[NAME_SIZE];
    struct text certificate; /* DER */
    struct text crl;         /* DER; empty: none */
};

struct publication {
    struct loaded_config *loaded;
    struct published_ca cas[CAS]; /* the one to trust first */
    size_t n;
    struct text pem; /* of the first */
    char *subject;
    char fingerprint[3 * 32], expires[CLOCK_TEXT_SIZE];
};

static bool add_ca(struct publication *p, const struct ca *ca, const char *name,
                   const struct text *crl)
{
    struct published_ca *place = &p->cas[p->n++];
    const struct cert *c = ca_certificate(ca);
    snprintf(place->name, sizeof place->name, "%s", name);
    text_add_bytes(&place->certificate, c->der.p, c->der.n);
    text_add_bytes(&place->crl, text_string(crl), crl->size);
    return !place->certificate.failed && !place->crl.failed;
}

static bool describe_root(struct publication *p, const struct cert *c)
{
    struct text subject = {0};
    uint8_t digest[32];
    if (!digest_sha256(c->der.p, c->der.n, digest) || !pem_add_certificate(c->der, &p->pem))
        return false;
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(p->fingerprint + 3 * i, 4, "%02X%s", digest[i], i + 1 < sizeof digest ? ":" : "");
    clock_format_seconds(c->not_after, p->expires);
    name_format(c->subject, &subject);
    p->subject = text_take(&subject);
    return p->subject != NULL;
}

static bool add_root(struct publication *p, const struct ca_place *place, struct text *errors)
{
    const struct ca_files *files = &p->loaded->ca;
    struct ca *root = ca_root_open(files, place, errors);
    if (!root) return false;
    bool ok = add_ca(p, root, "ca", &files->crl) && describe_root(p, ca_certificate(root));
    ca_free(root);
    return ok;
}

static bool fill(struct publication *p, struct text *errors)
{
    const struct ca_place place = ca_place_of(p->loaded->config);
    const struct ca_files *files = &p->loaded->ca;
    struct ca *signers[KEY_TYPES];
    if (!add_root(p, &place, errors)) return false;
    if (!ca_files_have_issuing(files)) return true;
    if (!ca_signers_open(files, &place, signers, errors)) return false;
    bool ok = true;
    for (int k = 0; ok && k < KEY_TYPES; k++) {
        char name[CA_NAME_SIZE] = "";
        if (files->issuing[k].size == 0) continue;
        ca_short_name(ca_certificate(signers[k]), name);
        ok = add_ca(p, signers[k], name, &files->issuing_crls[k]);
    }
    ca_signers_close(signers);
    return ok;
}

struct publication *publication_new(struct loaded_config *loaded, struct text *errors)
{
    struct publication *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->loaded = loaded_config_hold(loaded);
    if (fill(p, errors)) return p;
    if (errors->size == 0) text_add(errors, "out of memory\n");
    publication_free(p);
    return NULL;
}

void publication_free(struct publication *p)
{
    if (!p) return;
    for (size_t i = 0; i < p->n; i++) {
        text_fini(&p->cas[i].certificate);
        text_fini(&p->cas[i].crl);
    }
    text_fini(&p->pem);
    free(p->subject);
    loaded_config_release(p->loaded);
    free(p);
}

/* ---- the answers ---- */

/* The forward listeners as this client reaches them. */
struct proxies {
    char texts[PAC_PROXIES][PROXY_SIZE];
    const char *list[PAC_PROXIES];
    size_t n;
};

static void add_proxy(struct proxies *all, const char *host, bool is_ip, uint16_t port)
{
    struct target t = {.port = port, .is_ip = is_ip};
    if (all->n == PAC_PROXIES) return;
    snprintf(t.host, sizeof t.host, "%s", host);
    target_format(&t, all->texts[all->n]);
    all->list[all->n] = all->texts[all->n];
    all->n++;
}

/* The host of [ca] publish; for a listener on all addresses the one that clients use. */
static bool published_host(const struct config *c, struct target *out)
{
    static const char scheme[] = "http://";
    const char *host = c->ca.publish ? c->ca.publish + sizeof scheme - 1 : NULL;
    return host && target_from_text(host, strlen(host), out);
}

static void find_proxies(const struct publication *p, const struct addr *local,
                         const struct addr *client, struct proxies *all)
{
    const struct config *c = p->loaded->config;
    char ip[ADDR_TEXT_SIZE];
    struct target named;
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct addr *a = &p->loaded->listener_addresses[i];
        bool everywhere = addr_is_unspecified(a);
        if (c->listeners[i].type != LISTEN_FORWARD) continue;
        if (addr_is_loopback(a) && !addr_is_loopback(client)) continue;
        if (everywhere && published_host(c, &named)) {
            add_proxy(all, named.host, named.is_ip, addr_port(a));
            continue;
        }
        addr_format_ip(everywhere ? local : a, ip);
        add_proxy(all, ip, true, addr_port(a));
    }
}

static bool get_of_ca(const struct published_ca *ca, const char *ending, struct published *out)
{
    bool is_crl = strcmp(ending, ".crl") == 0;
    const struct text *body = is_crl ? &ca->crl : &ca->certificate;
    if ((!is_crl && strcmp(ending, ".crt") != 0) || body->size == 0) return false;
    /* RFC 2585 section 4; phones and browsers install the other type. */
    out->type = is_crl ? "application/pkix-crl" : "application/x-x509-ca-cert";
    out->max_age = is_crl ? CRL_MAX_AGE : CERTIFICATE_MAX_AGE;
    text_add_bytes(&out->body, text_string(body), body->size);
    return true;
}

static void put_page(const struct publication *p, const struct addr *local,
                     const struct proxies *all, struct text *out)
{
    struct target here = target_of_addr(local);
    char text[TARGET_TEXT_SIZE], site[PUBLISH_URL_LIMIT + TARGET_TEXT_SIZE];
    const char *published = p->loaded->config->ca.publish;
    target_format(&here, text);
    snprintf(site, sizeof site, "%s%s", published ? published : "http://", published ? "" : text);
    const struct trust_page page = {.subject = p->subject,
                                    .fingerprint = p->fingerprint,
                                    .expires = p->expires,
                                    .site = site,
                                    .proxies = all->list,
                                    .proxy_count = all->n};
    trust_page_render(&page, out);
}

bool publication_get(const struct publication *p, const struct listen_config *listener,
                     const char *path, const struct addr *local, const struct addr *client,
                     struct published *out)
{
    *out = (struct published){0};
    for (size_t i = 0; path[0] == '/' && i < p->n; i++) {
        size_t n = strlen(p->cas[i].name);
        if (strncmp(path + 1, p->cas[i].name, n) == 0 && get_of_ca(&p->cas[i], path + 1 + n, out))
            return !out->body.failed;
    }
    struct proxies all = {.n = 0};
    if (strcmp(path, "/ca.pem") == 0) {
        *out = (struct published){.type = "application/x-pem-file", .max_age = CERTIFICATE_MAX_AGE};
        text_add_bytes(&out->body, text_string(&p->pem), p->pem.size);
    } else if (strcmp(path, "/proxy.pac") == 0) {
        *out =
            (struct published){.type = "application/x-ns-proxy-autoconfig", .max_age = PAC_MAX_AGE};
        find_proxies(p, local, client, &all);
        bool none = listener->only.texts.n > 0 && listener->only.n == 0; /* of files */
        pac_render(all.list, none ? 0 : all.n, listener->only.items, listener->only.n, &out->body);
    } else if (strcmp(path, "/") == 0) {
        *out = (struct published){.type = "text/html; charset=utf-8"};
        find_proxies(p, local, client, &all);
        put_page(p, local, &all, &out->body);
    } else {
        return false;
    }
    return !out->body.failed;
}
