/* Values of options: text to typed member and back. Private to config/. */
#ifndef CONFIG_VALUES_H
#define CONFIG_VALUES_H

#include "config/config.h"

#include <limits.h>

enum value_kind {
    KIND_WORKERS,
    KIND_COUNT,
    KIND_SOURCE_COUNT,
    KIND_RATE,
    KIND_SIZE,
    KIND_DURATION,
    KIND_TIME_LIMIT, /* a duration; 0: off */
    KIND_PROFILE,
    KIND_SUITE_LIST,
    KIND_RSA_BITS,
    KIND_PORT,
    KIND_REFUSE_ALLOW,
    KIND_YES_NO,
    KIND_SYNC,
    KIND_TRANSPARENT,
    KIND_MODE,
    KIND_PROXY_VERSION,
    KIND_CLIENT_CERTIFICATE,
    KIND_SYSLOG_LIST,
    KIND_PATH,
    KIND_PATH_LIST,
    KIND_URL,
    KIND_PUBLISH_URL,
    KIND_LISTEN_TYPE,
    KIND_LISTEN_ADDRESS,
    KIND_ENDPOINT,
    KIND_IP,
    KIND_CIDR_LIST,
    KIND_PATTERN_LIST,
    KIND_TARGET,
    KIND_NAME,
    KIND_LABEL,
    KIND_USER,
    KIND_PARENT_URL,
    KIND_RESOLVER_LIST,
};

/* Stands for "auto" of a KIND_SOURCE_COUNT until the whole file has been read. */
enum { SOURCE_COUNT_AUTO = UINT_MAX };

enum { WEEK_MS = 7 * 24 * 3600 * 1000 };

/* Of a number: in bytes, milliseconds or per second. */
struct range {
    uint64_t least, most;
};

/* words.c: the kinds whose values are words. word_parse() as value_parse(); word_of(): the member's
 * word, "" if it is not given. */
enum { VALUE_RIGHT = 128 };
bool kind_is_word(enum value_kind kind);
WARN_UNUSED const char *word_parse(enum value_kind kind, const char *text, void *member,
                                   char right[VALUE_RIGHT]);
const char *word_of(enum value_kind kind, const void *member);

/* 1 to 40 letters, digits, - or _: the name of a section. */
bool label_is_valid(const char *s);
bool value_repeats(enum value_kind kind);
/* NULL, or what the value must be: a phrase after "must be", static or in right. Relative paths
 * start from `directory`. */
WARN_UNUSED const char *value_parse(enum value_kind kind, const struct range *range,
                                    const char *text, const char *directory, void *member,
                                    char right[VALUE_RIGHT]);
/* An absolute path, for free(): a relative one starts from directory. As it is: what is no path.
 * NULL when out of memory. */
WARN_UNUSED char *value_resolve_path(const char *text, const char *directory);
/* Takes the value, which is NULL when there was no memory. NULL, or what is wrong. */
WARN_UNUSED const char *value_set_string(char **member, char *value);
/* places.c: of kinds that say where something listens. */
enum { PLACE_PRINTED = 64 };
WARN_UNUSED const char *place_parse_listen(const char *text, struct listen_address *out);
WARN_UNUSED const char *place_parse_endpoint(const char *text, const char *directory,
                                             struct endpoint *out);
void place_print_listen(const struct listen_address *a, char out[PLACE_PRINTED]);
void place_print_endpoint(const struct endpoint *p, void (*each)(void *arg, const char *text),
                          void *arg);
/* Adds the loopback ranges. False when out of memory. */
WARN_UNUSED bool value_allow_loopback(struct cidr_list *list);
/* Calls `each` for every value of the member: none if it is unset, several for a list. */
void value_print(enum value_kind kind, const void *member,
                 void (*each)(void *arg, const char *text), void *arg);
void value_free(enum value_kind kind, void *member);

#endif
