#include "runtime/credentials.h"

#include <stdlib.h>
#include <string.h>

/* "user:password": the password may have colons. False: it is not of this form. */
static bool read_line(const char *line, size_t n, struct login *out)
{
    const char *colon = memchr(line, ':', n);
    *out = (struct login){{0}, {0}};
    if (!colon || memchr(line, '\0', n)) return false;
    size_t user = (size_t)(colon - line), password = n - user - 1;
    if (user == 0 || user >= sizeof out->user || password == 0 || password >= sizeof out->password)
        return false;
    memcpy(out->user, line, user);
    memcpy(out->password, colon + 1, password);
    return true;
}

static bool add(struct credentials *c, const struct login *login)
{
    /* realloc() would leave a copy behind. */
    struct credentials grown = {calloc(c->n + 1, sizeof *grown.items), c->n + 1};
    if (!grown.items || grown.n > CREDENTIALS_LIMIT) {
        free(grown.items);
        return false;
    }
    if (c->n > 0) memcpy(grown.items, c->items, c->n * sizeof *grown.items);
    grown.items[c->n] = *login;
    credentials_fini(c);
    *c = grown;
    return true;
}

bool credentials_read(const struct text *content, const char *file, struct credentials *out,
                      struct text *errors)
{
    struct text_line line = {0};
    struct login login = {{0}, {0}};
    bool ok = true;
    *out = (struct credentials){0};
    while (ok && text_next_line(content, &line)) {
        bool skipped = line.n == 0 || line.p[0] == '#';
        if (!skipped && !read_line(line.p, line.n, &login)) {
            text_printf(errors, "%s:%u: not user:password, each of 1 to 255 bytes\n", file,
                        line.number);
            ok = false;
        } else if (!skipped && !add(out, &login)) {
            text_printf(errors, "%s: more than %d logins, or out of memory\n", file,
                        CREDENTIALS_LIMIT);
            ok = false;
        }
    }
    explicit_bzero(&login, sizeof login);
    if (ok && out->n == 0) text_printf(errors, "%s has no line user:password\n", file);
    if (ok && out->n > 0) return true;
    credentials_fini(out);
    return false;
}

void credentials_fini(struct credentials *c)
{
    if (c->items) explicit_bzero(c->items, c->n * sizeof *c->items);
    free(c->items);
    *c = (struct credentials){0};
}

/* have: a field of a login, padded with zeros. */
static bool equals(const char have[256], struct span given)
{
    char padded[256] = {0};
    unsigned char different = given.n >= sizeof padded || memchr(given.p, '\0', given.n) != NULL;
    if (!different) memcpy(padded, given.p, given.n);
    for (size_t i = 0; i < sizeof padded; i++) different |= (unsigned char)(have[i] ^ padded[i]);
    explicit_bzero(padded, sizeof padded);
    return !different;
}

bool credentials_match(const struct credentials *c, struct span user, struct span password)
{
    bool found = false;
    for (size_t i = 0; i < c->n; i++) {
        bool same_user = equals(c->items[i].user, user);
        bool same_password = equals(c->items[i].password, password);
        found |= same_user && same_password;
    }
    return found && user.n > 0 && password.n > 0;
}
