/* Streams as many MiB as the event says, a number, in parts of 64 KiB. */
#include "hako/function.h"

static int stream(hako_invocation* inv) {
    static char part[65536];
    const hako_view event = hako_event(inv);
    char number[16] = {0};
    memcpy(number, event.data, event.bytes < sizeof(number) ? event.bytes : sizeof(number) - 1);
    size_t left = strtoul(number, NULL, 10) * 1024 * 1024;
    int error = hako_respond_begin(inv, NULL);
    for (; error == 0 && left > 0; left -= sizeof(part)) {
        error = hako_respond_write(inv, part, sizeof(part));
    }
    return error == 0 ? hako_respond_end(inv) : hako_fail(inv, "Stream", strerror(error));
}

HAKO_FUNCTION(stream)
