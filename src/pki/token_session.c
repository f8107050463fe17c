#include "token_session.h"

#include "base/secret.h"

#include <dlfcn.h>
#define P11_KIT_FUTURE_UNSTABLE_API 1
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdlib.h>
#include <string.h>

/* Few installations have a token, and it needs nothing else of the library's: so it is not
 * linked. */
#define LIBRARY "libp11-kit.so.0"
static struct {
    __typeof__(p11_kit_uri_new) *uri_new;
    __typeof__(p11_kit_uri_free) *uri_free;
    __typeof__(p11_kit_uri_parse) *uri_parse;
    __typeof__(p11_kit_uri_message) *uri_message;
    __typeof__(p11_kit_uri_any_unrecognized) *uri_any_unrecognized;
    __typeof__(p11_kit_uri_get_pin_value) *uri_pin_value;
    __typeof__(p11_kit_uri_get_pin_source) *uri_pin_source;
    __typeof__(p11_kit_uri_get_module_path) *uri_module_path;
    __typeof__(p11_kit_uri_get_attribute) *uri_attribute;
    __typeof__(p11_kit_uri_set_attribute) *uri_set_attribute;
    __typeof__(p11_kit_uri_get_attributes) *uri_attributes;
    __typeof__(p11_kit_uri_match_module_info) *uri_match_module;
    __typeof__(p11_kit_uri_match_token_info) *uri_match_token;
    __typeof__(p11_kit_uri_match_slot_info) *uri_match_slot;
    __typeof__(p11_kit_uri_get_slot_id) *uri_slot;
    __typeof__(p11_kit_uri_get_module_name) *uri_module_name;
    __typeof__(p11_kit_module_load) *module_load;
    __typeof__(p11_kit_module_initialize) *module_initialize;
    __typeof__(p11_kit_module_finalize) *module_finalize;
    __typeof__(p11_kit_module_release) *module_release;
    __typeof__(p11_kit_modules_load_and_initialize) *modules_load;
    __typeof__(p11_kit_modules_finalize_and_release) *modules_release;
    __typeof__(p11_kit_strerror) *strerror;
    bool loaded;
} p11;

static const struct {
    const char *name;
    void *place;
} functions[] = {
    {"p11_kit_uri_new", &p11.uri_new},
    {"p11_kit_uri_free", &p11.uri_free},
    {"p11_kit_uri_parse", &p11.uri_parse},
    {"p11_kit_uri_message", &p11.uri_message},
    {"p11_kit_uri_any_unrecognized", &p11.uri_any_unrecognized},
    {"p11_kit_uri_get_pin_value", &p11.uri_pin_value},
    {"p11_kit_uri_get_pin_source", &p11.uri_pin_source},
    {"p11_kit_uri_get_module_path", &p11.uri_module_path},
    {"p11_kit_uri_get_attribute", &p11.uri_attribute},
    {"p11_kit_uri_set_attribute", &p11.uri_set_attribute},
    {"p11_kit_uri_get_attributes", &p11.uri_attributes},
    {"p11_kit_uri_match_module_info", &p11.uri_match_module},
    {"p11_kit_uri_match_token_info", &p11.uri_match_token},
    {"p11_kit_uri_match_slot_info", &p11.uri_match_slot},
    {"p11_kit_uri_get_slot_id", &p11.uri_slot},
    {"p11_kit_uri_get_module_name", &p11.uri_module_name},
    {"p11_kit_module_load", &p11.module_load},
    {"p11_kit_module_initialize", &p11.module_initialize},
    {"p11_kit_module_finalize", &p11.module_finalize},
    {"p11_kit_module_release", &p11.module_release},
    {"p11_kit_modules_load_and_initialize", &p11.modules_load},
    {"p11_kit_modules_finalize_and_release", &p11.modules_release},
    {"p11_kit_strerror", &p11.strerror},
};

enum { SLOTS = 64, SIGN_SIZE = 4096, REFUSED = 16 };

struct token_session {
    P11KitUri *uri;
    CK_FUNCTION_LIST *one;      /* the module of the URI, or */
    CK_FUNCTION_LIST **modules; /* all that are configured; ends with NULL */
    CK_FUNCTION_LIST *module;   /* of the session */
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE object;
    enum key_type key;
};

static bool load_library(struct text *errors)
{
    if (p11.loaded) return true;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    p11.loaded = library != NULL;
    for (size_t i = 0; p11.loaded && i < COUNT_OF(functions); i++) {
        void *found = dlsym(library, functions[i].name);
        memcpy(functions[i].place, &found, sizeof found);
        if (!found) p11.loaded = false;
    }
    if (!p11.loaded) text_add(errors, "it needs " LIBRARY ": install libp11-kit0");
    return p11.loaded;
}

/* ---- the URI ---- */

static const char *uri_fault(P11KitUri *uri, const char *text)
{
    CK_OBJECT_CLASS wanted = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE class = {CKA_CLASS, &wanted, sizeof wanted};
    int result = p11.uri_parse(text, P11_KIT_URI_FOR_ANY, uri);
    if (result != P11_KIT_URI_OK) return p11.uri_message(result);
    if (p11.uri_any_unrecognized(uri)) return "it has an attribute that is not known";
    if (p11.uri_pin_value(uri))
        return "pin-value is not allowed, as others can read it here: use pin-source";
    if (p11.uri_module_name(uri)) return "module-name is not supported: give module-path";
    const CK_ATTRIBUTE *given = p11.uri_attribute(uri, CKA_CLASS);
    if (given &&
        (given->ulValueLen != sizeof wanted || memcmp(given->pValue, &wanted, sizeof wanted) != 0))
        return "its type must be private";
    return p11.uri_set_attribute(uri, &class) == P11_KIT_URI_OK ? NULL : "out of memory";
}

static P11KitUri *parse(const char *text, struct text *errors)
{
    if (!load_library(errors)) return NULL;
    P11KitUri *uri = p11.uri_new();
    const char *fault = uri ? uri_fault(uri, text) : "out of memory";
    if (!fault) return uri;
    p11.uri_free(uri);
    text_add(errors, fault);
    return NULL;
}

char *token_uri_pin_source(const char *text, struct text *errors)
{
    P11KitUri *uri = parse(text, errors);
    const char *source = uri ? p11.uri_pin_source(uri) : NULL;
    char *copy = source ? text_copy(source, strlen(source)) : NULL;
    if (source && !copy) text_add(errors, "out of memory");
    if (uri) p11.uri_free(uri);
    return copy;
}

/* ---- searching ---- */

struct search {
    struct token_session *found; /* its session stays open once it has the key */
    const char *pin;
    unsigned tokens, keys;
    bool pin_wrong;
    struct text *errors;
};

/* Which PINs have tokens refused, in memory for secrets. */
struct refused {
    unsigned count;
    struct {
        CK_TOKEN_INFO token;
        char pin[TOKEN_PIN];
    } each[REFUSED];
};
static struct refused *refused;

static bool is_same_token(const CK_TOKEN_INFO *a, const CK_TOKEN_INFO *b)
{
    return memcmp(a->label, b->label, sizeof a->label) == 0 &&
           memcmp(a->manufacturerID, b->manufacturerID, sizeof a->manufacturerID) == 0 &&
           memcmp(a->model, b->model, sizeof a->model) == 0 &&
           memcmp(a->serialNumber, b->serialNumber, sizeof a->serialNumber) == 0;
}

/* Also if there is no room to note that it is refused. */
static bool must_not_try(const CK_TOKEN_INFO *token, const char *pin)
{
    if (!refused) refused = secret_new(sizeof *refused);
    if (!refused || refused->count == REFUSED) return true;
    for (unsigned i = 0; i < refused->count; i++)
        if (is_same_token(&refused->each[i].token, token) && strcmp(refused->each[i].pin, pin) == 0)
            return true;
    return false;
}

static void note_refused(const CK_TOKEN_INFO *token, const char *pin)
{
    refused->each[refused->count].token = *token;
    strncpy(refused->each[refused->count].pin, pin, TOKEN_PIN - 1);
    refused->count++;
}

static bool failed(struct search *s, const char *what, CK_RV rv)
{
    if (s->errors->size > 0) text_add(s->errors, "; ");
    text_printf(s->errors, "%s: %s", what, p11.strerror(rv));
    return false;
}

static bool log_in(struct search *s, CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session,
                   const CK_TOKEN_INFO *token)
{
    size_t n = s->pin ? strlen(s->pin) : 0;
    if (!s->pin) {
        text_add(s->errors, "the token wants a PIN: give pin-source=file:/PATH in the URI");
        return false;
    }
    if (must_not_try(token, s->pin)) {
        s->pin_wrong = true;
        text_add(s->errors,
                 "the token has refused this PIN, which is not tried again before a restart");
        return false;
    }
    CK_RV rv = m->C_Login(session, CKU_USER, (CK_UTF8CHAR_PTR)s->pin, n);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) return true;
    s->pin_wrong = rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED || rv == CKR_PIN_LEN_RANGE ||
                   rv == CKR_PIN_INVALID || rv == CKR_PIN_EXPIRED;
    if (s->pin_wrong) note_refused(token, s->pin);
    return failed(s, "the token refuses the PIN", rv);
}

static bool note_key(struct search *s, CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session,
                     CK_OBJECT_HANDLE object)
{
    CK_KEY_TYPE type = 0;
    CK_ATTRIBUTE wanted = {CKA_KEY_TYPE, &type, sizeof type};
    CK_RV rv = m->C_GetAttributeValue(session, object, &wanted, 1);
    if (rv != CKR_OK) return failed(s, "the key's type", rv);
    if (s->keys++ > 0) return false;
    struct token_session *found = s->found;
    found->key = type == CKK_EC ? KEY_ECDSA : type == CKK_RSA ? KEY_RSA : KEY_NONE;
    found->module = m;
    found->session = session;
    found->object = object;
    return true;
}

/* True: the session has the key. */
static bool find_keys(struct search *s, CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session)
{
    CK_ATTRIBUTE *attributes;
    CK_OBJECT_HANDLE objects[2];
    CK_ULONG count = 0, found = 0;
    attributes = p11.uri_attributes(s->found->uri, &count);
    CK_RV rv = m->C_FindObjectsInit(session, attributes, count);
    if (rv == CKR_OK) {
        rv = m->C_FindObjects(session, objects, COUNT_OF(objects), &found);
        m->C_FindObjectsFinal(session);
    }
    if (rv != CKR_OK) return failed(s, "the token finds no keys", rv);
    bool kept = false;
    for (CK_ULONG i = 0; i < found; i++) kept = note_key(s, m, session, objects[i]) || kept;
    return kept;
}

static bool is_meant(const P11KitUri *uri, CK_FUNCTION_LIST *m, CK_SLOT_ID slot)
{
    CK_SLOT_INFO info;
    CK_SLOT_ID wanted = p11.uri_slot((P11KitUri *)uri);
    if (wanted != (CK_SLOT_ID)-1 && wanted != slot) return false;
    return m->C_GetSlotInfo(slot, &info) == CKR_OK && p11.uri_match_slot(uri, &info);
}

static void search_token(struct search *s, CK_FUNCTION_LIST *m, CK_SLOT_ID slot)
{
    CK_TOKEN_INFO info;
    CK_SESSION_HANDLE session;
    if (!is_meant(s->found->uri, m, slot) || m->C_GetTokenInfo(slot, &info) != CKR_OK ||
        !p11.uri_match_token(s->found->uri, &info))
        return;
    if (!(info.flags & CKF_TOKEN_INITIALIZED)) return;
    s->tokens++;
    CK_RV rv = m->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session);
    if (rv != CKR_OK) {
        failed(s, "the token opens no session", rv);
        return;
    }
    bool in = !(info.flags & CKF_LOGIN_REQUIRED) || log_in(s, m, session, &info);
    if (!in || !find_keys(s, m, session)) m->C_CloseSession(session);
}

static void search_module(struct search *s, CK_FUNCTION_LIST *m)
{
    CK_INFO info;
    CK_SLOT_ID slots[SLOTS];
    CK_ULONG n = COUNT_OF(slots);
    if (m->C_GetInfo(&info) != CKR_OK || !p11.uri_match_module(s->found->uri, &info)) return;
    CK_RV rv = m->C_GetSlotList(CK_TRUE, slots, &n);
    if (rv != CKR_OK) {
        failed(s, "the module lists no tokens", rv);
        return;
    }
    for (CK_ULONG i = 0; i < n && !s->pin_wrong; i++) search_token(s, m, slots[i]);
}

static bool begin_modules(struct search *s)
{
    struct token_session *t = s->found;
    const char *path = p11.uri_module_path(t->uri);
    if (!path) {
        t->modules = p11.modules_load(0);
        if (!t->modules) text_add(s->errors, "no PKCS #11 module is configured: give module-path");
        return t->modules != NULL;
    }
    CK_FUNCTION_LIST *m = p11.module_load(path, 0);
    if (!m) {
        text_printf(s->errors, "the module %s cannot be loaded", path);
        return false;
    }
    CK_RV rv = p11.module_initialize(m);
    if (rv == CKR_OK) {
        t->one = m;
        return true;
    }
    p11.module_release(m);
    return failed(s, "the module cannot begin", rv);
}

static const char *search_fault(const struct search *s)
{
    if (s->keys > 1) return "it names more than one private key";
    if (s->keys == 1 && s->found->key == KEY_NONE) return "it names a key that is no EC or RSA key";
    if (s->keys == 1) return NULL;
    return s->tokens > 0 ? "it names no private key of the token"
                         : "it names no token that is here";
}

struct token_session *token_session_open(const char *uri, const char *pin, struct text *errors)
{
    struct token_session *t = calloc(1, sizeof *t);
    struct search s = {.found = t, .pin = pin, .errors = errors};
    if (!t) return NULL;
    t->uri = parse(uri, errors);
    bool begun = t->uri && begin_modules(&s);
    if (begun && t->one) search_module(&s, t->one);
    for (size_t i = 0; begun && t->modules && t->modules[i] && !s.pin_wrong; i++)
        search_module(&s, t->modules[i]);
    const char *fault = begun && !s.pin_wrong ? search_fault(&s) : NULL;
    if (begun && !s.pin_wrong && !fault) {
        text_fini(errors); /* of other tokens */
        return t;
    }
    if (fault && errors->size == 0) text_add(errors, fault);
    token_session_close(t);
    return NULL;
}

void token_session_close(struct token_session *t)
{
    if (!t) return;
    if (t->module) t->module->C_CloseSession(t->session);
    if (t->one) {
        p11.module_finalize(t->one);
        p11.module_release(t->one);
    }
    if (t->modules) p11.modules_release(t->modules);
    if (t->uri) p11.uri_free(t->uri);
    free(t);
}

enum key_type token_session_key(const struct token_session *t)
{
    return t->key;
}

size_t token_session_sign(struct token_session *t, struct span what, uint8_t *out, size_t room,
                          const char **why)
{
    uint8_t copy[SIGN_SIZE];
    CK_MECHANISM mechanism = {t->key == KEY_ECDSA ? CKM_ECDSA : CKM_RSA_PKCS, NULL, 0};
    CK_ULONG size = room;
    if (what.n > sizeof copy) return 0;
    memcpy(copy, what.p, what.n);
    CK_RV rv = t->module->C_SignInit(t->session, &mechanism, t->object);
    if (rv == CKR_OK) rv = t->module->C_Sign(t->session, copy, what.n, out, &size);
    if (rv == CKR_OK && size > 0 && size <= room) return size;
    *why = p11.strerror(rv == CKR_OK ? CKR_GENERAL_ERROR : rv);
    return 0;
}
