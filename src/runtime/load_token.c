#include "load.h"

#include <stdlib.h>
#include <string.h>

/* The first line of its file. */
static bool read_pin(const char *file, bool any_owner, char **out, struct text *errors)
{
    struct text text = {0};
    if (!file[0]) return true;
    bool ok = load_key(NULL, file, MODE_ALL_BUT_OWNER, any_owner, &text, errors);
    *out = text_take(&text);
    if (*out) (*out)[strcspn(*out, "\r\n")] = '\0';
    return ok && *out;
}

struct token_key *load_token(const char *uri, bool any_owner, struct text *errors)
{
    struct text fault = {0};
    char file[PATH_MAX], *pin = NULL;
    struct token_key *key = NULL;
    bool ok = token_pin_file(uri, file, &fault);
    if (ok && !read_pin(file, any_owner, &pin, errors)) return NULL;
    if (ok) key = token_key_open(uri, pin, &fault);
    char *name = key ? NULL : token_uri_name(uri);
    if (name) text_printf(errors, "the key %s cannot be used: %s\n", name, text_string(&fault));
    free(name);
    if (pin) explicit_bzero(pin, strlen(pin));
    free(pin);
    text_fini(&fault);
    return key;
}
