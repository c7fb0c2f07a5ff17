/*
 * A native function behind a function URL: the path says what it does. Any other path answers with
 * the event itself.
 */
#include "hako/function.h"

static int path_is(const hako_invocation* inv, const char* path) {
    char wanted[64];
    const int bytes = snprintf(wanted, sizeof(wanted), "\"rawPath\":\"%s\"", path);
    return memmem(inv->event.data, inv->event.bytes, wanted, (size_t)bytes) != NULL;
}

static int write_text(hako_invocation* inv, const char* text) {
    return hako_respond_write(inv, text, strlen(text));
}

static int begin(hako_invocation* inv) {
    return hako_respond_begin_http(
        inv,
        "{\"statusCode\":201,\"headers\":{\"Content-Type\":\"text/plain\",\"X-Streamed\":\"yes\"},"
        "\"cookies\":[\"a=1\",\"b=2\"]}"
    );
}

static int stream_large(hako_invocation* inv) {
    static char block[65536];
    memset(block, 'x', sizeof(block));
    int error = begin(inv);
    for (int i = 0; error == 0 && i < 128; ++i) {
        error = hako_respond_write(inv, block, sizeof(block));
    }
    return error == 0 ? hako_respond_end(inv) : hako_fail(inv, "Stream.Errno", strerror(error));
}

static int serve(hako_invocation* inv) {
    if (path_is(inv, "/stream")) {
        return begin(inv) != 0 || write_text(inv, "first ") != 0 || write_text(inv, "second") != 0
                   ? hako_fail(inv, "Stream.Errno", "")
                   : hako_respond_end(inv);
    }
    if (path_is(inv, "/hang")) {
        if (begin(inv) == 0 && write_text(inv, "first ") == 0) {
            pause(); /* until the client leaves and the sandbox ends */
        }
        return 1;
    }
    if (path_is(inv, "/large")) {
        return stream_large(inv);
    }
    if (path_is(inv, "/break")) {
        return begin(inv) == 0 && write_text(inv, "first ") == 0
                   ? hako_fail(inv, "Stream.Broke", "in the middle")
                   : 1;
    }
    if (path_is(inv, "/plain")) {
        return hako_respond_begin(inv, "text/csv") != 0 || write_text(inv, "a,b") != 0
                   ? hako_fail(inv, "Stream.Errno", "")
                   : hako_respond_end(inv);
    }
    if (path_is(inv, "/no-prelude")) {
        const int error = hako_respond_begin_http(inv, "{\"headers\":{\"a\":\"b\\r\\nc: d\"}}");
        return error != 0 ? hako_fail(inv, "Stream.Errno", "") : hako_respond_end(inv);
    }
    if (path_is(inv, "/fail")) {
        return hako_fail(inv, "App.Broke", "on purpose");
    }
    return hako_respond(inv, inv->event.data, inv->event.bytes);
}

HAKO_FUNCTION(serve)
