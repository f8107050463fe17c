/* The keeper: its state, and what its files offer each other. Private to serve/: keeper.c (its
 * life), keeper_proxy.c, keeper_reload.c, keeper_upgrade.c. */
#ifndef SERVE_KEEPER_IMPL_H
#define SERVE_KEEPER_IMPL_H

#include "operate/keeper_state.h"
#include "serve/control.h"
#include "serve/file_watch.h"
#include "serve/keeper.h"
#include "serve/senders.h"
#include "serve/setting.h"
#include "serve/signers.h"
#include "serve/upgrade.h"
#include "serve/users.h"

enum reload { RELOAD_NONE, RELOAD_FILES, RELOAD_ALL };

/* What the proxy is doing. */
enum phase {
    PHASE_ABSENT,  /* there is none */
    PHASE_LOADING, /* it has been given the configuration, and does not serve yet */
    PHASE_STARTING,
    PHASE_SERVING,
    PHASE_RELOADING, /* it has been given the next one, while it serves */
    PHASE_CHANGING   /* to the next one */
};

struct keeper {
    const char *config_file;
    const struct keeper_ready *ready;
    struct users users;
    struct config *to_follow; /* what the next keeper would read; while it is judged */
    struct setting now, next; /* next: of a reload under way */
    struct senders senders;
    struct signers *signers;
    uint32_t serial; /* of the last configuration that was read */
    struct proxy_process *proxy;
    enum phase phase;
    int64_t proxy_since_ns; /* steady */
    bool announced, start_recorded, failed;
    bool draining;       /* no connection is accepted */
    bool rejecting;      /* a reload: the next one waits */
    bool stopping;       /* a signal has asked for it */
    bool closing;        /* all connections are told to end */
    enum reload again;   /* when the one under way is done */
    bool upgrade_wanted; /* likewise */
    unsigned long silent, lost;
    struct keeper_state state; /* for an operator */
    struct text *errors;       /* of the start */
    struct file_watch watch;
    struct control *control; /* NULL: none */
    /* The next keeper, while it starts (struct upgrade), and what this one knows of it then. */
    struct upgrade *upgrade;
    bool clerk_left; /* the next one has the clerk, or is about to */
    bool clerk_away; /* there is none for now */
    bool superseded; /* the next one serves: this one only waits for its connections to end */
    char *upgraded;  /* what whoever asked for it is told, once this one accepts no more */
    int following;   /* connection to the newest keeper; -1: none */
    ev_io news_of_newest;
    ev_timer look; /* does its clerk answer? */
    unsigned silences;
    int64_t may_end_ns; /* steady: former keepers need some time to find this one */
    ev_timer may_end;
    /* The keeper before, while this one starts. */
    int former; /* its post; -1: none */
    ev_io news_of_former;
    struct ev_loop *loop;
    ev_signal hup, term, interrupt, usr2;
    struct names *names; /* as the proxy was given them; NULL: none yet */
    ev_timer look_at_names;
    ev_timer drain_over, daily, hourly, start_again;
    ev_timer ping;        /* does the clerk live? */
    ev_timer watchdog;    /* a service manager wants to know whether this process lives */
    ev_timer former_over; /* no handshake of a former configuration goes on */
};

/* keeper.c */

/* A record of the keeper's own. detail: or NULL. */
void keeper_record(struct keeper *k, enum audit_action action, const char *detail);
/* Ends the start; faults: sentences. */
void keeper_fail(struct keeper *k, const char *faults);
/* Accepts no more, and ends with the last connection; after so many milliseconds these are closed.
 * 0: never. */
void keeper_drain(struct keeper *k, uint64_t limit_ms);
/* Closes all connections, also those of former keepers. */
void keeper_close(struct keeper *k);
/* Ends when nothing is left: no proxy, no former keeper. */
void keeper_end_if_done(struct keeper *k);

/* As SIGTERM: a second time, it waits for no connection any more. */
void keeper_stop(struct keeper *k);

/* keeper_proxy.c */

void keeper_start_proxy(struct keeper *k);
/* Tells the proxy what it shows an operator. */
void keeper_tell_state(struct keeper *k);
void keeper_watch_proxy(struct keeper *k); /* its timer; before the first start */

/* keeper_reload.c */

void keeper_watch_files(struct keeper *k);
/* Now, or when what is under way is done. */
void keeper_reload(struct keeper *k, enum reload what);
/* As SIGHUP: all anew; what is due of the local CA is renewed first. */
void keeper_reload_all(struct keeper *k);
/* Whatever was under way is done: what was wanted meanwhile begins. */
void keeper_go_on(struct keeper *k);
/* The proxy has loaded it: from here on there is no way back. */
void keeper_change(struct keeper *k);
void keeper_note_changed(struct keeper *k);
/* The next configuration is rejected for this; takes the text. */
void keeper_reject(struct keeper *k, struct text *errors);
void keeper_watch_former_keys(struct keeper *k);

/* keeper_upgrade.c */

/* Now, or when what is under way is done. */
void keeper_upgrade(struct keeper *k);
void keeper_watch_upgrade(struct keeper *k); /* its timer; before the first one */
/* Where former keepers and commands ask; given: by the keeper before, -1: none. */
void keeper_open_control(struct keeper *k, int given);
/* Waits until the keeper before lets this one begin. False: it has given up. */
WARN_UNUSED bool keeper_succeed(struct keeper *k, struct text *errors);
/* This keeper serves. */
void keeper_note_serving(struct keeper *k);
/* This keeper could not start: for the one before, which says so. Empties the text then. */
void keeper_tell_former(struct keeper *k, struct text *errors);
/* Its proxy accepts no more: whoever asked for an upgrade is told. */
void keeper_note_drained(struct keeper *k);
/* One under way fails: this keeper is about to stop. */
void keeper_end_upgrade(struct keeper *k);

#endif
