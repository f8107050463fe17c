/* [operate]: where an operator asks the proxy, over plain HTTP (serve/http.h): /metrics, /health,
 * /ready, /status.json and a page. For the main thread. */
#ifndef SERVE_OPERATE_SERVER_H
#define SERVE_OPERATE_SERVER_H

#include "serve/lookout.h"

struct operate_server;

/* Takes the socket, and does not serve yet. The lookout outlives it. NULL with a sentence in
 * errors. */
WARN_UNUSED struct operate_server *operate_server_new(int fd, const struct endpoint *at,
                                                      struct lookout *lookout, struct text *errors);
/* Is this its socket? False for NULL. */
bool operate_server_has(const struct operate_server *o, int fd);
/* Serves from now on. No effect for NULL, as the next two. */
void operate_server_begin(struct operate_server *o);
/* Accepts no more: another process has the socket, too. */
void operate_server_leave(struct operate_server *o);
void operate_server_free(struct operate_server *o);

/* Writes the status (operate/overview.h) into this pipe, which it takes, and never waits for its
 * reader: a digit, 1 if it serves and 0 if not, and then as JSON or as text. */
void operate_server_show_status(struct lookout *lookout, bool json, int pipe);

#endif
