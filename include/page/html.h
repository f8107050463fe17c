/* The frame of every page this proxy serves: one style, no scripts, both colour schemes. */
#ifndef PAGE_HTML_H
#define PAGE_HTML_H

#include "base/text.h"

/* Writes the beginning, with the h1. title must be trusted text. */
void html_begin(struct text *out, const char *title);
void html_end(struct text *out);
/* Escaped, with possible line breaks: suite names are too long for a phone's screen. */
void html_add_name(struct text *out, const char *names);
/* A term and its description, escaped. */
void html_term(struct text *out, const char *term, const char *value);

#endif
