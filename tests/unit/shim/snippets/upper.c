#include "hako/function.h"

#include <ctype.h>

/* The event in capitals, written straight into the response: no copy, no allocation. */
static int upper(hako_invocation* inv) {
    const hako_view event = hako_event(inv);
    size_t room = 0;
    char* out = hako_response_buffer(inv, &room);
    if (event.bytes > room) {
        return hako_fail(inv, "TooLong", "the event does not fit the response");
    }
    for (size_t i = 0; i < event.bytes; ++i) {
        out[i] = (char)toupper((unsigned char)event.data[i]);
    }
    hako_log(
        "%s: %zu bytes, %lld ms left",
        hako_request_id(inv),
        event.bytes,
        (long long)hako_remaining_ms(inv)
    );
    return hako_respond_in_place(inv, event.bytes);
}

HAKO_FUNCTION(upper)
