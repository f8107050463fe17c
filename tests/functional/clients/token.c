/* A PKCS #11 module that is softhsm2's, but for what files in the folder TOKEN_FOLDER ask for:
 * "hang": signatures wait while it is there; "lose": the token is gone while it is there, with all
 * sessions. Each login is a line of the file "logins", which stays open without close-on-exec, as
 * careless modules keep theirs. */
#define CRYPTOKI_GNU
#include <p11-kit/pkcs11.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct ck_function_list *real, ours;
static FILE *logins;

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
    if (!asked("lose")) return real->C_SignInit(s, m, o);
    real->C_CloseSession(s);
    return CKR_DEVICE_REMOVED;
}

static ck_rv_t sign(ck_session_handle_t s, unsigned char *p, unsigned long n, unsigned char *out,
                    unsigned long *size)
{
    while (asked("hang")) usleep(10000);
    return real->C_Sign(s, p, n, out, size);
}

static ck_rv_t list_slots(unsigned char present, ck_slot_id_t *slots, unsigned long *n)
{
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
    if (!logins) logins = fopen(path_of("logins"), "a");
    *list = &ours;
    return CKR_OK;
}
