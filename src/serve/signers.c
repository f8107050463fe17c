#include "serve/signers.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/confine_files.h"
#include "pki/ca.h"
#include "pki/signing.h"
#include "policy/hello.h"
#include "runtime/sign_order.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Configurations at once: the one in use, the next one, and those of handshakes under way. */
enum { CONFIGURATIONS = 8 };
/* Leaves of one worker: each second, and at once. */
enum { LEAVES_A_SECOND = 500, LEAVES_AT_ONCE = 2000 };
static const int64_t second_ns = 1000000000;
/* Orders that are waiting are taken together, and their answers sent together unless they take
 * long: each wake-up costs as much as a signature. */
enum { BATCH = 16 };
static const int64_t patience_ns = 500000;

struct signers {
    pthread_mutex_t lock;
    struct loaded_config *loaded[CONFIGURATIONS]; /* under lock */
    unsigned changes;                             /* atomic: how often that has changed */
    struct signer_thread *threads;
};

/* A configuration's keys, ready for use by one thread. */
struct ready {
    struct loaded_config *loaded; /* held; NULL: none */
    struct ca *cas[KEY_TYPES];
    struct signing_key *(*own)[KEY_TYPES]; /* a row per listener */
    struct signing_key **identities;
};

/* A struct sign_answer with less room. */
struct signature {
    uint8_t bytes[SIGN_ANSWER_HEAD + SIGNING_SIZE];
    size_t size;
};

struct signer_thread {
    struct signer_thread *next;
    struct signers *signers;
    pthread_t thread;
    int fd;
    struct ready ready[CONFIGURATIONS];
    unsigned changes;  /* that ready has followed */
    int64_t leaves_ns; /* steady: when the allowance for leaves was full, or would have been */
    struct sign_order orders[BATCH];
    struct signature signatures[BATCH]; /* not sent yet */
    unsigned unsent;
    struct sign_answer answer;
};

/* ---- keys of a thread ---- */

static void ready_fini(struct ready *r)
{
    if (!r->loaded) return;
    const struct config *c = r->loaded->config;
    for (size_t i = 0; r->own && i < c->listener_count; i++)
        for (int k = 0; k < KEY_TYPES; k++) signing_key_free(r->own[i][k]);
    for (size_t i = 0; r->identities && i < c->identity_count; i++)
        signing_key_free(r->identities[i]);
    ca_signers_close(r->cas);
    free(r->own);
    free(r->identities);
    loaded_config_release(r->loaded);
    *r = (struct ready){.loaded = NULL};
}

static void ready_init(struct ready *r, struct loaded_config *loaded)
{
    struct text unused = {0};
    const struct ca_place place = ca_place_of(loaded->config);
    r->loaded = loaded;
    r->own = calloc(loaded->config->listener_count, sizeof *r->own);
    r->identities = calloc(loaded->config->identity_count + 1, sizeof(struct signing_key *));
    if (config_needs_ca(loaded->config) && !ca_signers_open(&loaded->ca, &place, r->cas, &unused))
        memset(r->cas, 0, sizeof r->cas);
    text_fini(&unused);
}

/* Held for the caller; NULL: no longer, or never. */
static struct loaded_config *find_loaded(struct signers *s, uint32_t serial)
{
    struct loaded_config *found = NULL;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < CONFIGURATIONS && !found; i++)
        if (s->loaded[i] && s->loaded[i]->serial == serial)
            found = loaded_config_hold(s->loaded[i]);
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* Those of configurations that are gone are wiped. */
static void drop_stale(struct signer_thread *t)
{
    unsigned changes = __atomic_load_n(&t->signers->changes, __ATOMIC_ACQUIRE);
    if (changes == t->changes) return;
    t->changes = changes;
    for (int i = 0; i < CONFIGURATIONS; i++) {
        if (!t->ready[i].loaded) continue;
        struct loaded_config *still = find_loaded(t->signers, t->ready[i].loaded->serial);
        if (still)
            loaded_config_release(still);
        else
            ready_fini(&t->ready[i]);
    }
}

static struct ready *find_ready(struct signer_thread *t, uint32_t serial)
{
    drop_stale(t);
    for (int i = 0; i < CONFIGURATIONS; i++)
        if (t->ready[i].loaded && t->ready[i].loaded->serial == serial) return &t->ready[i];
    struct loaded_config *loaded = find_loaded(t->signers, serial);
    for (int i = 0; loaded && i < CONFIGURATIONS; i++) {
        if (t->ready[i].loaded) continue;
        ready_init(&t->ready[i], loaded);
        return &t->ready[i];
    }
    loaded_config_release(loaded);
    return NULL;
}

/* ---- orders ---- */

static size_t sign_with(struct signing_key **place, const struct own_certificate *own,
                        const struct signing_request *request, char *out)
{
    if (!own->present) return 0;
    if (!*place) *place = signing_key_new(&own->key);
    return *place ? signing_key_sign(*place, request, (uint8_t *)out) : 0;
}

static bool is_key_type(uint32_t key)
{
    return key == KEY_ECDSA || key == KEY_RSA;
}

static void sign_digest(struct ready *r, const struct sign_order *o, struct sign_answer *a)
{
    const struct loaded_config *loaded = r->loaded;
    struct signing_request request = {.pss = o->pss != 0, .size = o->size};
    if (!is_key_type(o->key) || o->size > sizeof request.digest || !r->own || !r->identities)
        return;
    request.key = (enum key_type)o->key;
    memcpy(request.digest, o->digest, o->size);
    if (o->what == SIGN_FOR_LISTENER && o->index < loaded->config->listener_count)
        a->size = (uint32_t)sign_with(&r->own[o->index][o->key], &loaded->own[o->index][o->key],
                                      &request, a->bytes);
    if (o->what == SIGN_FOR_IDENTITY && o->index < loaded->config->identity_count)
        a->size = (uint32_t)sign_with(&r->identities[o->index], &loaded->identities[o->index],
                                      &request, a->bytes);
}

/* A text that ends within its room. */
static bool ends(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

static bool is_name(const char *name)
{
    return hello_name_is_valid(name, strlen(name));
}

static bool names_are_good(const struct ca *ca, const struct sign_order *o)
{
    struct addr ip;
    if (!ends(o->identity, sizeof o->identity) || !ends(o->also, sizeof o->also)) return false;
    bool good = o->is_ip ? addr_from_ip(o->identity, 0, &ip) : is_name(o->identity);
    bool also = !o->also[0] || (is_name(o->also) && ca_permits(ca, o->also, false));
    return good && also && ca_permits(ca, o->identity, o->is_ip != 0);
}

/* No more than a busy worker needs. */
static bool may_make_leaf(struct signer_thread *t)
{
    const int64_t each = second_ns / LEAVES_A_SECOND, most = each * LEAVES_AT_ONCE;
    int64_t now = clock_steady_ns();
    if (t->leaves_ns < now - most) t->leaves_ns = now - most;
    if (t->leaves_ns + each > now) return false;
    t->leaves_ns += each;
    return true;
}

static void make_leaf(struct signer_thread *t, struct ready *r, const struct sign_order *o,
                      struct sign_answer *a)
{
    struct text chain = {0};
    struct private_key key;
    struct ca *ca = is_key_type(o->key) ? r->cas[o->key] : NULL;
    const struct span spki = {o->spki, o->spki_size};
    if (!ca || spki.n > sizeof o->spki || !names_are_good(ca, o) || !may_make_leaf(t) ||
        !key_public_from_der((enum key_type)o->key, spki, &key))
        return;
    if (ca_mint(ca, o->identity, o->is_ip != 0, o->also[0] ? o->also : NULL, &key, time(NULL),
                &chain, &a->lifetime) &&
        chain.size <= sizeof a->bytes) {
        memcpy(a->bytes, text_string(&chain), chain.size);
        a->size = (uint32_t)chain.size;
    }
    text_fini(&chain);
    key_fini(&key);
}

static bool send_answers(struct signer_thread *t)
{
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    for (unsigned done = 0; done < t->unsent;) {
        unsigned n = t->unsent - done;
        for (unsigned i = 0; i < n; i++) {
            parts[i] = (struct iovec){t->signatures[done + i].bytes, t->signatures[done + i].size};
            messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
        }
        int sent = sendmmsg(t->fd, messages, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) return false;
        if (sent > 0) done += (unsigned)sent;
    }
    t->unsent = 0;
    return true;
}

/* A leaf goes alone. */
static bool send_answer(struct signer_thread *t)
{
    const struct sign_answer *a = &t->answer;
    size_t size = SIGN_ANSWER_HEAD + a->size;
    struct signature *place = &t->signatures[t->unsent];
    if (size <= sizeof place->bytes) {
        memcpy(place->bytes, a, size);
        place->size = size;
        return ++t->unsent < BATCH || send_answers(t);
    }
    if (!send_answers(t)) return false;
    ssize_t n;
    do n = send(t->fd, a, size, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)size;
}

/* False: what the proxy sends is no order, or it is gone. */
static bool serve_one(struct signer_thread *t, const struct sign_order *o, size_t n)
{
    struct sign_answer *a = &t->answer;
    if (n < SIGN_ORDER_SHORT || n != (o->what == SIGN_LEAF ? sizeof *o : SIGN_ORDER_SHORT))
        return false;
    memset(a, 0, SIGN_ANSWER_HEAD);
    a->id = o->id;
    struct ready *ready = find_ready(t, o->serial);
    if (ready && o->what == SIGN_LEAF)
        make_leaf(t, ready, o, a);
    else if (ready)
        sign_digest(ready, o, a);
    return send_answer(t);
}

static bool serve_some(struct signer_thread *t)
{
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){&t->orders[i], sizeof t->orders[i]};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
    }
    int n = recvmmsg(t->fd, messages, BATCH, MSG_WAITFORONE, NULL);
    if (n < 0) return errno == EINTR;
    int64_t begun = clock_steady_ns();
    for (int i = 0; i < n; i++) {
        if (!serve_one(t, &t->orders[i], messages[i].msg_len)) return false;
        int64_t now = clock_steady_ns();
        if (now - begun < patience_ns) continue;
        if (!send_answers(t)) return false;
        begun = now;
    }
    return send_answers(t);
}

/* Orders, answers and memory. Files to read as far as there are any (none with Landlock): the C
 * library asks some about processors and memory, and lives without. */
/* clang-format off */
static const char *const calls[] = {
    "read", "recvmsg", "recvmmsg", "recvfrom", "sendmsg", "sendmmsg", "sendto", "shutdown", "write",
    "close", "fstat", "newfstatat", "lseek", "brk", "mmap", "munmap", "mremap", "mprotect", "madvise",
    "mlock", "mlock2", "munlock", "futex", "set_robust_list", "rseq", "sched_yield",
    "sched_getaffinity", "gettid", "getpid", "getrandom", "clock_gettime", "clock_getres",
    "gettimeofday", "time", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    "restart_syscall", "exit", "exit_group", NULL};
/* clang-format on */

/* This thread reads what a proxy sends that may have been taken over. What the kernel cannot do,
 * the proxy warns of. */
static void confine(void)
{
    (void)!confine_files(NULL, 0);
    (void)!confine_calls(calls, CONFINE_READS);
}

static void *run(void *arg)
{
    struct signer_thread *t = arg;
    /* It interrupts no worker that has just asked: so more of its orders come together. */
    const struct sched_param none = {0};
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
    confine();
    while (serve_some(t)) continue;
    shutdown(t->fd, SHUT_RDWR);
    for (int i = 0; i < CONFIGURATIONS; i++) ready_fini(&t->ready[i]);
    random_thread_fini();
    return NULL;
}

/* ---- the keeper's calls ---- */

struct signers *signers_new(void)
{
    struct signers *s = calloc(1, sizeof *s);
    if (s) pthread_mutex_init(&s->lock, NULL);
    return s;
}

void signers_stop(struct signers *s)
{
    while (s->threads) {
        struct signer_thread *t = s->threads;
        s->threads = t->next;
        shutdown(t->fd, SHUT_RDWR);
        pthread_join(t->thread, NULL);
        close(t->fd);
        free(t);
    }
}

void signers_free(struct signers *s)
{
    if (!s) return;
    signers_stop(s);
    for (int i = 0; i < CONFIGURATIONS; i++) loaded_config_release(s->loaded[i]);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void signers_add(struct signers *s, struct loaded_config *loaded)
{
    unsigned place = 0;
    pthread_mutex_lock(&s->lock);
    /* A free place, else that of the one with the lowest serial, which is the oldest. */
    for (unsigned i = 1; i < CONFIGURATIONS && s->loaded[place]; i++)
        if (!s->loaded[i] || s->loaded[i]->serial < s->loaded[place]->serial) place = i;
    struct loaded_config *oldest = s->loaded[place];
    s->loaded[place] = loaded_config_hold(loaded);
    __atomic_add_fetch(&s->changes, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&s->lock);
    loaded_config_release(oldest);
}

/* Those that are this one, or are not. */
static void drop(struct signers *s, const struct loaded_config *loaded, bool others)
{
    for (int i = 0; i < CONFIGURATIONS; i++) {
        pthread_mutex_lock(&s->lock);
        struct loaded_config *dropped = (s->loaded[i] != loaded) == others ? s->loaded[i] : NULL;
        if (dropped) s->loaded[i] = NULL;
        __atomic_add_fetch(&s->changes, 1, __ATOMIC_RELEASE);
        pthread_mutex_unlock(&s->lock);
        loaded_config_release(dropped);
    }
}

void signers_forget(struct signers *s, const struct loaded_config *loaded)
{
    drop(s, loaded, false);
}

void signers_keep(struct signers *s, const struct loaded_config *loaded)
{
    drop(s, loaded, true);
}

int signers_start(struct signers *s)
{
    int ends[2], room = 2 * (int)sizeof(struct sign_answer);
    struct signer_thread *t = calloc(1, sizeof *t);
    if (!t) return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        free(t);
        return -1;
    }
    (void)!setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    t->signers = s;
    t->fd = ends[1];
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSYS); /* a forbidden call is told by name */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int fault = pthread_create(&t->thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (fault) {
        close(ends[0]);
        close(ends[1]);
        free(t);
        errno = fault;
        return -1;
    }
    t->next = s->threads;
    s->threads = t;
    return ends[0];
}
