#include "pki/token.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/secret.h"
#include "token_session.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { WHAT_SIZE = 128 };
static const int64_t second_ns = 1000000000;
static const int64_t told_each_ns = 10 * second_ns;

struct token_key {
    int references; /* atomic */
    char *uri, *name;
    char *pin; /* secret, TOKEN_PIN bytes; NULL: none */
    enum key_type type;
    int64_t told_ns; /* diag_due() */
    /* Of the thread alone. */
    struct token_key *next;
    struct token_session *session; /* NULL: lost */
    int64_t lost_ns;               /* when it was last looked for */
};

static struct token_key *keys; /* of the thread alone: those that it has opened */

enum job_kind { JOB_OPEN, JOB_SIGN, JOB_CLOSE };

/* Belongs to who asks and to the thread; the last one frees it. */
struct job {
    struct job *next;
    enum job_kind kind;
    struct token_key *key;
    uint8_t what[WHAT_SIZE], answer[TOKEN_SIGNATURE];
    size_t n, size;
    struct text errors;
    bool done, left;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t asked, answered;
    struct job *first, **last;
    int64_t busy_ns; /* since when it is at one job; 0: not */
    bool started;
    pthread_t thread;
} desk = {.lock = PTHREAD_MUTEX_INITIALIZER, .asked = PTHREAD_COND_INITIALIZER};

/* ---- the thread ---- */

static void free_key(struct token_key *k)
{
    secret_free(k->pin, TOKEN_PIN);
    free(k->uri);
    free(k->name);
    free(k);
}

static void open_session(struct token_key *k, struct text *errors)
{
    k->lost_ns = clock_steady_ns();
    k->session = token_session_open(k->uri, k->pin, errors);
    if (!k->session) return;
    enum key_type type = token_session_key(k->session);
    if (k->type == KEY_NONE) k->type = type;
    if (k->type == type) return;
    text_add(errors, "it names another key now");
    token_session_close(k->session);
    k->session = NULL;
}

/* Its module may have to begin anew, which it does once nobody uses it any more. */
static void close_all(void)
{
    for (struct token_key *k = keys; k; k = k->next) {
        token_session_close(k->session);
        k->session = NULL;
        k->lost_ns = 0;
    }
}

static void forget(struct token_key *k)
{
    struct token_key **at = &keys;
    while (*at && *at != k) at = &(*at)->next;
    if (*at) *at = k->next;
    token_session_close(k->session);
    k->session = NULL;
}

static void sign_once(struct job *j, const char **why)
{
    const struct span what = {j->what, j->n};
    if (j->key->session)
        j->size = token_session_sign(j->key->session, what, j->answer, sizeof j->answer, why);
}

/* A lost session is opened again, at most once a second. */
static void sign(struct job *j)
{
    struct token_key *k = j->key;
    const char *why = "its session was lost";
    bool had = k->session != NULL;
    sign_once(j, &why);
    if (j->size > 0) return;
    struct text errors = {0};
    if (had) close_all();
    if (had || clock_steady_ns() - k->lost_ns >= second_ns) {
        open_session(k, &errors);
        if (k->session) sign_once(j, &why);
    }
    if (j->size == 0 && diag_due(&k->told_ns, told_each_ns))
        diag_error("the key %s does not sign: %s", k->name,
                   errors.size > 0 ? text_string(&errors) : why);
    else if (j->size > 0)
        diag_info("the token of the key %s was logged into again", k->name);
    text_fini(&errors);
}

/* Of exit(), before the libraries' own parts of it: their memory goes while the thread hangs in
 * them. */
static void leave_at_once(int status, void *unused)
{
    (void)unused;
    pthread_mutex_lock(&desk.lock);
    bool busy = desk.busy_ns > 0;
    pthread_mutex_unlock(&desk.lock);
    if (!busy) return;
    (void)!fflush(NULL);
    _exit(status);
}

static void carry_out(struct job *j)
{
    static bool registered;
    if (j->kind == JOB_OPEN) {
        open_session(j->key, &j->errors);
        j->key->next = keys;
        keys = j->key;
        registered = registered || on_exit(leave_at_once, NULL) == 0;
    }
    if (j->kind == JOB_SIGN) sign(j);
    if (j->kind == JOB_CLOSE) forget(j->key);
}

static void free_job(struct job *j)
{
    text_fini(&j->errors);
    if (j->kind == JOB_CLOSE)
        free_key(j->key);
    else
        token_key_release(j->key);
    free(j);
}

static struct job *take_job(void)
{
    pthread_mutex_lock(&desk.lock);
    desk.busy_ns = 0;
    while (!desk.first) pthread_cond_wait(&desk.asked, &desk.lock);
    struct job *j = desk.first;
    desk.first = j->next;
    if (!desk.first) desk.last = &desk.first;
    desk.busy_ns = clock_steady_ns();
    bool left = j->left && j->kind != JOB_CLOSE; /* nobody waits for it any more */
    pthread_mutex_unlock(&desk.lock);
    if (!left) return j;
    free_job(j);
    return NULL;
}

static void *run(void *unused)
{
    prctl(PR_SET_NAME, "token");
    for (;;) {
        struct job *j = take_job();
        if (!j) continue;
        carry_out(j);
        pthread_mutex_lock(&desk.lock);
        bool left = j->left;
        j->done = true;
        pthread_cond_broadcast(&desk.answered);
        pthread_mutex_unlock(&desk.lock);
        if (left) free_job(j);
    }
    return unused;
}

/* ---- who asks ---- */

static bool start(void)
{
    pthread_condattr_t steady;
    sigset_t all, before;
    if (desk.started) return true;
    desk.last = &desk.first;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&desk.answered, &steady);
    pthread_condattr_destroy(&steady);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    desk.started = pthread_create(&desk.thread, NULL, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (desk.started) pthread_detach(desk.thread);
    return desk.started;
}

/* Under the lock. */
static bool hangs(void)
{
    return desk.busy_ns > 0 && clock_steady_ns() - desk.busy_ns >= TOKEN_PATIENCE_S * second_ns;
}

/* Under the lock. False: the thread hangs in a call to a token, or cannot start. */
static bool hand_over(struct job *j)
{
    if (!start() || (hangs() && j->kind != JOB_CLOSE)) return false;
    *desk.last = j;
    desk.last = &j->next;
    pthread_cond_signal(&desk.asked);
    return true;
}

static struct timespec later(void)
{
    int64_t at = clock_steady_ns() + TOKEN_PATIENCE_S * second_ns;
    return (struct timespec){.tv_sec = (time_t)(at / second_ns), .tv_nsec = (long)(at % second_ns)};
}

/* False: no answer in time; the job is the thread's then. */
static bool wait_for(struct job *j)
{
    const struct timespec until = later();
    int fault = 0;
    pthread_mutex_lock(&desk.lock);
    bool asked = hand_over(j);
    while (asked && !j->done && !fault && !hangs())
        fault = pthread_cond_timedwait(&desk.answered, &desk.lock, &until);
    bool done = j->done;
    j->left = asked && !done;
    pthread_mutex_unlock(&desk.lock);
    if (!asked) free_job(j);
    return done;
}

static struct job *new_job(enum job_kind kind, struct token_key *key)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j) return NULL;
    j->kind = kind;
    j->key = kind == JOB_CLOSE ? key : token_key_hold(key);
    return j;
}

bool token_is_uri(const char *text)
{
    return strncmp(text, "pkcs11:", 7) == 0;
}

char *token_uri_name(const char *uri)
{
    return text_copy(uri, strcspn(uri, "?"));
}

bool token_pin_file(const char *uri, char out[PATH_MAX], struct text *errors)
{
    static const char scheme[] = "file:";
    char *source = token_uri_pin_source(uri, errors);
    const char *path = source ? source : "";
    out[0] = '\0';
    if (strncmp(path, scheme, sizeof scheme - 1) == 0) path += sizeof scheme - 1;
    if (strncmp(path, "///", 3) == 0) path += 2;
    bool ok = errors->size == 0 && strlen(path) < PATH_MAX && (!source || path[0] == '/');
    if (ok) memcpy(out, path, strlen(path) + 1);
    if (!ok && errors->size == 0) text_add(errors, "pin-source must be file:/PATH");
    free(source);
    return ok;
}

struct token_key *token_key_open(const char *uri, const char *pin, struct text *errors)
{
    if (pin && strlen(pin) >= TOKEN_PIN) {
        text_add(errors, "the PIN is too long");
        return NULL;
    }
    struct token_key *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    *k = (struct token_key){.references = 1, .type = KEY_NONE};
    k->uri = text_copy(uri, strlen(uri));
    k->name = token_uri_name(uri);
    if (pin) k->pin = secret_new(TOKEN_PIN);
    if (k->pin) strncpy(k->pin, pin, TOKEN_PIN - 1);
    struct job *j = k->uri && k->name && (!pin || k->pin) ? new_job(JOB_OPEN, k) : NULL;
    bool done = j && wait_for(j);
    bool ok = done && k->type != KEY_NONE && k->session;
    if (done) {
        text_add(errors, text_string(&j->errors));
        free_job(j);
    } else {
        text_add(errors, "the token does not answer");
    }
    if (ok) return k;
    token_key_release(k);
    return NULL;
}

struct token_key *token_key_hold(struct token_key *k)
{
    if (k) __atomic_add_fetch(&k->references, 1, __ATOMIC_RELAXED);
    return k;
}

/* The thread ends its session; it is waited for, so that no library is at work when the process
 * ends. */
void token_key_release(struct token_key *k)
{
    if (!k || __atomic_sub_fetch(&k->references, 1, __ATOMIC_ACQ_REL) > 0) return;
    if (desk.started && pthread_equal(pthread_self(), desk.thread)) {
        forget(k);
        free_key(k);
        return;
    }
    struct job *j = new_job(JOB_CLOSE, k);
    if (j && wait_for(j)) free_job(j);
}

enum key_type token_key_type(const struct token_key *k)
{
    return k->type;
}

size_t token_key_sign(struct token_key *k, struct span what, uint8_t out[TOKEN_SIGNATURE])
{
    struct job *j = what.n <= WHAT_SIZE ? new_job(JOB_SIGN, k) : NULL;
    size_t size = 0;
    if (!j) return 0;
    memcpy(j->what, what.p, what.n);
    j->n = what.n;
    if (wait_for(j)) {
        size = j->size;
        memcpy(out, j->answer, size);
        free_job(j);
    } else if (diag_due(&k->told_ns, told_each_ns)) {
        diag_error("the key %s does not sign: its token does not answer", k->name);
    }
    return size;
}
