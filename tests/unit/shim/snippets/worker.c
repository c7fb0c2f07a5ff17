#include "hako/shim.h"

int main(void) {
    hako_shim shim;
    if (hako_shim_attach(&shim) != 0) {
        return 1;
    }
    for (;;) {
        const uint32_t kind = hako_shim_wait(&shim);
        const hako_view event = hako_shim_event(&shim);
        int error = 0;
        switch (kind) {
            case HAKO_REQUEST_INIT: /* the environment is ours already: execve() brought it */
                error = hako_shim_respond(&shim, HAKO_RESPONSE_READY, 0);
                break;
            case HAKO_REQUEST_INVOKE:
                error = hako_shim_answer(&shim, HAKO_RESPONSE_RESULT, event.data, event.bytes);
                break;
            case HAKO_REQUEST_SHUTDOWN:
                return 0;
            default:
                return 1;
        }
        if (error != 0) {
            return 1;
        }
    }
}
