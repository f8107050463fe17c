/* Compiler attributes under short names (C11 has none of its own for these). */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
/* The Makefile sets these; the defaults are for tools that read one file alone. */
#ifndef SUITEGATE_VERSION
#define SUITEGATE_VERSION "0"
#endif
#ifndef SUITEGATE_CONFIG
#define SUITEGATE_CONFIG "/etc/suitegate/suitegate.ini"
#endif

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif
