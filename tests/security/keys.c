// keys out PROGRAM WORD...: puts a key into a session keyring and becomes the program. keys in: tries to get at it.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOIN = 1, UPDATE = 2, SEARCH = 10, READ = 11, SESSION = -3 };
static char kind[] = "user", name[] = "lc-secret", text[] = "TOP-SECRET";

static void tell(const char *what, long result) {
    if (result >= 0) printf("%s: %ld\n", what, result);
    else printf("%s: %s\n", what, strerror(errno));
    fflush(stdout);
}

#ifdef __x86_64__
// The numbers and the gate of an i386 program; what it points to lies in the lowest 4 GiB, as this program is not PIE.
static long old(long number, long a, long b, long c, long d, long e) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory", "r8", "r9", "r10", "r11");
    if (result >= 0) return result;
    errno = -result;
    return -1;
}

static void by_the_old_gate(void) {
    if (fork() == 0) {
        tell("old keyctl", old(288, SEARCH, SESSION, (long)kind, (long)name, 0));
        tell("old add_key", old(286, (long)kind, (long)name, (long)text, sizeof text, SESSION));
        tell("old request_key", old(287, (long)kind, (long)name, 0, SESSION, 0));
        _exit(0);
    }
    // A kernel without that gate ends the child by a signal.
    wait(0);
}
#else
static void by_the_old_gate(void) {}
#endif

int main(int count, char **words) {
    if (count > 2 && strcmp(words[1], "out") == 0) {
        long ring = syscall(SYS_keyctl, JOIN, 0);
        long key = syscall(SYS_add_key, kind, name, text, sizeof text, SESSION);
        if (ring < 0 || key < 0) return perror("add_key"), 99;
        execv(words[2], words + 2);
        return perror(words[2]), 98;
    }
    char content[64] = "";
    long key = syscall(SYS_keyctl, SEARCH, SESSION, kind, name, 0);
    tell("keyctl", key);
    if (key > 0 && syscall(SYS_keyctl, READ, key, content, sizeof content - 1) > 0) printf("read %s\n", content);
    tell("add_key", syscall(SYS_add_key, kind, name, text, sizeof text, SESSION));
    tell("request_key", syscall(SYS_request_key, kind, name, 0, SESSION));
    tell("join", syscall(SYS_keyctl, JOIN, 0));
    by_the_old_gate();
    return 0;
}
