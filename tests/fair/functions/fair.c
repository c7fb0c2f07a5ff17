/* A native function for the fairness tests. {"do":"nothing"} answers at once, {"do":"burn"} uses
 * the CPU and tells how much it got, {"do":"touch"} touches memory, anything else is an attack. */
#include <sys/mman.h>
#include <time.h>

#include "attacks.h"
#include "hako/function.h"

enum { kWindowUs = 100000, kWindowsMax = 400, kTextBytes = 8192 };

static long long number_of(const hako_invocation* inv, const char* key) {
    const char* const at = memmem(inv->event.data, inv->event.bytes, key, strlen(key));
    return at != NULL ? strtoll(at + strlen(key), NULL, 10) : 0;
}

static int told_to(const hako_invocation* inv, const char* what) {
    char quoted[64];
    snprintf(quoted, sizeof(quoted), "\"%s\"", what);
    return memmem(inv->event.data, inv->event.bytes, quoted, strlen(quoted)) != NULL;
}

static int64_t clock_us(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t monotonic_us(void) {
    return clock_us(CLOCK_MONOTONIC);
}

/* Burns from now until "until"; the answer is the CPU time in each window of 100 ms from "from" on.
 * All burners share the clock, so their windows are the same. While it is off the CPU its time
 * stands still, so a boundary that is noticed late was still measured right. */
static int burn(hako_invocation* inv) {
    static char text[kTextBytes];
    const int64_t from_us = number_of(inv, "\"from\":");
    const int64_t until_us = number_of(inv, "\"until\":");
    int64_t used_us[kWindowsMax + 1];
    int count = 0;
    int64_t next_us = from_us;
    while (next_us <= until_us && count <= kWindowsMax) {
        const int64_t cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
        const int64_t now_us = monotonic_us();
        while (now_us >= next_us && next_us <= until_us && count <= kWindowsMax) {
            used_us[count++] = cpu_us;
            next_us += kWindowUs;
        }
    }
    size_t bytes = 1;
    text[0] = '[';
    for (int i = 1; i < count && bytes + 32 < sizeof(text); ++i) {
        bytes += (size_t)snprintf(
            text + bytes,
            sizeof(text) - bytes,
            "%s%lld",
            i == 1 ? "" : ",",
            (long long)(used_us[i] - used_us[i - 1])
        );
    }
    text[bytes++] = ']';
    return hako_respond(inv, text, bytes);
}

static int touch(hako_invocation* inv) {
    const size_t bytes = (size_t)number_of(inv, "\"kib\":") << 10;
    char* const memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || madvise(memory, bytes, MADV_NOHUGEPAGE) != 0) {
        return hako_fail(inv, "Fair.Mmap", "no memory");
    }
    for (size_t at = 0; at < bytes; at += 4096) {
        ((volatile char*)memory)[at] = 1;
    }
    munmap(memory, bytes);
    return hako_respond(inv, "\"touched\"", 9);
}

static int attack(hako_invocation* inv) {
    const int64_t until_us = monotonic_us() + number_of(inv, "\"ms\":") * 1000;
    for (const struct attack* each = attacks; each->name != NULL; ++each) {
        if (told_to(inv, each->name)) {
            char text[128];
            const struct attack_result result = each->run(until_us);
            const int bytes = snprintf(
                text,
                sizeof(text),
                "{\"made\":%lu,\"errno\":%d}",
                result.made_count,
                result.last_errno
            );
            return hako_respond(inv, text, (size_t)bytes);
        }
    }
    return hako_fail(inv, "Fair.Unknown", "no attack of that name");
}

static int fair(hako_invocation* inv) {
    if (told_to(inv, "nothing")) {
        return hako_respond(inv, "null", 4);
    }
    if (told_to(inv, "burn")) {
        return burn(inv);
    }
    if (told_to(inv, "touch")) {
        return touch(inv);
    }
    if (told_to(inv, "large")) {
        return hako_respond_in_place(inv, (size_t)number_of(inv, "\"bytes\":"));
    }
    return attack(inv);
}

HAKO_FUNCTION(fair)
