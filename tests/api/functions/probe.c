/* A native function that does as it is told, good or bad: {"do":"segv"}. */
#include "hako/function.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

static unsigned calls_count;

static int told_to(const hako_invocation* inv, const char* what) {
    return memmem(inv->event.data, inv->event.bytes, what, strlen(what)) != NULL;
}

/* The number behind "n": in the event; 0 if there is none. */
static unsigned long number_of(const hako_invocation* inv) {
    const char* const at = memmem(inv->event.data, inv->event.bytes, "\"n\":", 4);
    return at != NULL ? strtoul(at + 4, NULL, 10) : 0;
}

static void take_memory(size_t bytes) {
    char* const memory = malloc(bytes);
    if (memory != NULL) {
        memset(memory, 1, bytes);
        __asm__ volatile("" : : "r"(memory) : "memory");
    }
}

static unsigned open_fds_count(void) {
    unsigned count = 0;
    DIR* const folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL) {
        ++count;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

/* Leaves a child behind that never ends by itself. */
static void leave_child(void) {
    if (fork() == 0) {
        for (;;) {
            pause();
        }
    }
}

static int respond_large(hako_invocation* inv, size_t bytes) {
    size_t bytes_max = 0;
    char* const room = hako_response_buffer(inv, &bytes_max);
    const size_t filled = bytes < bytes_max ? bytes : bytes_max;
    memset(room, 'x', filled);
    if (filled >= 2) {
        room[0] = '"';
        room[filled - 1] = '"';
    }
    return hako_respond_in_place(inv, bytes);
}

static int misbehave(hako_invocation* inv) {
    static int* volatile nowhere;
    if (told_to(inv, "\"segv\"")) {
        *nowhere = 1;
    } else if (told_to(inv, "\"abort\"")) {
        abort();
    } else if (told_to(inv, "\"exit\"")) {
        exit((int)number_of(inv));
    } else if (told_to(inv, "\"memory\"")) {
        take_memory(number_of(inv) << 20);
    } else if (told_to(inv, "\"spin\"")) {
        for (;;) {
            __asm__ volatile("" : : : "memory");
        }
    } else if (told_to(inv, "\"pause\"")) {
        for (;;) {
            pause();
        }
    } else if (told_to(inv, "\"fail\"")) {
        return hako_fail(inv, "Probe.Told", "as you wish");
    }
    return 0;
}

static int probe(hako_invocation* inv) {
    char text[512];
    ++calls_count;
    if (told_to(inv, "\"log\"")) {
        hako_log("probe says hello");
    }
    if (told_to(inv, "\"child\"")) {
        leave_child();
    }
    if (told_to(inv, "\"large\"")) {
        return respond_large(inv, number_of(inv));
    }
    if (told_to(inv, "\"echo\"")) {
        return hako_respond(inv, inv->event.data, inv->event.bytes);
    }
    if (misbehave(inv) != 0) {
        return 1;
    }
    const int bytes = snprintf(
        text,
        sizeof(text),
        "{\"count\":%u,\"pid\":%d,\"fds\":%u,\"request_id\":\"%s\",\"arn\":\"%s\","
        "\"remaining_ms\":%lld,\"name\":\"%s\",\"version\":\"%s\",\"memory_mib\":%u}",
        calls_count,
        (int)getpid(),
        open_fds_count(),
        hako_request_id(inv),
        hako_invoked_function_arn(inv),
        (long long)hako_remaining_ms(inv),
        hako_function_name(),
        hako_function_version(),
        hako_memory_mib()
    );
    return hako_respond(inv, text, (size_t)bytes);
}

HAKO_FUNCTION(probe)
