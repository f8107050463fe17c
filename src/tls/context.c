#include "tls/context.h"

#include "io.h"
#include "pki/wolfcrypt.h"
#include "tls/ticket.h"

#include <stdlib.h>

/* Declared in the library's internal.h, present in the static library. */
extern void wolfSSL_CTX_SetProcessPeerCertCb(WOLFSSL_CTX *context,
                                             int (*callback)(WOLFSSL *, struct DecodedCert *));

struct tls_context {
    WOLFSSL_CTX *library;
};

static struct tls_context *wrap(WOLFSSL_CTX *library)
{
    struct tls_context *c = library ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        wolfSSL_CTX_free(library);
        return NULL;
    }
    c->library = library;
    wolfSSL_CTX_SetIORecv(library, session_receive_callback);
    wolfSSL_CTX_SetIOSend(library, session_send_callback);
    wolfSSL_CTX_SetProcessPeerCertCb(library, session_parsed_callback);
    /* The library's session cache is shared by the whole process: not used. */
    wolfSSL_CTX_set_session_cache_mode(library, WOLFSSL_SESS_CACHE_OFF);
    return c;
}

/* With these set the library needs no private key. Whoever signs checks the signature
 * (pki/signing.h). */
static void sign_elsewhere(WOLFSSL_CTX *library)
{
    wolfSSL_CTX_SetEccSignCb(library, session_ecdsa_callback);
    wolfSSL_CTX_SetRsaSignCb(library, session_rsa_callback);
    wolfSSL_CTX_SetRsaPssSignCb(library, session_pss_callback);
    wolfSSL_CTX_SetRsaSignCheckCb(library, session_rsa_check_callback);
    wolfSSL_CTX_SetRsaPssSignCheckCb(library, session_pss_check_callback);
}

/* The library goes on after a pending signature only if nothing else is pending: so the messages of
 * a flight are not collected then. */
static bool use_key(WOLFSSL_CTX *library, const struct private_key *key)
{
    if (!key->der) {
        sign_elsewhere(library);
        return true;
    }
    return wolfSSL_CTX_use_PrivateKey_buffer(library, key->der, (long)key->size,
                                             WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_group_messages(library) == WOLFSSL_SUCCESS;
}

/* The library ignores unknown names if one name is known; the names given to it are those that it
 * listed at start. */
static bool set_suites(WOLFSSL_CTX *library, suite_set set)
{
    struct text names = {0};
    suite_set_names(set, &names);
    bool ok = names.size > 0 &&
              wolfSSL_CTX_set_cipher_list(library, text_string(&names)) == WOLFSSL_SUCCESS;
    text_fini(&names);
    return ok;
}

struct tls_context *tls_context_server(const struct policy *policy, const struct text *chain,
                                       const struct private_key *key, bool tickets)
{
    struct tls_context *c = wrap(wolfSSL_CTX_new(wolfTLSv1_2_server_method()));
    if (!c) return NULL;
    const unsigned char *pem = (const unsigned char *)text_string(chain);
    bool ok = set_suites(c->library, policy->allowed & suite_set_of_key(key->type)) &&
              wolfSSL_CTX_use_certificate_chain_buffer(c->library, pem, (long)chain->size) ==
                  WOLFSSL_SUCCESS &&
              use_key(c->library, key) &&
              /* Without a callback, foreign tickets of any size are ignored. */
              wolfSSL_CTX_set_TicketEncCb(c->library, tickets ? session_ticket_callback : NULL) ==
                  WOLFSSL_SUCCESS &&
              /* A client whose ticket does not open gets a new one. */
              (!tickets || wolfSSL_CTX_UseSessionTicket(c->library) == WOLFSSL_SUCCESS) &&
              /* The library's own limit is 500 s, and it does not replace a ticket beyond that. Our
               * limit, which does replace it, must come first. */
              wolfSSL_CTX_set_timeout(c->library, 2 * TICKET_LIFETIME_S) == WOLFSSL_SUCCESS &&
              wolfSSL_CTX_set_TicketHint(c->library, TICKET_LIFETIME_S) == WOLFSSL_SUCCESS;
    if (ok) return c;
    tls_context_free(c);
    return NULL;
}

struct tls_context *tls_context_client(const struct policy *policy, bool resume)
{
    struct tls_context *c = wrap(wolfSSL_CTX_new(wolfTLSv1_2_client_method()));
    if (!c) return NULL;
    /* The library verifies no certificate and has no anchors: the callback verifies
     * (pki/trust.h). */
    wolfSSL_CTX_set_verify(c->library, WOLFSSL_VERIFY_NONE, session_verify_callback);
    sign_elsewhere(c->library);
    bool ok = set_suites(c->library, policy->allowed);
    for (size_t i = 0; ok && i < GROUP_COUNT; i++)
        ok = wolfSSL_CTX_UseSupportedCurve(c->library, group_at(i)) == WOLFSSL_SUCCESS;
    if (ok && resume) ok = wolfSSL_CTX_UseSessionTicket(c->library) == WOLFSSL_SUCCESS;
    if (ok) return c;
    tls_context_free(c);
    return NULL;
}

void tls_context_free(struct tls_context *c)
{
    if (!c) return;
    wolfSSL_CTX_free(c->library);
    free(c);
}

struct WOLFSSL_CTX *tls_context_library(const struct tls_context *c)
{
    return c->library;
}
