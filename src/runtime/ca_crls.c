/* The CRLs of the CAs that sign leaves: who has their keys makes them, and keeps them in the
 * snapshot for who has none. */
#include "runtime/ca_files.h"

#include <stdio.h>

enum { CRL_LIMIT = 1 << 20 };

static void crl_name(const char *of, char out[32])
{
    snprintf(out, 32, "crl of the %s CA", of); /* no path of a file */
}

static bool make_crl(struct ca *ca, const char *of, struct snapshot *from, time_t now,
                     struct text *out)
{
    char name[32];
    crl_name(of, name);
    return ca_crl(ca, now, CA_CRL_DAYS, out) && snapshot_put(from, name, out);
}

static bool take_crl(const char *of, struct snapshot *from, struct text *out)
{
    char name[32];
    crl_name(of, name);
    return !snapshot_has(from, name) || snapshot_read(from, name, CRL_LIMIT, out, NULL) == 0;
}

static bool take_crls(struct snapshot *from, struct ca_files *files)
{
    bool ok = ca_files_have_issuing(files) || take_crl("only", from, &files->crl);
    for (int k = 0; ok && k < KEY_TYPES; k++)
        ok = take_crl(key_type_name((enum key_type)k), from, &files->issuing_crls[k]);
    return ok;
}

bool ca_files_make_crls(const struct ca_place *place, struct snapshot *from, time_t now,
                        struct ca_files *files, struct text *errors)
{
    struct ca *signers[KEY_TYPES];
    if (files->without_keys) return take_crls(from, files);
    if (!ca_signers_open(files, place, signers, errors)) return false;
    bool ok = ca_files_have_issuing(files) ||
              make_crl(signers[KEY_ECDSA], "only", from, now, &files->crl);
    for (int k = 0; ok && k < KEY_TYPES; k++)
        if (files->issuing[k].size > 0)
            ok = make_crl(signers[k], key_type_name((enum key_type)k), from, now,
                          &files->issuing_crls[k]);
    ca_signers_close(signers);
    if (!ok) text_printf(errors, "%s: its CRL cannot be made\n", place->certificate);
    return ok;
}
