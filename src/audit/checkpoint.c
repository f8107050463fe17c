#include "audit/checkpoint.h"

#include "base/file.h"
#include "pki/signature.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { KEY_LIMIT = 16384, SPKI_P256 = 91 };

bool log_key_id(struct span spki, char out[LOG_KEY_ID + 1])
{
    uint8_t digest[32];
    if (!digest_sha256(spki.p, spki.n, digest)) return false;
    text_hex(digest, sizeof digest, out);
    return true;
}

static bool describe(struct log_key *k)
{
    struct span spki = key_spki(&k->key);
    return log_key_id(spki, k->id) && base64_encode(spki, &k->public_base64);
}

int log_key_restore(const char *path, const struct log_key *key)
{
    struct text pem = {0};
    int fault = key_to_pem(&key->key, &pem) ? file_create(path, 0600, &pem) : ENOMEM;
    text_wipe(&pem);
    return fault;
}

static bool make_key(const char *path, struct log_key *out, struct text *errors)
{
    int fault = key_generate(KEY_ECDSA, 0, &out->key) ? log_key_restore(path, out) : EIO;
    if (fault) text_printf(errors, "cannot make the log key %s: %s\n", path, strerror(fault));
    return !fault;
}

static bool read_key(const char *path, const struct text *pem, struct log_key *out,
                     struct text *errors)
{
    if (key_from_pem(text_string(pem), pem->size, &out->key) && out->key.type == KEY_ECDSA &&
        key_spki(&out->key).n == SPKI_P256)
        return true;
    text_printf(errors, "%s holds no ECDSA P-256 private key (PEM, not encrypted)\n", path);
    return false;
}

bool log_key_load(const char *path, bool make, struct log_key *out, struct text *errors)
{
    struct text pem = {0};
    struct stat st;
    *out = (struct log_key){0};
    int fault = file_read_own(path, KEY_LIMIT, &pem, &st);
    /* For reading only, root may use anybody's key. */
    bool any_owner = !make && geteuid() == 0, ok = false;
    if (fault == ENOENT && make)
        ok = make_key(path, out, errors);
    else if (fault == ELOOP)
        text_printf(errors,
                    "log key %s is a symbolic link: name the file it leads to in [audit] key\n",
                    path);
    else if (fault)
        text_printf(errors, "log key %s: %s\n", path, strerror(fault));
    else
        ok = file_is_private(path, &st, MODE_ALL_BUT_OWNER, any_owner, errors) &&
             read_key(path, &pem, out, errors);
    text_wipe(&pem);
    if (ok && !describe(out)) {
        text_add(errors, "out of memory\n");
        ok = false;
    }
    if (!ok) log_key_fini(out);
    return ok;
}

void log_key_fini(struct log_key *key)
{
    key_fini(&key->key);
    text_fini(&key->public_base64);
}

void checkpoint_message(const struct checkpoint_content *c, struct text *out)
{
    text_printf(out, "suitegate log checkpoint\n%s\n%" PRIu64 "\n%s\n", c->timestamp,
                c->head->sequence, c->head->hash);
    if (c->previous->sequence)
        text_printf(out, "%" PRIu64 "\n%s\n", c->previous->sequence, c->previous->hash);
    if (c->next_key && *c->next_key) text_printf(out, "next key\n%s\n", c->next_key);
}

static struct span span_of(const struct text *t)
{
    return (struct span){(const uint8_t *)text_string(t), t->size};
}

bool checkpoint_sign(const struct log_key *key, const struct checkpoint_content *c,
                     struct text *signature)
{
    struct text message = {0};
    uint8_t der[SIGNATURE_SIZE];
    size_t n;
    checkpoint_message(c, &message);
    bool ok = !message.failed && signature_make(&key->key, span_of(&message), der, &n) &&
              base64_encode((struct span){der, n}, signature);
    text_fini(&message);
    return ok;
}

bool checkpoint_valid(struct span spki, const struct checkpoint_content *c, const char *signature)
{
    struct text message = {0};
    uint8_t der[SIGNATURE_SIZE];
    size_t n;
    checkpoint_message(c, &message);
    bool ok = !message.failed && base64_decode(signature, strlen(signature), der, sizeof der, &n) &&
              signature_of_key_valid(spki, span_of(&message), (struct span){der, n});
    text_fini(&message);
    return ok;
}
