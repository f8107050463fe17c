/* Hands the records of one loop to the clerk (audit/clerk.h), a process that writes them, and calls
 * back each waiting caller when its record is in the file.
 *
 * Nothing is lost: a record is kept until the clerk has written it, and sent again to the next
 * clerk if this one dies. Without a clerk, or while it cannot write or has not answered for
 * RECORDING_WAIT_S, recording_available() is false and no new connection is served; when
 * RECORDING_LIMIT records or RECORDING_BYTES wait, recording_has_room() is false and none is
 * accepted, so that every refusal is recorded too. When there is no memory, records have some of
 * their own (until they are written, none is accepted): what was accepted can be recorded.
 *
 * A recorder belongs to its loop's thread. What all recorders of the process share has a lock. */
#ifndef AUDIT_RECORDER_H
#define AUDIT_RECORDER_H

#include "audit/record.h"
#include "base/attr.h"

#include <ev.h>
#include <stdbool.h>

enum {
    RECORDING_WAIT_S = 5,
    RECORDING_END_S = 10 /* the end waits for the clerk */,
    RECORDING_LIMIT = 65536,
    RECORDING_BYTES = 128 << 20
};

struct recording; /* of the process */
struct recorder;  /* of a loop */

/* `answer` is called once, on the recorder's thread, and must not block. */
struct recorder_reply {
    void (*answer)(void *context, void *token, bool written);
    void *context;
    void *token;
};

WARN_UNUSED struct recording *recording_new(void);
/* After its recorders. Returns how many records were lost. */
size_t recording_free(struct recording *shared);
/* May new connections be served? May they be accepted at all? From any thread. */
bool recording_available(const struct recording *shared);
bool recording_has_room(const struct recording *shared);

/* Not connected yet. NULL when out of memory. */
WARN_UNUSED struct recorder *recorder_new(struct recording *shared, struct ev_loop *loop);
/* Records that are not with the clerk are lost. No effect for NULL. */
void recorder_free(struct recorder *r);
/* Calls back, on the recorder's thread, whenever the clerk has closed its end. */
void recorder_watch(struct recorder *r, void (*lost)(void *arg), void *arg);
/* Takes the socket, whose other end a clerk has; the former one is closed. */
void recorder_connect(struct recorder *r, int fd);
/* Has it a socket whose other end is open? */
bool recorder_is_connected(const struct recorder *r);
/* Sends all, and waits for the clerk's answers up to steady time deadline_ns. False when it has not
 * written all. The loop need not run. */
bool recorder_finish(struct recorder *r, int64_t deadline_ns);

/* Queues a record. offer and reply may be NULL; reply is called back also on failure. If the offer
 * may be a fallback (audit/fallback.h), a record of that follows. */
void recorder_submit(struct recorder *r, const struct audit_event *e,
                     const struct audit_offer *offer, const struct recorder_reply *reply);
/* The same for an open line that render() makes of `what`; perhaps twice, if there is no memory. */
typedef struct audit_stamp audit_renderer(const void *what, struct text *out);
void recorder_submit_line(struct recorder *r, audit_renderer *render, const void *what,
                          const struct recorder_reply *reply);

/* Counts a refusal instead of recording it, if its source has used up its records with this code
 * (audit/repeats.h): the caller then submits none, and reply is called back at once. The count
 * itself is recorded within seconds. destination: host:port, or "" if unknown. False: submit a
 * record. */
WARN_UNUSED bool recorder_count_refusal(struct recorder *r, const struct addr *source,
                                        const char *listener, const char *destination,
                                        enum reason reason, const struct audit_origin *origin,
                                        const struct recorder_reply *reply);
/* Records the counts of the process that are due at steady time now_ns; INT64_MAX: all, before the
 * loop ends. */
void recorder_submit_counts(struct recorder *r, const struct audit_origin *origin, int64_t now_ns);

#endif
