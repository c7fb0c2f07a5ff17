/* A C function for the tests: the event names what it shall do. */
#include "hako/function.h"

#include <signal.h>

static int is(hako_view event, const char* word) {
    return event.bytes == strlen(word) && memcmp(event.data, word, event.bytes) == 0;
}

static int describe(hako_invocation* inv) {
    size_t room = 0;
    char* out = hako_response_buffer(inv, &room);
    const hako_view client = hako_client_context(inv);
    char cwd[256];
    const int bytes = snprintf(
        out,
        room,
        "%s|%s|%s|%s|%s|%u|%s|%s|%.*s|%s|%s",
        hako_request_id(inv),
        hako_trace_id(inv),
        hako_invoked_function_arn(inv),
        hako_function_name(),
        hako_function_version(),
        hako_memory_mib(),
        hako_log_group_name(),
        hako_log_stream_name(),
        (int)client.bytes,
        client.data,
        getenv("GREETING"),
        getcwd(cwd, sizeof(cwd))
    );
    return hako_respond_in_place(inv, (size_t)bytes);
}

static int open_descriptors(hako_invocation* inv) {
    char text[256];
    size_t bytes = 0;
    for (int fd = 0; fd < 64; ++fd) {
        if (fcntl(fd, F_GETFD) >= 0) {
            bytes += (size_t)snprintf(text + bytes, sizeof(text) - bytes, "%d ", fd);
        }
    }
    return hako_respond(inv, text, bytes);
}

static int large(hako_invocation* inv, size_t bytes) {
    char* const text = malloc(bytes);
    memset(text, 'x', bytes);
    hako_respond(inv, text, bytes);
    free(text);
    return 0;
}

static int probe(hako_invocation* inv) {
    const hako_view event = hako_event(inv);
    if (is(event, "describe")) {
        return describe(inv);
    }
    if (is(event, "nothing")) {
        return 0;
    }
    if (is(event, "status")) {
        return 42;
    }
    if (is(event, "fail")) {
        hako_respond(inv, "half an answer", 14);
        return hako_fail(inv, "My\"Type", "line 1\nline 2\ttab \\ \x01 \xff \xc3\xa9");
    }
    if (is(event, "largest")) {
        return large(inv, HAKO_RESPONSE_BYTES_MAX);
    }
    if (is(event, "too large")) {
        return large(inv, HAKO_RESPONSE_BYTES_MAX + 1);
    }
    if (is(event, "log")) {
        printf("no line end");
        hako_log("%s %d", "logged", 7);
        return hako_respond(inv, "1", 1);
    }
    if (is(event, "remaining")) {
        char text[32];
        const int bytes = snprintf(text, sizeof(text), "%lld", (long long)hako_remaining_ms(inv));
        return hako_respond(inv, text, (size_t)bytes);
    }
    if (is(event, "descriptors")) {
        return open_descriptors(inv);
    }
    if (is(event, "crash")) {
        printf("last words\n");
        raise(SIGABRT);
    }
    if (is(event, "exit")) {
        exit(3);
    }
    return hako_respond(inv, event.data, event.bytes);
}

HAKO_FUNCTION(probe)
HAKO_EXPORT(other_symbol, describe)
