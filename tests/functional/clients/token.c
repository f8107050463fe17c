/* A PKCS #11 module that is softhsm2's, but for what files in the folder TOKEN_FOLDER ask for:
 * "hang": signatures wait while it is there, with a lock that a fork would wait for; "hang-slots":
 * so does the list of slots; "lose": the token is gone while it is there, with all sessions; "break":
 * it works no more until the module begins anew. Each login is a line of the file "logins", which stays open without close-on-exec, as
 * careless modules keep theirs; and at exit it wants a socket. */
#define CRYPTOKI_GNU
#include <p11-kit/pkcs11.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ck_function_list *real, ours;
static FILE *logins;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int broken;

static char *path_of(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("TOKEN_FOLDER"), name);
    return path;
}

static int asked(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static ck_rv_t sign_init(ck_session_handle_t s, struct ck_mechanism *m, ck_object_handle_t o)
{
    if (asked("break")) broken = unlink(path_of("break")) == 0;
    if (broken) return CKR_DEVICE_ERROR;
    if (!asked("lose")) return real->C_SignInit(s, m, o);
    real->C_CloseSession(s);
    return CKR_DEVICE_REMOVED;
}

static ck_rv_t sign(ck_session_handle_t s, unsigned char *p, unsigned long n, unsigned char *out,
                    unsigned long *size)
{
    pthread_mutex_lock(&lock);
    while (asked("hang")) usleep(10000);
    ck_rv_t rv = real->C_Sign(s, p, n, out, size);
    pthread_mutex_unlock(&lock);
    return rv;
}

static ck_rv_t list_slots(unsigned char present, ck_slot_id_t *slots, unsigned long *n)
{
    while (asked("hang-slots")) usleep(10000);
    if (!asked("lose")) return real->C_GetSlotList(present, slots, n);
    *n = 0;
    return CKR_OK;
}

static ck_rv_t login(ck_session_handle_t s, ck_user_type_t user, unsigned char *pin,
                     unsigned long n)
{
    fputs("login\n", logins);
    fflush(logins);
    return real->C_Login(s, user, pin, n);
}

static ck_rv_t initialize(void *arguments)
{
    broken = 0;
    return real->C_Initialize(arguments);
}

static ck_rv_t open_session(ck_slot_id_t slot, ck_flags_t flags, void *a, ck_notify_t notify,
                            ck_session_handle_t *out)
{
    return broken ? CKR_DEVICE_ERROR : real->C_OpenSession(slot, flags, a, notify, out);
}

static void take(void)
{
    pthread_mutex_lock(&lock);
}

static void give(void)
{
    pthread_mutex_unlock(&lock);
}

static void at_exit(void)
{
    close(socket(AF_UNIX, SOCK_STREAM, 0));
}

ck_rv_t C_GetFunctionList(struct ck_function_list **list)
{
    ck_rv_t (*get)(struct ck_function_list **);
    void *module = dlopen(getenv("TOKEN_MODULE"), RTLD_NOW);
    if (!module) return CKR_GENERAL_ERROR;
    *(void **)&get = dlsym(module, "C_GetFunctionList");
    if (get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
    ours = *real;
    ours.C_SignInit = sign_init;
    ours.C_Sign = sign;
    ours.C_GetSlotList = list_slots;
    ours.C_Login = login;
    ours.C_Initialize = initialize;
    ours.C_OpenSession = open_session;
    if (!logins) {
        logins = fopen(path_of("logins"), "a");
        pthread_atfork(take, give, give);
        atexit(at_exit);
    }
    *list = &ours;
    return CKR_OK;
}
