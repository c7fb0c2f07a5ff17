#include "hako/function.h"

namespace {

int echo(hako_invocation* invocation) {
    const hako_view event = hako_event(invocation);
    return hako_respond(invocation, event.data, event.bytes);
}

}  // namespace

HAKO_FUNCTION(echo)
