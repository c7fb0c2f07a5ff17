/*
 * The lowest cold floor: no libc at all. glibc asks for the processor's caches with CPUID when it
 * starts, which a virtual machine has to emulate: the difference to first_byte is mostly that.
 */
static long call3(long number, long first, long second, long third) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}

enum { kWrite = 1, kExit = 60 };

void _start(void);
void _start(void) {
    const long wrote = call3(kWrite, 1, (long)"x", 1);
    (void)call3(kExit, wrote == 1 ? 0 : 1, 0, 0);
    __builtin_unreachable();
}
