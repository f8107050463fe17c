#include "runtime/sources.h"

#include "pki/keys.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKET_BITS = 14, BUCKETS = 1 << BUCKET_BITS, KEY_WORDS = 3, EXPIRED_A_CALL = 4 };
static const int64_t second_ns = 1000000000;

struct key {
    uint32_t words[KEY_WORDS]; /* 4 or 6, then the address or the prefix */
};

struct source {
    struct source *chain; /* of its bucket */
    struct key key;
    unsigned connections;
    /* When its last connection and its last new certificate would have been due at the allowed
     * rate (the "theoretical arrival time" of the generic cell rate algorithm, ITU-T I.371). */
    int64_t handshake_due_ns, mint_due_ns;
    struct source *newer, *older; /* if idle: ordered by the last departure */
    struct queue *queues[];
};

struct sources {
    pthread_mutex_t lock;
    unsigned workers;
    /* Multiply-shift hashing is universal: without these numbers, nobody can choose addresses that
     * collide more often than random ones. */
    uint64_t factors[KEY_WORDS], offset;
    struct source *newest, *oldest; /* without a connection */
    size_t idle;
    struct source *buckets[BUCKETS];
};

struct sources *sources_new(unsigned workers)
{
    struct sources *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    bool seeded =
        random_bytes(s->factors, sizeof s->factors) && random_bytes(&s->offset, sizeof s->offset);
    if (!seeded || pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s);
        return NULL;
    }
    s->workers = workers;
    return s;
}

void sources_free(struct sources *s)
{
    if (!s) return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct source *next, *source = s->buckets[i]; source; source = next) {
            next = source->chain;
            free(source);
        }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static struct key key_of(const struct addr *peer)
{
    uint8_t b[16] = {0};
    struct key k = {{0}};
    k.words[0] = addr_bytes(peer, b) == 4 ? 4 : 6;
    memcpy(&k.words[1], b, k.words[0] == 4 ? 4 : 8);
    return k;
}

static struct source **bucket_of(struct sources *s, const struct key *k)
{
    uint64_t h = s->offset;
    for (size_t i = 0; i < KEY_WORDS; i++) h += s->factors[i] * k->words[i];
    return &s->buckets[h >> (64 - BUCKET_BITS)];
}

static void leave_idle(struct sources *s, struct source *source)
{
    *(source->newer ? &source->newer->older : &s->newest) = source->older;
    *(source->older ? &source->older->newer : &s->oldest) = source->newer;
    s->idle--;
}

static void enter_idle(struct sources *s, struct source *source)
{
    source->newer = NULL;
    source->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = source;
    s->newest = source;
    s->idle++;
}

static void forget(struct sources *s, struct source *source)
{
    struct source **place = bucket_of(s, &source->key);
    while (*place != source) place = &(*place)->chain;
    *place = source->chain;
    leave_idle(s, source);
    free(source);
}

/* Forgets the oldest ones whose rates have recovered; always one if there are too many. */
static void forget_some(struct sources *s, int64_t now_ns)
{
    for (int i = 0; i < EXPIRED_A_CALL && s->oldest; i++) {
        struct source *oldest = s->oldest;
        bool past = oldest->handshake_due_ns <= now_ns && oldest->mint_due_ns <= now_ns;
        if (!past && s->idle <= SOURCES_IDLE_LIMIT) return;
        assert(!oldest->older);
        forget(s, oldest);
    }
}

static struct source *find_or_add(struct sources *s, const struct addr *peer)
{
    struct key key = key_of(peer);
    struct source **bucket = bucket_of(s, &key);
    for (struct source *source = *bucket; source; source = source->chain)
        if (memcmp(&source->key, &key, sizeof key) == 0) return source;
    size_t queues = (size_t)s->workers * SOURCE_CROWDS;
    struct source *source = calloc(1, sizeof *source + queues * sizeof(struct queue *));
    if (!source) return NULL;
    source->key = key;
    source->chain = *bucket;
    *bucket = source;
    enter_idle(s, source);
    return source;
}

/* Would one more be ahead of its rate by more than the burst? */
static bool is_early(int64_t due_ns, int64_t now_ns, int64_t interval_ns)
{
    return due_ns + interval_ns - now_ns > SOURCES_BURST_S * second_ns;
}

static int64_t next_due(int64_t due_ns, int64_t now_ns, int64_t interval_ns)
{
    return (due_ns > now_ns ? due_ns : now_ns) + interval_ns;
}

struct source *sources_enter(struct sources *s, const struct addr *peer,
                             const struct source_limits *limits, int64_t now_ns,
                             enum source_verdict *verdict)
{
    pthread_mutex_lock(&s->lock);
    struct source *source = find_or_add(s, peer);
    if (source) {
        if (source->connections++ == 0) leave_idle(s, source);
        int64_t interval = limits->handshakes ? second_ns / limits->handshakes : 0;
        *verdict = SOURCE_OK;
        if (limits->connections && source->connections > limits->connections)
            *verdict = SOURCE_TOO_MANY;
        else if (interval && is_early(source->handshake_due_ns, now_ns, interval))
            *verdict = SOURCE_TOO_FAST;
        else if (interval)
            source->handshake_due_ns = next_due(source->handshake_due_ns, now_ns, interval);
        forget_some(s, now_ns);
    }
    pthread_mutex_unlock(&s->lock);
    return source;
}

void sources_leave(struct sources *s, struct source *source)
{
    if (!source) return;
    pthread_mutex_lock(&s->lock);
    if (--source->connections == 0) enter_idle(s, source);
    pthread_mutex_unlock(&s->lock);
}

unsigned sources_connections(struct sources *s, const struct source *source)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = source->connections;
    pthread_mutex_unlock(&s->lock);
    return n;
}

bool sources_may_mint(struct sources *s, const struct addr *peer,
                      const struct source_limits *limits, int64_t now_ns)
{
    if (!limits->handshakes) return true;
    int64_t interval = second_ns * SOURCES_MINT_SHARE / limits->handshakes;
    pthread_mutex_lock(&s->lock);
    struct source *source = find_or_add(s, peer);
    bool may = source && !is_early(source->mint_due_ns, now_ns, interval);
    if (may) source->mint_due_ns = next_due(source->mint_due_ns, now_ns, interval);
    forget_some(s, now_ns);
    pthread_mutex_unlock(&s->lock);
    return may;
}

struct queue **source_queue(struct source *source, unsigned worker, enum source_crowd crowd)
{
    return &source->queues[worker * SOURCE_CROWDS + crowd];
}
