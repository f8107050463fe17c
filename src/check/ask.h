/* One scan under way: it asks a server, patiently and never with too many connections, and notes
 * what it answers. Private to check/. */
#ifndef CHECK_ASK_H
#define CHECK_ASK_H

#include "check/jobs.h"
#include "check/scan.h"

#include <pthread.h>
#include <string.h>

/* Suites a hello. */
enum { CHUNK_LARGEST = 64, CHUNK_SMALLEST = 8 };

enum { ASK_TLS13 = 7 };
extern const uint16_t ask_tls13[ASK_TLS13];

struct scanning {
    struct probe_target *target;
    const struct scan_trust *trust;
    struct scan *scan;
    pthread_mutex_t lock; /* of what several jobs write */
    /* All who ask hold it for reading; who asks again holds it alone, so that it is not too many
     * connections at once that a server refuses. */
    pthread_rwlock_t asking;
    bool waited[SCAN_VERSIONS]; /* the whole first wait was granted to this version once */
    bool bare;                  /* this server cannot stand extensions */
    size_t chunk;               /* suites a hello, as many as this server can stand */
    /* What it is known to accept: to tell a refusal from a server that answers no more. */
    uint16_t known_version, known_suite; /* 0: nothing yet */
    uint16_t groups[OTHER_CURVES];       /* all that are asked for, the policy's last */
    size_t group_count;
    uint16_t ciphers[SUITE_COUNT + OTHER_CIPHERS]; /* all that are asked for up to TLS 1.2 */
    size_t cipher_count;
};

struct offer ask_offer_of(const struct scanning *g, uint16_t version, const uint16_t *list,
                          size_t n);
/* Asks. One that is closed or met with silence is asked again alone, and counts as refused only
 * if the server then answers what it is known to accept; else it is asked again after a pause,
 * and what stays open makes the scan incomplete. */
void ask(struct scanning *g, const struct offer *offer, enum probe_depth depth, struct probe *p);
void ask_note_incomplete(struct scanning *g, int fault); /* fault: an errno, 0: none */
void ask_note_out_of_time(struct scanning *g);
/* Does it still answer, for one who asks alone? Waits a moment before it is asked again (tries: how
 * often it was). */
bool ask_answers(struct scanning *g);
enum { ASK_TRIES = 4, ASK_ROUNDS = 2 };
/* For one who asks alone and was closed on in this round: does the server answer what it is known
 * to accept, each time, so that closing was its answer? */
bool ask_is_no(struct scanning *g, unsigned round);
/* A moment, so that a server has noticed that the connection before has ended. */
void ask_settle_delay(unsigned round);
void ask_pause(const struct scanning *g, unsigned tries);
/* It accepts this suite in this version, SSL 3.0 or later. */
void ask_note_suite(struct scanning *g, uint16_t version, uint16_t suite);
/* A ServerHello of this version. */
bool ask_is_hello(const struct probe *p, uint16_t version);
/* Takes a value out of a list; false when it is not in there. */
bool list_take(uint16_t *list, size_t *n, uint16_t value);
void list_sort(uint16_t *list, size_t n);

#endif
