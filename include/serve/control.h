/* The keeper's control socket: by it, other commands of the program and former keepers find the
 * keeper of a configuration's file. An abstract Unix socket (unix(7)) with a name made of the
 * file's path; the messages are in control_order.h. Only root and the keeper's own user are heard,
 * but not the keeper's clerk and proxy. For the keeper's main thread. */
#ifndef SERVE_CONTROL_H
#define SERVE_CONTROL_H

#include "base/attr.h"
#include "base/text.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

struct control;

struct control_events {
    void (*upgrade)(void *arg); /* asked for; control_answer() follows */
    void (*reload)(void *arg);  /* likewise */
    void (*stop)(void *arg);
    /* Written into the pipe, which stays the caller's. False: there is no proxy now. */
    bool (*status)(void *arg, const char *form, int pipe);
    int (*clerk)(void *arg); /* a post to the clerk, for a former keeper; -1: none now */
    void (*left)(void *arg); /* a former keeper has gone */
    bool (*is_part)(void *arg, pid_t process); /* one of this keeper's own, which is not heard */
    void *arg;
};

/* inherited: the socket of the keeper before, taken; -1: a new one. NULL with a sentence in errors,
 * for instance when another process has the name. It does not listen yet. */
WARN_UNUSED struct control *control_new(struct ev_loop *loop, const char *config_file,
                                        int inherited, const struct control_events *events,
                                        struct text *errors);
/* Hears new requests from now on, or does not. No effect for NULL. */
void control_listen(struct control *c, bool on);
int control_socket(const struct control *c); /* -1 for NULL */
/* To all that have asked for it: CONTROL_UPGRADE or CONTROL_RELOAD. */
void control_answer(struct control *c, const char *what, bool done, const char *text);
/* How many former keepers there are. */
size_t control_followers(const struct control *c);
/* Tells them to close their connections. */
void control_close_followers(struct control *c);
/* The socket is another process's now: only those that wait for an answer are left. No effect for
 * NULL. */
void control_retire(struct control *c);
/* No effect for NULL. */
void control_free(struct control *c);

/* ---- for others ---- */

/* Anybody can take a name that is free: whose answers count. Root may ask a keeper of another user,
 * who is named. */
enum control_trust { CONTROL_OWN_USER, CONTROL_ASKED };
/* A connection to the keeper of this file, whose calls wait at most for so long. -1 with a sentence
 * in errors. */
WARN_UNUSED int control_connect(const char *config_file, enum control_trust trust, int seconds,
                                struct text *errors);
/* The process at the other end; 0: unknown. */
pid_t control_process(int end);
/* The keeper's answer; *fd: what it has given, the caller's; NULL: nothing is wanted. False: there
 * is none, or not yet. */
WARN_UNUSED bool control_ask(int end, const char *what, struct text *answer, int *fd);
/* Asks for the status, in this form, into this pipe, which stays the caller's. */
WARN_UNUSED bool control_ask_status(int end, const char *form, int pipe, struct text *answer);

#endif
