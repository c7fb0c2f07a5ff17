/*
 * The worker's side of the channel (hako/channel.h): attach, wait for a request, look at it, answer
 * it.
 *
 * For authors of language runtimes and of programs that want no more than the bare protocol; who
 * only writes a function includes hako/function.h. Header-only, C11 or C++, needs libc and Linux.
 * Names ending in `_` are internal. Nothing here is thread-safe: one thread at a time waits and
 * answers. docs/shim-protocol.md has the whole story.
 */
#ifndef HAKO_SHIM_H
#define HAKO_SHIM_H

/* syscall() and CLOCK_MONOTONIC under -std=c11: include this header (or function.h) before libc's.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hako/channel.h"

#ifdef __cplusplus
extern "C" {
#define HAKO_CAST_(type, value) reinterpret_cast<type>(value)
#define HAKO_NUMBER_(type, value) static_cast<type>(value)
#define HAKO_FROM_VOID_(type, value) static_cast<type>(value)
#else
#define HAKO_CAST_(type, value) ((type)(value))
#define HAKO_NUMBER_(type, value) ((type)(value))
#define HAKO_FROM_VOID_(type, value) ((type)(value))
#endif

/* A function's worker attached to its channel. Fields are for reading only. */
typedef struct hako_shim {
    struct hako_channel* channel;
    char* request_area;
    char* response_area;
    int doorbell_fd;
    uint32_t answered_seq; /* the last request that was answered; another number in request_seq is a
                              new request */
    uint32_t spin_us; /* how long a wait looks at the channel before it sleeps; 0 (off) unless you
                         know better */
} hako_shim;

/* Bytes somewhere in the channel: valid until the request is answered, not NUL-terminated. */
typedef struct hako_view {
    const char* data;
    size_t bytes;
} hako_view;

static inline int64_t hako_clock_monotonic_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return HAKO_NUMBER_(int64_t, now.tv_sec) * 1000000 + HAKO_NUMBER_(int64_t, now.tv_nsec) / 1000;
}

/* The descriptor named by an environment variable, else `otherwise`; -1 if the variable is not a
 * number. */
static inline int hako_shim_env_fd_(const char* name, int otherwise) {
    const char* text = getenv(name);
    if (text == NULL || *text == '\0') {
        return otherwise;
    }
    char* end = NULL;
    const long value = strtol(text, &end, 10);
    return *end == '\0' && value >= 0 && value <= INT_MAX ? HAKO_NUMBER_(int, value) : -1;
}

/*
 * Maps the channel behind `channel_fd`; both descriptors stay the caller's and must stay open (the
 * mapping outlives the first). Answers 0, or an errno value: EPROTO when this is no channel of a
 * version we know.
 */
static inline int hako_shim_attach_at(hako_shim* shim, int channel_fd, int doorbell_fd) {
    struct stat info;
    memset(shim, 0, sizeof(*shim));
    if (fstat(channel_fd, &info) != 0) {
        return errno;
    }
    if (info.st_size < HAKO_NUMBER_(off_t, HAKO_CHANNEL_BYTES)) {
        return EPROTO;
    }
    if (fcntl(doorbell_fd, F_GETFD) < 0) {
        return errno;
    }
    void* const base =
        mmap(NULL, HAKO_CHANNEL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, channel_fd, 0);
    if (base == MAP_FAILED) {
        return errno;
    }
    struct hako_channel* const channel = HAKO_FROM_VOID_(struct hako_channel*, base);
    if (channel->magic != HAKO_CHANNEL_MAGIC || channel->version != HAKO_CHANNEL_VERSION) {
        munmap(base, HAKO_CHANNEL_BYTES);
        return EPROTO;
    }
    shim->channel = channel;
    shim->request_area = HAKO_FROM_VOID_(char*, base) + HAKO_REQUEST_OFFSET;
    shim->response_area = HAKO_FROM_VOID_(char*, base) + HAKO_RESPONSE_OFFSET;
    shim->doorbell_fd = doorbell_fd;
    /* Only the worker writes response_seq, so a program that was exec()ed sees the INIT its loader
     * left unanswered. */
    shim->answered_seq = __atomic_load_n(&channel->response_seq, __ATOMIC_RELAXED);
    return 0;
}

/* Attaches to the descriptors of HAKO_CHANNEL_FD and HAKO_DOORBELL_FD, or 3 and 4. Answers 0 or an
 * errno value. */
static inline int hako_shim_attach(hako_shim* shim) {
    return hako_shim_attach_at(
        shim,
        hako_shim_env_fd_(HAKO_ENV_CHANNEL_FD, HAKO_CHANNEL_FD),
        hako_shim_env_fd_(HAKO_ENV_DOORBELL_FD, HAKO_DOORBELL_FD)
    );
}

/* Unmaps the channel; the descriptors stay open. */
static inline void hako_shim_detach(hako_shim* shim) {
    munmap(shim->channel, HAKO_CHANNEL_BYTES);
    shim->channel = NULL;
}

/*
 * Sleeps while `*word == value`. Not FUTEX_PRIVATE: the other side is another process. Every early
 * return (EINTR, EAGAIN, a stray wake) is harmless, because each caller looks at the word again.
 */
static inline void hako_futex_wait_(uint32_t* word, uint32_t value) {
    (void)syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static inline void hako_cpu_relax_(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Is there a request we have not answered? The acquire makes everything the engine wrote before it
 * visible. */
static inline int hako_shim_pending(const hako_shim* shim) {
    return __atomic_load_n(&shim->channel->request_seq, __ATOMIC_ACQUIRE) != shim->answered_seq;
}

/*
 * Sleeps until a request may be there; may return early, for instance with a signal. For runtimes
 * that must do something between two looks (run signal handlers, say); the others call
 * hako_shim_wait.
 *
 * The lost-wake problem: we store worker_sleeping and then load request_seq, the engine stores
 * request_seq and then loads worker_sleeping. All four are sequentially consistent, so at least one
 * side sees the other's store: either we do not sleep, or the engine wakes us. The kernel compares
 * request_seq once more under its own lock before it sleeps.
 */
static inline void hako_shim_sleep(hako_shim* shim) {
    struct hako_channel* const channel = shim->channel;
    __atomic_store_n(&channel->worker_sleeping, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&channel->request_seq, __ATOMIC_SEQ_CST) == shim->answered_seq) {
        hako_futex_wait_(&channel->request_seq, shim->answered_seq);
    }
    __atomic_store_n(&channel->worker_sleeping, 0, __ATOMIC_RELAXED);
}

/*
 * Waits for the next request and answers its hako_request_kind (a number of another kind is for the
 * caller to refuse). Never times out. A request that is not answered yet, also one seen before, is
 * answered at once.
 */
static inline uint32_t hako_shim_wait(hako_shim* shim) {
    if (shim->spin_us != 0 && !hako_shim_pending(shim)) {
        const int64_t until_us = hako_clock_monotonic_us() + shim->spin_us;
        while (!hako_shim_pending(shim) && hako_clock_monotonic_us() < until_us) {
            hako_cpu_relax_();
        }
    }
    while (!hako_shim_pending(shim)) {
        hako_shim_sleep(shim);
    }
    return shim->channel->request_kind;
}

/*
 * Waits until the sandbox's init has mounted the function's code. Call it after INIT has come: by
 * then the code is nearly always there, and waiting here first would cost a second wake-up.
 */
static inline void hako_shim_await_code(hako_shim* shim) {
    uint32_t* const mounted = &shim->channel->code_mounted;
    uint32_t seen;
    while ((seen = __atomic_load_n(mounted, __ATOMIC_ACQUIRE)) != 1) {
        hako_futex_wait_(mounted, seen);
    }
}

/* The event of an INVOKE, the environment block of an INIT. Zero-copy. */
static inline hako_view hako_shim_event(const hako_shim* shim) {
    const uint32_t bytes = shim->channel->event_bytes;
    hako_view view;
    view.data = shim->request_area;
    view.bytes = bytes <= HAKO_REQUEST_AREA_BYTES ? bytes : 0;
    return view;
}

/* The client context of an INVOKE (decoded JSON); no bytes when the caller gave none. Zero-copy. */
static inline hako_view hako_shim_client_context(const hako_shim* shim) {
    const hako_view event = hako_shim_event(shim);
    const uint32_t bytes = shim->channel->client_context_bytes;
    hako_view view;
    view.data = event.data + event.bytes;
    view.bytes = bytes <= HAKO_REQUEST_AREA_BYTES - event.bytes ? bytes : 0;
    return view;
}

/* Milliseconds until the invocation is stopped, 0 when that moment has passed. */
static inline int64_t hako_remaining_ms_until(int64_t deadline_monotonic_us) {
    const int64_t left_us = deadline_monotonic_us - hako_clock_monotonic_us();
    return left_us > 0 ? left_us / 1000 : 0;
}

static inline int64_t hako_shim_remaining_ms(const hako_shim* shim) {
    return hako_remaining_ms_until(shim->channel->deadline_monotonic_us);
}

/* Room for a response written in place: HAKO_RESPONSE_BYTES_MAX bytes. */
static inline char* hako_shim_response_buffer(hako_shim* shim) {
    return shim->response_area;
}

static inline int hako_ring_doorbell_(int doorbell_fd) {
    const uint64_t one = 1;
    while (write(doorbell_fd, &one, sizeof(one)) < 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

/*
 * Answers the request with `bytes` that already lie in the response buffer; more than
 * HAKO_RESPONSE_BYTES_MAX becomes HAKO_RESPONSE_TOO_LARGE. From here on the engine may post the
 * next request: no view is valid any more. Answers 0, or an errno value if the doorbell could not
 * be rung (then nobody will ever notice the answer: leave).
 */
static inline int hako_shim_respond(hako_shim* shim, uint32_t kind, size_t bytes) {
    struct hako_channel* const channel = shim->channel;
    const int fits = bytes <= HAKO_RESPONSE_BYTES_MAX;
    channel->response_kind = fits ? kind : HAKO_NUMBER_(uint32_t, HAKO_RESPONSE_TOO_LARGE);
    channel->response_bytes = fits ? HAKO_NUMBER_(uint32_t, bytes) : 0;
    channel->response_bytes_wanted = bytes;
    const uint32_t seq = __atomic_load_n(&channel->request_seq, __ATOMIC_RELAXED);
    shim->answered_seq = seq;
    /* Release: whoever sees this number sees the answer. The write below orders it before the
     * doorbell as well. */
    __atomic_store_n(&channel->response_seq, seq, __ATOMIC_RELEASE);
    return hako_ring_doorbell_(shim->doorbell_fd);
}

/* Copies `data` into the response buffer (if it fits) and answers with it. As hako_shim_respond. */
static inline int hako_shim_answer(hako_shim* shim, uint32_t kind, const void* data, size_t bytes) {
    if (bytes != 0 && bytes <= HAKO_RESPONSE_BYTES_MAX) {
        memcpy(shim->response_area, data, bytes);
    }
    return hako_shim_respond(shim, kind, bytes);
}

/* ---- a response in parts, while the function runs ---- */

/* May this response be streamed? Else it must come whole: the caller wants it so, or the engine
 * knows nothing of streams. */
static inline int hako_shim_takes_stream(const hako_shim* shim) {
    return (shim->channel->request_flags & HAKO_REQUEST_TAKES_STREAM) != 0;
}

/* One streamed response. Made by hako_stream_open; fields are for reading only. */
typedef struct hako_stream {
    struct hako_channel* channel;
    char* ring;
    int doorbell_fd;
    uint32_t put;  /* bytes written, modulo 2^32 */
    uint32_t rung; /* the engine_waiting that was rung for last */
    uint32_t reserved;
    uint64_t bytes; /* bytes written */
    uint64_t bytes_max;
} hako_stream;

/*
 * Begins to stream the response of the INVOKE at hand; `content_type` NULL means
 * application/octet-stream. The response buffer belongs to the stream from here on, but for what
 * lies behind its first HAKO_STREAM_RING_BYTES. Answers 0, ENOTSUP if the response must come whole,
 * or EINVAL if the type is longer than 255 bytes or not printable ASCII.
 */
static inline int hako_stream_open(
    hako_stream* stream, const hako_shim* shim, const char* content_type
) {
    struct hako_channel* const channel = shim->channel;
    const char* const type = content_type != NULL ? content_type : HAKO_STREAM_TYPE_DEFAULT;
    size_t type_bytes = 0;
    if (!hako_shim_takes_stream(shim)) {
        return ENOTSUP;
    }
    for (; type[type_bytes] != '\0'; ++type_bytes) {
        if (type[type_bytes] < ' ' || type[type_bytes] > '~') {
            return EINVAL;
        }
    }
    if (type_bytes >= HAKO_STREAM_TYPE_BYTES) {
        return EINVAL;
    }
    memset(stream, 0, sizeof(*stream));
    stream->channel = channel;
    stream->ring = shim->response_area;
    stream->doorbell_fd = shim->doorbell_fd;
    stream->bytes_max = channel->stream_bytes_max;
    memcpy(channel->stream_type, type, type_bytes + 1);
    __atomic_store_n(&channel->worker_waiting, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&channel->stream_put, 0, __ATOMIC_RELAXED);
    __atomic_store_n(
        &channel->stream_seq,
        __atomic_load_n(&channel->request_seq, __ATOMIC_RELAXED),
        __ATOMIC_RELEASE
    );
    return 0;
}

/*
 * The next place to write at and, in `*bytes`, how much fits there without a gap: 0 while the
 * engine has not taken enough. Zero-copy; publish it with hako_stream_commit.
 */
static inline char* hako_stream_look(const hako_stream* stream, size_t* bytes) {
    const uint32_t taken = __atomic_load_n(&stream->channel->stream_taken, __ATOMIC_ACQUIRE);
    const uint32_t at = stream->put % HAKO_STREAM_RING_BYTES;
    const uint32_t room = HAKO_STREAM_RING_BYTES - (stream->put - taken);
    const uint32_t to_end = HAKO_STREAM_RING_BYTES - at;
    *bytes = room < to_end ? room : to_end;
    return stream->ring + at;
}

/*
 * Sleeps until there may be room; may return early, for instance with a signal. No wake-up is lost,
 * for the reasons that hako_shim_sleep gives: here the words are worker_waiting and stream_taken.
 */
static inline void hako_stream_sleep(const hako_stream* stream) {
    struct hako_channel* const channel = stream->channel;
    __atomic_store_n(&channel->worker_waiting, 1, __ATOMIC_SEQ_CST);
    const uint32_t taken = __atomic_load_n(&channel->stream_taken, __ATOMIC_SEQ_CST);
    if (stream->put - taken == HAKO_STREAM_RING_BYTES) {
        hako_futex_wait_(&channel->stream_taken, taken);
    }
    __atomic_store_n(&channel->worker_waiting, 0, __ATOMIC_RELAXED);
}

/* As hako_stream_look, but waits for room. */
static inline char* hako_stream_room(const hako_stream* stream, size_t* bytes) {
    for (;;) {
        char* const place = hako_stream_look(stream, bytes);
        if (*bytes != 0) {
            return place;
        }
        hako_stream_sleep(stream);
    }
}

/*
 * Publishes `bytes` written at the place that hako_stream_look or hako_stream_room gave. Answers 0,
 * EFBIG if the response becomes larger than it may be (nothing is published), or an errno value if
 * the doorbell could not be rung.
 */
static inline int hako_stream_commit(hako_stream* stream, size_t bytes) {
    struct hako_channel* const channel = stream->channel;
    if (bytes > stream->bytes_max - stream->bytes) {
        return EFBIG;
    }
    stream->bytes += bytes;
    stream->put += HAKO_NUMBER_(uint32_t, bytes);
    __atomic_store_n(&channel->stream_put, stream->put, __ATOMIC_SEQ_CST);
    const uint32_t waiting = __atomic_load_n(&channel->engine_waiting, __ATOMIC_SEQ_CST);
    if (waiting == 0 || waiting == stream->rung) {
        return 0; /* it is awake, or about to be */
    }
    stream->rung = waiting;
    return hako_ring_doorbell_(stream->doorbell_fd);
}

/* Writes all of `data`, waiting for room as often as it takes. Errors: as hako_stream_commit. */
static inline int hako_stream_put(hako_stream* stream, const void* data, size_t bytes) {
    const char* from = HAKO_FROM_VOID_(const char*, data);
    while (bytes != 0) {
        size_t room = 0;
        char* const place = hako_stream_room(stream, &room);
        const size_t part = room < bytes ? room : bytes;
        memcpy(place, from, part);
        const int error = hako_stream_commit(stream, part);
        if (error != 0) {
            return error;
        }
        from += part;
        bytes -= part;
    }
    return 0;
}

/* Where the error that breaks off a stream is written before HAKO_RESPONSE_STREAM_ERROR:
 * HAKO_STREAM_ERROR_BYTES_MAX bytes. */
static inline char* hako_stream_error_buffer(const hako_stream* stream) {
    return stream->ring + HAKO_STREAM_RING_BYTES;
}
/* A stream ends with hako_shim_respond: HAKO_RESPONSE_STREAM_END, _STREAM_ERROR, or _TOO_LARGE. */

#ifdef __cplusplus
}
#endif

#endif /* HAKO_SHIM_H */
