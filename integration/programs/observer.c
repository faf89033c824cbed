/* A small program that looks at files in many ways and says all it saw.
 *
 *   observer DIR 'OP WORDS; OP WORDS; …'
 *
 * Enters DIR, does one operation after the other and writes what each answered to DIR/seen.txt.
 * Words before an operation: `t` in a thread, `f` in a child, `if` and `un` only after one that
 * went well, or did not. Operations that change something stay beneath DIR. What is said holds no
 * times, inode numbers or block counts: nothing that two runs on the same tree may say differently.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { WORDS = 8, NAMES = 256, TEXT = 4096 };

static int home;  /* DIR */
static int out;   /* what is said, kept in memory */
static int well;  /* whether the last operation went well */

static void say(const char *text) { if (write(out, text, strlen(text)) < 0) _exit(9); }

static void answer(long value) {
    char text[32];
    well = value >= 0;
    snprintf(text, sizeof text, value < 0 ? " error %ld" : " %ld", value < 0 ? (long)errno : value);
    say(text);
}

static void sum(const unsigned char *bytes, size_t length) {
    char text[48];
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t at = 0; at < length; at++) hash = (hash ^ bytes[at]) * 1099511628211u;
    snprintf(text, sizeof text, " %zu bytes %016llx", length, (unsigned long long)hash);
    say(text);
}

static void status(const struct stat *s) {
    char text[128];
    snprintf(text, sizeof text, " mode %o owner %u:%u links %lu size %lld", s->st_mode, s->st_uid,
             s->st_gid, (unsigned long)s->st_nlink, (long long)s->st_size);
    say(text);
}

static int open_how(int at, const char *path, uint64_t flags, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    int fd;
    /* A mount or rename elsewhere on the machine makes a look-up with `..` fail, to be tried again. */
    do fd = (int)syscall(SYS_openat2, at, path, &how, sizeof how); while (fd < 0 && errno == EAGAIN);
    return fd;
}

static void read_all(int fd) {
    static unsigned char bytes[1 << 16];
    if (fd < 0) { answer(-1); return; }
    ssize_t length = read(fd, bytes, sizeof bytes);
    answer(length);
    if (length >= 0) sum(bytes, (size_t)length);
    close(fd);
}

static void map(const char *path, int flags) {
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s)) { answer(-1); return; }
    void *at = mmap(NULL, (size_t)s.st_size, PROT_READ, flags, fd, 0);
    answer(at == MAP_FAILED ? -1 : 0);
    if (at != MAP_FAILED) { sum(at, (size_t)s.st_size); munmap(at, (size_t)s.st_size); }
    close(fd);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
    char *names[NAMES];
    size_t count = 0;
    DIR *dir = opendir(path);
    if (!dir) { answer(-1); return; }
    for (struct dirent *entry; count < NAMES && (entry = readdir(dir));) {
        if (asprintf(&names[count], " %s/%d", entry->d_name, entry->d_type) < 0) _exit(9);
        count++;
    }
    closedir(dir);
    answer((long)count);
    qsort(names, count, sizeof *names, by_text);
    for (size_t at = 0; at < count; at++) { say(names[at]); free(names[at]); }
}

static void spawn(char *path) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        char *argv[] = {path, NULL};
        dup2(out, 1);
        dup2(out, 2);
        execv(path, argv);
        _exit(errno == ENOENT ? 120 : errno == EACCES ? 121 : errno == ENOEXEC ? 122 : 123);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) _exit(9);
    answer(WIFEXITED(status) ? WEXITSTATUS(status) : 200);
}

/* Opens the directory a path lies in, beneath DIR; `name` becomes the last part of the path. */
static int inside(const char *path, const char **name) {
    char parent[TEXT];
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    return open_how(home, parent, O_PATH | O_DIRECTORY, RESOLVE_BENEATH);
}

static int fill(const char *path, const char *text, int flags) {
    const char *name;
    int dir = inside(path, &name);
    int fd = dir < 0 ? -1 : openat(dir, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | flags, 0644);
    long done = fd < 0 ? -1 : write(fd, text, strlen(text));
    int why = errno;
    if (fd >= 0) close(fd);
    if (dir >= 0) close(dir);
    errno = why;
    return (int)done;
}

static int two(const char *from, const char *to, int how) {
    const char *old, *new;
    int a = inside(from, &old), b = a < 0 ? -1 : inside(to, &new), done = -1;
    if (b >= 0) done = how < 0 ? linkat(a, old, b, new, 0) : renameat2(a, old, b, new, (unsigned)how);
    int why = errno;
    if (a >= 0) close(a);
    if (b >= 0) close(b);
    errno = why;
    return done;
}

/* Opens a file beneath DIR, no link, to change what it is. */
static int file(const char *path) { return open_how(home, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, RESOLVE_BENEATH); }

static int is(const char *word, const char *name) { return strcmp(word, name) == 0; }

static int change(char **w) {
    const char *name;
    int dir, fd;
    if (is(w[0], "put")) return answer(fill(w[1], w[2], O_CREAT | O_TRUNC)), 1;
    if (is(w[0], "excl")) return answer(fill(w[1], w[2], O_CREAT | O_EXCL)), 1;
    if (is(w[0], "app")) return answer(fill(w[1], w[2], O_APPEND)), 1;
    if (is(w[0], "cut")) return answer(fill(w[1], "", O_TRUNC)), 1;
    if (is(w[0], "mv")) return answer(two(w[1], w[2], 0)), 1;
    if (is(w[0], "mvn")) return answer(two(w[1], w[2], RENAME_NOREPLACE)), 1;
    if (is(w[0], "mvx")) return answer(two(w[1], w[2], RENAME_EXCHANGE)), 1;
    if (is(w[0], "ln")) return answer(two(w[1], w[2], -1)), 1;
    if (is(w[0], "chmod")) return answer(fchmod(fd = file(w[1]), (mode_t)strtol(w[2], NULL, 8))), close(fd), 1;
    if (is(w[0], "xset")) return answer(fsetxattr(fd = file(w[1]), "user.a", w[2], strlen(w[2]), 0)), close(fd), 1;
    if (is(w[0], "xdel")) return answer(fremovexattr(fd = file(w[1]), "user.a")), close(fd), 1;
    if (strstr(" mkdir fifo sym rm rmdir ", w[0]) == NULL) return 0;
    dir = inside(w[1], &name);
    if (dir < 0) answer(-1);
    else if (is(w[0], "mkdir")) answer(mkdirat(dir, name, 0755));
    else if (is(w[0], "fifo")) answer(mknodat(dir, name, S_IFIFO | 0644, 0));
    else if (is(w[0], "sym")) answer(symlinkat(w[2], dir, name));
    else answer(unlinkat(dir, name, is(w[0], "rmdir") ? AT_REMOVEDIR : 0));
    if (dir >= 0) close(dir);
    return 1;
}

static int look(char **w) {
    struct stat s;
    struct statx x;
    char text[TEXT];
    long length;
    int fd;
    if (is(w[0], "stat")) { answer(stat(w[1], &s)); if (well) status(&s); return 1; }
    if (is(w[0], "lstat")) { answer(lstat(w[1], &s)); if (well) status(&s); return 1; }
    if (is(w[0], "statx")) {
        answer(statx(AT_FDCWD, w[1], AT_STATX_SYNC_AS_STAT, STATX_BASIC_STATS, &x));
        if (well) { snprintf(text, sizeof text, " mode %o size %llu", x.stx_mode, (unsigned long long)x.stx_size); say(text); }
        return 1;
    }
    if (is(w[0], "access")) return answer(access(w[1], R_OK | X_OK)), 1;
    if (is(w[0], "read")) return read_all(open(w[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC)), 1;
    if (is(w[0], "nofollow")) return read_all(open(w[1], O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)), 1;
    if (is(w[0], "beneath")) return read_all(open_how(AT_FDCWD, w[1], O_RDONLY | O_NONBLOCK, RESOLVE_BENEATH)), 1;
    if (is(w[0], "inroot")) return read_all(open_how(AT_FDCWD, w[1], O_RDONLY | O_NONBLOCK, RESOLVE_IN_ROOT)), 1;
    if (is(w[0], "nosym")) return read_all(open_how(AT_FDCWD, w[1], O_RDONLY | O_NONBLOCK, RESOLVE_NO_SYMLINKS)), 1;
    if (is(w[0], "map")) return map(w[1], MAP_PRIVATE), 1;
    if (is(w[0], "maps")) return map(w[1], MAP_SHARED), 1;
    if (is(w[0], "list")) return list(w[1]), 1;
    if (is(w[0], "exec")) return spawn(w[1]), 1;
    if (is(w[0], "cd")) return answer(chdir(w[1])), 1;
    if (is(w[0], "at")) {
        fd = open(w[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) answer(-1); else { read_all(openat(fd, w[2], O_RDONLY | O_NONBLOCK | O_CLOEXEC)); close(fd); }
        return 1;
    }
    if (is(w[0], "target")) length = readlink(w[1], text, sizeof text);
    else if (is(w[0], "xget")) length = getxattr(w[1], "user.a", text, sizeof text);
    else if (is(w[0], "xlist")) length = listxattr(w[1], text, sizeof text);
    else return 0;
    answer(length);
    if (length > 0) sum((unsigned char *)text, (size_t)length);
    return 1;
}

static void run(char **w);

static void *in_thread(void *words) { return run(words), NULL; }

static void run(char **w) {
    pthread_t thread;
    pid_t child;
    int status;
    if (is(w[0], "if")) { if (well) run(w + 1); return; }
    if (is(w[0], "un")) { if (!well) run(w + 1); return; }
    if (is(w[0], "t")) {
        if (pthread_create(&thread, NULL, in_thread, w + 1) || pthread_join(thread, NULL)) _exit(9);
    } else if (is(w[0], "f")) {
        if ((child = fork()) == 0) { run(w + 1); _exit(0); }
        if (child < 0 || waitpid(child, &status, 0) < 0 || status) _exit(9);
    } else {
        say(w[0]);
        if (!look(w) && !change(w)) _exit(8);
        say("\n");
    }
}

int main(int argc, char **argv) {
    char *rest, *save, text[TEXT];
    ssize_t length;
    if (argc != 3 || chdir(argv[1])) return 7;
    home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    out = memfd_create("said", 0);
    if (home < 0 || out < 0) return 7;
    for (char *op = strtok_r(argv[2], ";", &rest); op; op = strtok_r(NULL, ";", &rest)) {
        char *words[WORDS + 1] = {0};
        int count = 0;
        for (char *word = strtok_r(op, " ", &save); word && count < WORDS; word = strtok_r(NULL, " ", &save))
            words[count++] = word;
        if (count) run(words);
    }
    int said = openat(home, "seen.txt", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (said < 0 || lseek(out, 0, SEEK_SET)) return 7;
    while ((length = read(out, text, sizeof text)) > 0) if (write(said, text, (size_t)length) != length) return 7;
    return 0;
}
