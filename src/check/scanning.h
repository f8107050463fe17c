/* One scan under way, and what its files share. Private to check/. */
#ifndef CHECK_SCANNING_H
#define CHECK_SCANNING_H

#include "check/jobs.h"
#include "check/scan.h"

#include <pthread.h>
#include <string.h>

/* Suites a hello. */
enum { CHUNK_LARGEST = 64, CHUNK_SMALLEST = 8 };

enum { SCANNING_TLS13 = 7 };
extern const uint16_t scanning_tls13[SCANNING_TLS13];

struct scanning {
    struct probe_target *target;
    const struct scan_trust *trust;
    struct scan *scan;
    pthread_mutex_t lock; /* of what several jobs write */
    bool bare;            /* this server cannot stand extensions */
    size_t chunk;         /* suites a hello, as many as this server can stand */
    uint16_t ciphers[SUITE_COUNT + OTHER_CIPHERS]; /* all that are asked for up to TLS 1.2 */
    size_t cipher_count;
};

struct offer scanning_offer(const struct scanning *g, uint16_t version, const uint16_t *list,
                            size_t n);
/* Asks, and once more when it was reset: it may have been too many at once. Whatever is left
 * open by time or descriptors makes the scan incomplete. */
void scanning_ask(struct scanning *g, const struct offer *offer, enum probe_depth depth,
                  struct probe *p);
void scanning_incomplete(struct scanning *g);
/* A ServerHello of this version. */
bool scanning_is_hello(const struct probe *p, uint16_t version);
/* Takes a value out of a list; false when it is not in there. */
bool scanning_take(uint16_t *list, size_t *n, uint16_t value);
void scanning_sort(uint16_t *list, size_t n);

/* versions.c: which versions, and which suites in each. */
void scanning_find_versions(struct scanning *g, unsigned threads);
/* detail.c: what it does with TLS 1.2, or with the newest version below. */
void scanning_look_closer(struct scanning *g, unsigned threads);

#endif
