#include "cli/exec.h"

#include "base/errand.h"
#include "base/file.h"
#include "pki/ca.h"
#include "pki/pkcs12.h"
#include "serve/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OWNER_ONLY = 0600, FOLDER_MODE = 0700, TREE_DEPTH = 16, REMOVALS = 50 };

/* Generous limits: a client on a busy machine may be slow, and all connections come from one
 * source. */
static const char configuration[] = "[proxy]\n"
                                    "workers = 1\n"
                                    "max_connections_per_source = 0\n"
                                    "max_handshakes_per_source = 0\n"
                                    "drain_timeout = 1s\n"
                                    "hello_timeout = 60s\n"
                                    "handshake_timeout = 60s\n"
                                    "[ca]\n"
                                    "certificate = ca.pem\n"
                                    "key = ca.key\n"
                                    "[upstream]\n"
                                    "trust = trust.pem\n"
                                    "[audit]\n"
                                    "file = audit.jsonl\n"
                                    "[listen exec]\n"
                                    "type = forward\n"
                                    "address = 127.0.0.1:0\n";

void exec_proxy_path(const struct exec_proxy *p, const char *name, char out[EXEC_PATH])
{
    snprintf(out, EXEC_PATH, "%.*s/%s", EXEC_PATH - 64, p->folder, name);
}

static bool write_file(const struct exec_proxy *p, const char *name, const char *content, size_t n,
                       struct text *errors)
{
    char path[EXEC_PATH];
    exec_proxy_path(p, name, path);
    FILE *f = fopen(path, "wxe");
    bool ok = f && fwrite(content, 1, n, f) == n;
    if (f) ok = fclose(f) == 0 && ok;
    if (!ok) text_printf(errors, "%s: %s\n", path, strerror(errno));
    return ok;
}

static bool write_text(const struct exec_proxy *p, const char *name, const struct text *t,
                       struct text *errors)
{
    if (!t->failed) return write_file(p, name, text_string(t), t->size, errors);
    text_add(errors, "out of memory\n");
    return false;
}

static bool make_folder(struct exec_proxy *p, struct text *errors)
{
    const char *base = getenv("TMPDIR");
    /* Not every client supports these: some read lists of directories, some use quotes. */
    if (base && strpbrk(base, "\"':\n")) base = NULL;
    char path[EXEC_PATH - 64], whole[EXEC_PATH - 64];
    snprintf(path, sizeof path, "%s/suitegate-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(path)) {
        text_printf(errors, "cannot make a folder in %s: %s\n", base && *base ? base : "/tmp",
                    strerror(errno));
        return false;
    }
    /* COMMAND may run in another directory. */
    char *absolute = realpath(path, NULL);
    snprintf(whole, sizeof whole, "%s", absolute ? absolute : path);
    free(absolute);
    memcpy(p->folder, whole, sizeof whole);
    return true;
}

/* Writes what COMMAND reads: every CA that it may trust, with the temporary one. */
static bool write_trust(const struct exec_proxy *p, const struct text *anchors,
                        const struct text *ca, struct text *errors)
{
    struct text bundle = {0}, store = {0}, php = {0};
    char path[EXEC_PATH];
    text_add_bytes(&bundle, text_string(anchors), anchors->size);
    text_add_bytes(&bundle, text_string(ca), ca->size);
    exec_proxy_path(p, "bundle.pem", path);
    text_printf(&php, "curl.cainfo=\"%s\"\nopenssl.cafile=\"%s\"\n", path, path);
    exec_proxy_path(p, "php", path);
    bool ok = write_text(p, "bundle.pem", &bundle, errors);
    if (ok && !pkcs12_trust_store(&bundle, &store)) {
        text_add(errors, "the trusted CAs cannot be made into a Java trust store\n");
        ok = false;
    }
    ok = ok && write_text(p, "trust.p12", &store, errors);
    if (ok && mkdir(path, FOLDER_MODE) < 0) {
        text_printf(errors, "%s: %s\n", path, strerror(errno));
        ok = false;
    }
    ok = ok && write_text(p, "php/suitegate.ini", &php, errors);
    text_fini(&bundle);
    text_fini(&store);
    text_fini(&php);
    return ok;
}

/* wget has no variable for its CAs, only one for its system-wide settings. */
static bool write_wget(const struct exec_proxy *p, struct text *errors)
{
    enum { LARGEST = 1 << 20 };
    char bundle[EXEC_PATH];
    struct text settings = {0};
    const char *before = getenv("SYSTEM_WGETRC");
    exec_proxy_path(p, "bundle.pem", bundle);
    /* Without system-wide settings, use ours alone. */
    if (file_read(before ? before : "/etc/wgetrc", LARGEST, &settings, NULL) != 0)
        text_fini(&settings);
    text_printf(&settings, "\nca_certificate = %s\n", bundle);
    bool ok = write_text(p, "wgetrc", &settings, errors);
    text_fini(&settings);
    return ok;
}

static bool write_folder(const struct exec_proxy *p, const struct cli_options *options,
                         struct text *errors)
{
    struct text certificate = {0}, key = {0}, anchors = {0};
    bool ok = cli_anchors(options, &anchors, errors);
    /* As long as the leaves' keys; a longer one would only delay the command. */
    if (ok && !ca_create(KEY_RSA, POLICY_RSA_BITS_FLOOR, -1, (struct span){0}, time(NULL),
                         &certificate, &key)) {
        text_add(errors, "cannot make a key or sign with it\n");
        ok = false;
    }
    ok = ok && write_text(p, "ca.pem", &certificate, errors) &&
         write_text(p, "ca.key", &key, errors) && write_text(p, "trust.pem", &anchors, errors) &&
         write_file(p, "suitegate.ini", configuration, sizeof configuration - 1, errors) &&
         write_trust(p, &anchors, &certificate, errors) && write_wget(p, errors);
    text_wipe(&key);
    text_fini(&certificate);
    text_fini(&anchors);
    return ok;
}

/* In the proxy's process. It creates the directory, so that it can remove it if the parent is
 * killed. It writes to the pipe: a line with the port and the directory, or the errors. */

struct ready_pipe {
    int fd;
    const struct exec_proxy *proxy;
    bool done;
};

static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, p, n);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        p += written;
        n -= (size_t)written;
    }
    return true;
}

/* From here on the server's own watchers take its signals. */
static void report_ready(void *arg, const struct addr *addresses, size_t n)
{
    struct ready_pipe *t = arg;
    char line[EXEC_PATH + 16];
    sigset_t none;
    int length = snprintf(line, sizeof line, "%u %s", n > 0 ? addr_port(&addresses[0]) : 0u,
                          t->proxy->folder);
    if (!write_all(t->fd, line, (size_t)length)) raise(SIGTERM);
    close(t->fd);
    t->done = true;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Sends its messages to a file: the terminal belongs to COMMAND. */
static bool leave_terminal(const struct exec_proxy *p, struct text *errors)
{
    char path[EXEC_PATH];
    exec_proxy_path(p, "operator.log", path);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, OWNER_ONLY);
    bool ok = null >= 0 && log >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
              dup2(null, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0;
    if (!ok) text_printf(errors, "%s: %s\n", path, strerror(errno));
    if (null > STDERR_FILENO) close(null);
    if (log > STDERR_FILENO) close(log);
    return ok;
}

static void on_end(void *arg)
{
    exec_proxy_end(arg);
}

static int serve(struct exec_proxy *p, const struct cli_options *options, int pipe_end,
                 pid_t parent)
{
    struct text errors = {0};
    char path[EXEC_PATH];
    struct ready_pipe ready_pipe = {.fd = pipe_end, .proxy = p};
    struct keeper_ready ready = {report_ready, &ready_pipe};
    int status = CLI_CANNOT;
    /* Close the caller's descriptors. Ctrl-C is for COMMAND; the parent's death is for us. All
     * signals wait until the server's watchers run. */
    if (pipe_end > STDERR_FILENO + 1) close_range(STDERR_FILENO + 1, (unsigned)pipe_end - 1, 0);
    close_range((unsigned)pipe_end + 1, ~0u, 0);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    umask(077);
    if (getppid() == parent && make_folder(p, &errors) && write_folder(p, options, &errors) &&
        leave_terminal(p, &errors)) {
        exec_proxy_path(p, "suitegate.ini", path);
        if (keeper_run(path, &ready, &errors)) status = CLI_DONE;
    }
    if (!ready_pipe.done) {
        (void)!write_all(pipe_end, text_string(&errors), errors.size);
        errand_run(on_end, p);
    } else if (getppid() != parent) {
        errand_run(on_end, p); /* the parent was killed */
    }
    text_fini(&errors);
    return status;
}

/* In the parent. */

static bool await_proxy(struct exec_proxy *p, int pipe_end, struct text *errors)
{
    char block[512];
    struct text received = {0};
    for (ssize_t n; (n = read(pipe_end, block, sizeof block)) != 0;) {
        if (n < 0 && errno != EINTR) break;
        if (n > 0) text_add_bytes(&received, block, (size_t)n);
    }
    char *folder = NULL;
    unsigned long port = strtoul(text_string(&received), &folder, 10);
    bool ok = port > 0 && port <= UINT16_MAX && strncmp(folder, " /", 2) == 0;
    if (ok) {
        p->port = (uint16_t)port;
        snprintf(p->folder, sizeof p->folder, "%s", folder + 1);
    } else {
        text_printf(errors, "the private proxy did not start\n%s", text_string(&received));
    }
    text_fini(&received);
    return ok;
}

/* A pipe above the standard descriptors. */
static bool open_pipe(int ends[2])
{
    enum { FIRST = STDERR_FILENO + 1 };
    int raw[2];
    if (pipe2(raw, O_CLOEXEC) < 0) return false;
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(raw[i], F_DUPFD_CLOEXEC, FIRST);
        close(raw[i]);
    }
    if (ends[0] >= 0 && ends[1] >= 0) return true;
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0) close(ends[i]);
    return false;
}

bool exec_proxy_start(struct exec_proxy *p, const struct cli_options *options, struct text *errors)
{
    int ends[2];
    pid_t parent = getpid();
    *p = (struct exec_proxy){.process = 0};
    if (!open_pipe(ends)) {
        text_printf(errors, "no pipe: %s\n", strerror(errno));
        return false;
    }
    p->process = fork();
    if (p->process == 0) {
        close(ends[0]);
        _exit(serve(p, options, ends[1], parent));
    }
    close(ends[1]);
    bool ok = p->process > 0 && await_proxy(p, ends[0], errors);
    if (p->process < 0) text_printf(errors, "no process: %s\n", strerror(errno));
    close(ends[0]);
    return ok;
}

bool exec_proxy_stop(struct exec_proxy *p)
{
    int status = -1;
    if (p->process <= 0) return false;
    kill(p->process, SIGTERM);
    while (waitpid(p->process, &status, 0) < 0 && errno == EINTR)
        ;
    p->process = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void exec_proxy_complain(const struct exec_proxy *p, struct text *errors)
{
    enum { LARGEST = 1 << 20 };
    char path[EXEC_PATH];
    struct text words = {0};
    struct statvfs fs;
    exec_proxy_path(p, "operator.log", path);
    text_add(errors, "the private proxy did not end as it should\n");
    if (file_read(path, LARGEST, &words, NULL) == 0) text_add(errors, text_string(&words));
    /* On a full disk it could not write a message. */
    if (statvfs(p->folder, &fs) == 0 && fs.f_bavail == 0)
        text_printf(errors, "%s: %s\n", p->folder, strerror(ENOSPC));
    text_fini(&words);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    remove(path);
    return 0;
}

void exec_proxy_end(struct exec_proxy *p)
{
    if (p->process > 0) exec_proxy_stop(p);
    /* A part of a proxy that was killed may still write into it. */
    for (int i = 0; p->folder[0] && i < REMOVALS; i++) {
        nftw(p->folder, remove_one, TREE_DEPTH, FTW_DEPTH | FTW_PHYS);
        if (access(p->folder, F_OK) < 0) break;
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    p->folder[0] = '\0';
}
