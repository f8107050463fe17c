/* The log key, and what it signs: checkpoints. A checkpoint proves every line of the chain up to
 * the one it names. The owner of the key can write another log: only a copy of the checkpoints
 * elsewhere protects against that. */
#ifndef AUDIT_CHECKPOINT_H
#define AUDIT_CHECKPOINT_H

#include "audit/chain.h"
#include "base/attr.h"
#include "pki/keys.h"

#include <time.h>

enum { LOG_KEY_ID = 64, LOG_SPKI_LIMIT = 256 };

struct log_key {
    struct private_key key;    /* ECDSA P-256 */
    char id[LOG_KEY_ID + 1];   /* SHA-256 of its SubjectPublicKeyInfo, hexadecimal */
    struct text public_base64; /* its SubjectPublicKeyInfo */
};

/* Reads a PEM file, which must belong to the user or root and be unreadable for all others. make:
 * creates a missing file; without it, root may read anybody's. Follows no symbolic link. False with
 * a sentence in errors. */
WARN_UNUSED bool log_key_load(const char *path, bool make, struct log_key *out,
                              struct text *errors);
/* Writes the key file again if it is missing. 0, EEXIST when it exists, or another errno. */
WARN_UNUSED int log_key_restore(const char *path, const struct log_key *key);
void log_key_fini(struct log_key *key);
/* The id of a public key. */
WARN_UNUSED bool log_key_id(struct span spki, char out[LOG_KEY_ID + 1]);

/* What is signed (ECDSA with SHA-256, the signature as DER): four lines, two more if the
 * checkpoint names the end of the previous run, and two more if it announces the next key:
 *     suitegate log checkpoint
 *     the checkpoint's @timestamp
 *     the number of the line it covers, the one before it
 *     that line's hash
 *     the number of the previous run's last line
 *     that line's hash
 *     next key
 *     its SubjectPublicKeyInfo in base 64
 * previous->sequence 0, next_key NULL or empty: without these lines. */
struct checkpoint_content {
    const char *timestamp;
    const struct chain *head, *previous;
    const char *next_key;
};
void checkpoint_message(const struct checkpoint_content *c, struct text *out);
/* Appends the signature in base 64. */
WARN_UNUSED bool checkpoint_sign(const struct log_key *key, const struct checkpoint_content *c,
                                 struct text *signature);
WARN_UNUSED bool checkpoint_valid(struct span spki, const struct checkpoint_content *c,
                                  const char *signature);

#endif
