/* Options whose value is one of a few words. */
#include "values.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The words of an enumeration, by its values; "" for one that means "not given". */
struct words {
    const char *const *names;
    unsigned n;
};

static const char *const type_names[LISTEN_TYPES] = {
    [LISTEN_UNSET] = "",
#define LISTEN_TYPE(name, word) [LISTEN_##name] = #word,
#include "config/listen_types.def"
#undef LISTEN_TYPE
};

const char *listen_type_name(enum listen_type type)
{
    return type_names[type];
}

static const char *const sync_names[] = {
    [SYNC_INTERVAL] = "interval", [SYNC_RECORD] = "record", [SYNC_NONE] = "none"};

static const char *const transparent_names[] = {
    [TRANSPARENT_UNSET] = "", [TRANSPARENT_REDIRECT] = "redirect", [TRANSPARENT_TPROXY] = "tproxy"};

static const char *const mode_names[] = {
    [MODE_UNSET] = "", [MODE_ENFORCE] = "enforce", [MODE_OBSERVE] = "observe"};

const char *listen_mode_name(enum listen_mode mode)
{
    return mode_names[mode];
}

static const char *const proxy_names[] = {[PROXY_UNSET] = "", [PROXY_V1] = "v1", [PROXY_V2] = "v2"};

static const char *const client_certificate_names[] = {[CLIENT_CERTIFICATE_UNSET] = "",
                                                       [CLIENT_CERTIFICATE_NONE] = "none",
                                                       [CLIENT_CERTIFICATE_OPTIONAL] = "optional",
                                                       [CLIENT_CERTIFICATE_REQUIRED] = "required"};

static const char *const profile_names[PROFILES] = {
#define PROFILE(name, word, ...) [PROFILE_##name] = word,
#include "policy/profiles.def"
#undef PROFILE
};

static const char *const yes_no[] = {"no", "yes"}, *const refuse_allow[] = {"refuse", "allow"};

static struct words words_of(enum value_kind kind)
{
    switch (kind) {
    case KIND_LISTEN_TYPE:
        return (struct words){type_names, COUNT_OF(type_names)};
    case KIND_PROFILE:
        return (struct words){profile_names, COUNT_OF(profile_names)};
    case KIND_TRANSPARENT:
        return (struct words){transparent_names, COUNT_OF(transparent_names)};
    case KIND_MODE:
        return (struct words){mode_names, COUNT_OF(mode_names)};
    case KIND_PROXY_VERSION:
        return (struct words){proxy_names, COUNT_OF(proxy_names)};
    case KIND_CLIENT_CERTIFICATE:
        return (struct words){client_certificate_names, COUNT_OF(client_certificate_names)};
    case KIND_YES_NO:
        return (struct words){yes_no, COUNT_OF(yes_no)};
    case KIND_REFUSE_ALLOW:
        return (struct words){refuse_allow, COUNT_OF(refuse_allow)};
    case KIND_SYNC:
        return (struct words){sync_names, COUNT_OF(sync_names)};
    default:
        return (struct words){NULL, 0};
    }
}

bool kind_is_word(enum value_kind kind)
{
    return words_of(kind).n > 0;
}

/* "a, b or c". */
static const char *one_of(struct words words, char out[VALUE_RIGHT])
{
    size_t n = 0;
    for (unsigned i = 0; i < words.n && n < VALUE_RIGHT; i++)
        if (words.names[i][0])
            n += (size_t)snprintf(out + n, VALUE_RIGHT - n, "%s%s",
                                  n == 0             ? ""
                                  : i == words.n - 1 ? " or "
                                                     : ", ",
                                  words.names[i]);
    return out;
}

static bool is_flag(enum value_kind kind)
{
    return kind == KIND_YES_NO || kind == KIND_REFUSE_ALLOW;
}

const char *word_parse(enum value_kind kind, const char *text, void *member,
                       char right[VALUE_RIGHT])
{
    struct words words = words_of(kind);
    for (unsigned i = 0; i < words.n; i++)
        if (strcmp(text, words.names[i]) == 0) {
            if (is_flag(kind))
                *(bool *)member = i == 1;
            else
                *(unsigned *)member = i; /* the size of an enumeration */
            return NULL;
        }
    return one_of(words, right);
}

const char *word_of(enum value_kind kind, const void *member)
{
    unsigned i = is_flag(kind) ? *(const bool *)member : *(const unsigned *)member;
    struct words words = words_of(kind);
    assert(words.names);
    return words.names[i];
}
