/* A running scan: asks a server, with retries and few connections, and records its answers. Private
 * to check/. */
#ifndef CHECK_ASK_H
#define CHECK_ASK_H

#include "check/jobs.h"
#include "check/scan.h"

#include <pthread.h>
#include <string.h>

/* Suites per hello. */
enum { CHUNK_LARGEST = 64, CHUNK_SMALLEST = 8 };

enum { ASK_TLS13 = 7 };
extern const uint16_t ask_tls13[ASK_TLS13];

struct scanning {
    struct probe_target *target;
    const struct scan_trust *trust;
    struct scan *scan;
    pthread_mutex_t lock; /* for what several jobs write */
    /* Each question holds it for reading, a retry for writing: alone, so that a refusal cannot be
     * due to too many connections. */
    pthread_rwlock_t asking;
    bool waited[SCAN_VERSIONS]; /* this version has had the whole first wait */
    bool bare;                  /* this server fails with extensions */
    size_t chunk;               /* suites per hello that this server accepts */
    /* A combination that it accepts: distinguishes a refusal from a server that stopped
     * answering. */
    uint16_t known_version, known_suite; /* 0: nothing yet */
    uint16_t groups[OTHER_CURVES];       /* all to ask for, the policy's last */
    size_t group_count;
    uint16_t ciphers[SUITE_COUNT + OTHER_CIPHERS]; /* all to ask for up to TLS 1.2 */
    size_t cipher_count;
};

struct offer ask_offer_of(const struct scanning *g, uint16_t version, const uint16_t *list,
                          size_t n);
/* Asks. An offer without an answer is repeated alone. It counts as refused only if the server then
 * answers the known offer; else it is repeated after a pause, and without any answer the scan is
 * incomplete. */
void ask(struct scanning *g, const struct offer *offer, enum probe_depth depth, struct probe *p);
void ask_note_incomplete(struct scanning *g, int fault); /* fault: an errno, 0: none */
void ask_note_out_of_time(struct scanning *g);
/* While asking alone: does the server still answer? */
bool ask_answers(struct scanning *g);
enum { ASK_TRIES = 4, ASK_ROUNDS = 2 };
/* While asking alone, after a close in this round: does the server answer the known offer every
 * time, so that the close was its answer? */
bool ask_is_no(struct scanning *g, unsigned round);
/* A short delay, so that the server notices the end of the previous connection. */
void ask_settle_delay(unsigned round);
/* Waits before the next try; tries: how many there were. */
void ask_pause(const struct scanning *g, unsigned tries);
/* Records that it accepts this suite in this version, SSL 3.0 or later. */
void ask_note_suite(struct scanning *g, uint16_t version, uint16_t suite);
/* Is it a ServerHello of this version? */
bool ask_is_hello(const struct probe *p, uint16_t version);
/* Removes a value from a list; false when it is not there. */
bool list_take(uint16_t *list, size_t *n, uint16_t value);
void list_sort(uint16_t *list, size_t n);

#endif
