/* A malicious executable: speaks the channel well until it is told how to break it. */
#include "hako/shim.h"

static int told_to(const hako_shim* shim, const char* what) {
    const hako_view event = hako_shim_event(shim);
    return memmem(event.data, event.bytes, what, strlen(what)) != NULL;
}

static void ring(const hako_shim* shim) {
    const uint64_t one = 1;
    (void)!write(shim->doorbell_fd, &one, sizeof(one));
}

/* A response whose fields lie. */
static void respond_raw(hako_shim* shim, uint32_t seq, uint32_t kind, uint32_t bytes) {
    shim->channel->response_kind = kind;
    shim->channel->response_bytes = bytes;
    __atomic_store_n(&shim->channel->response_seq, seq, __ATOMIC_SEQ_CST);
    ring(shim);
}

static void wait_for_ever(void) {
    for (;;) {
        pause();
    }
}

static void break_channel(hako_shim* shim) {
    const uint32_t seq = shim->channel->request_seq;
    if (told_to(shim, "\"kind\"")) {
        respond_raw(shim, seq, 77, 4);
    } else if (told_to(shim, "\"bytes\"")) {
        respond_raw(shim, seq, HAKO_RESPONSE_RESULT, 0xfffffff0u);
    } else if (told_to(shim, "\"ready\"")) {
        respond_raw(shim, seq, HAKO_RESPONSE_READY, 0);
    } else if (told_to(shim, "\"seq\"")) {
        respond_raw(shim, seq + 1000, HAKO_RESPONSE_RESULT, 4);
    } else if (told_to(shim, "\"header\"")) {
        memset(shim->channel, 0xff, HAKO_CHANNEL_HEADER_BYTES);
        ring(shim);
    } else if (told_to(shim, "\"storm\"")) {
        for (int i = 0; i < 100000; ++i) {
            ring(shim);
        }
    }
    wait_for_ever();
}

int main(void) {
    hako_shim shim;
    if (hako_shim_attach(&shim) != 0 || hako_shim_wait(&shim) != HAKO_REQUEST_INIT) {
        return 1;
    }
    hako_shim_respond(&shim, HAKO_RESPONSE_READY, 0);
    while (hako_shim_wait(&shim) == HAKO_REQUEST_INVOKE) {
        if (told_to(&shim, "\"good\"")) {
            memcpy(hako_shim_response_buffer(&shim), "\"good\"", 6);
            hako_shim_respond(&shim, HAKO_RESPONSE_RESULT, 6);
        } else {
            break_channel(&shim);
        }
    }
    return 0;
}
