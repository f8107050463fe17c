/* The clerk's senders and itself. Private to audit/: clerk.c, clerk_senders.c. */
#ifndef AUDIT_CLERK_IMPL_H
#define AUDIT_CLERK_IMPL_H

#include "audit/clerk.h"

#include "clerk_places.h"
#include "processes.h"

#include "audit/writer.h"
#include "base/buf.h"

#include <ev.h>

struct clerk;

/* A keeper's post. The first one is of the keeper that started the clerk; the others are of former
 * ones, whose connections go on after an upgrade: they may only have senders. */
struct link {
    struct link *next;
    struct clerk *clerk;
    int post;
    ev_io io;
    bool first;
};

struct sender {
    struct sender *next;
    struct clerk *clerk;
    const struct link *link; /* NULL: closed */
    struct process *process;
    enum audit_sender role;
    int fd;        /* -1: closed */
    bool replaced; /* by a newer socket of the same recorder: what it sends comes again there */
    ev_io io;
    struct buf in;
    struct receipt last;   /* of its last record that was taken */
    bool sends;            /* it has sent a record on this socket */
    uint64_t urgent, told; /* its last record that a caller waits for; the last WRITTEN */
    int64_t told_ns;
    uint64_t known, written, failing; /* what its answers must say: the record's number */
    bool tell_known, tell_written, tell_failing;
};

struct clerk {
    struct ev_loop *loop;
    struct link *links;
    struct timespec start;
    struct writer *writer; /* NULL: no log yet */
    struct clerk_places places;
    struct sender *senders;
    struct process *processes;
    ev_timer later; /* answers that can wait */
    bool failing;   /* what the senders know */
    bool ending;
    bool leaving;             /* what has arrived is written and answered, then it ends */
    const struct link *asked; /* to end: the keeper waits for the answer */
};

/* For the loop: a sender's socket is ready. */
void clerk_on_sender(struct ev_loop *loop, ev_io *io, int events);
/* Its answers that are due; what it may send next is watched. */
void clerk_give_answers(struct sender *s, bool all);
void clerk_watch_sender(struct sender *s);
void clerk_close_sender(struct sender *s);
/* Takes what has arrived, and no more. */
void clerk_take_last(struct sender *s);
void clerk_replace_sender(struct sender *s);
/* After each round of the writer. A closed sender is kept while it has records under way. */
void clerk_on_settled(void *context, bool all);
void clerk_end_if_done(struct clerk *c);
void clerk_end_if_left(struct clerk *c);

#endif
