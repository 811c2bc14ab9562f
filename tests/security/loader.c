// In the place of the loader of the root: whoever makes the kernel run a program of the machine here gets its file.
static long call(long n, long a, long b, long c, long d) {
#ifdef __x86_64__
    long r; register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return r;
#else
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
#endif
}
#ifdef __x86_64__
enum { WRITE = 1, OPENAT = 257, EXECVE = 59, EXIT = 60 };
#else
enum { WRITE = 64, OPENAT = 56, EXECVE = 221, EXIT = 93 };
#endif
void _start(void) {
    static char *args[] = {"evil", 0};
    call(WRITE, 1, (long)"loader\n", 7, 0);
    call(OPENAT, -100, (long)"/proc/self/exe", 0, 0);
    call(EXECVE, (long)"/bin/evil", (long)args, (long)(args + 1), 0);
    call(EXIT, 99, 0, 0, 0);
}
