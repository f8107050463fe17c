/* The frame of every page this proxy serves: one look, no scripts, both colour schemes. */
#ifndef PAGE_HTML_H
#define PAGE_HTML_H

#include "base/text.h"

/* Up to and with the h1; title is ours. */
void html_begin(struct text *out, const char *title);
void html_end(struct text *out);
/* Escaped, with places to break a line at: suites' names are longer than a telephone is wide. */
void html_add_name(struct text *out, const char *names);
/* A term and its description, escaped. */
void html_term(struct text *out, const char *term, const char *value);

#endif
