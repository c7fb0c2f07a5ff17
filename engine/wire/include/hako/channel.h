/*
 * The shared-memory channel between the engine and one function instance.
 *
 * One memfd of HAKO_CHANNEL_BYTES, mapped by both sides: a header page, the request area, the
 * response area. One message is in flight at a time. The engine posts a request by filling the
 * request area and the header's request fields and then storing `request_seq + 1`; the worker
 * answers by filling the response area and the response fields, storing the request's number into
 * `response_seq`, and adding 1 to the doorbell eventfd. The worker waits on `request_seq` with a
 * (shared) futex; it sets `worker_sleeping` while it may be in the kernel, so that the engine knows
 * whether a wake is needed. The engine trusts nothing the worker wrote: it reads each field once,
 * checks it, and copies the payload before it looks at it.
 *
 * A response may also go out in parts while the function runs, if the request says so
 * (HAKO_REQUEST_TAKES_STREAM): the first HAKO_STREAM_RING_BYTES of the response area are then a
 * ring of bytes, `stream_put` counts what the worker wrote, `stream_taken` what the engine took.
 *
 * Plain C so that the native shims, the Python zygote and any executable can include it.
 * docs/shim-protocol.md explains it.
 */
#ifndef HAKO_CHANNEL_H
#define HAKO_CHANNEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HAKO_CHANNEL_MAGIC 0x4f4b4148u /* "HAKO" */
#define HAKO_CHANNEL_VERSION 1u

#define HAKO_CHANNEL_HEADER_BYTES 4096u
/* Lambda's limits: 6 MiB in, and 100 bytes more out. The client context (3583 bytes) lies behind
 * the event. */
#define HAKO_EVENT_BYTES_MAX 6291456u
#define HAKO_RESPONSE_BYTES_MAX 6291556u
#define HAKO_REQUEST_AREA_BYTES (6291456u + 8192u)
#define HAKO_RESPONSE_AREA_BYTES (6291456u + 4096u)
#define HAKO_REQUEST_OFFSET HAKO_CHANNEL_HEADER_BYTES
#define HAKO_RESPONSE_OFFSET (HAKO_REQUEST_OFFSET + HAKO_REQUEST_AREA_BYTES)
#define HAKO_CHANNEL_BYTES (HAKO_RESPONSE_OFFSET + HAKO_RESPONSE_AREA_BYTES)

/* The ring of a streamed response: a power of two, so that the counters may wrap. Large enough for
 * both sides to work at once, small enough to stay in a core's cache. The error that may end a
 * stream lies behind the ring, whose bytes may not have been taken yet. */
#define HAKO_STREAM_RING_BYTES 262144u
#define HAKO_STREAM_ERROR_BYTES_MAX 262144u
#define HAKO_STREAM_TYPE_BYTES 256u
#define HAKO_STREAM_TYPE_DEFAULT "application/octet-stream"
/* The content type whose stream begins with {"statusCode","headers","cookies"} and 8 NULs. */
#define HAKO_STREAM_TYPE_HTTP "application/vnd.awslambda.http-integration-response"

/* Descriptors a worker is started with; the environment variables below repeat them for
 * executables. */
#define HAKO_CHANNEL_FD 3
#define HAKO_DOORBELL_FD 4
#define HAKO_ENV_CHANNEL_FD "HAKO_CHANNEL_FD"
#define HAKO_ENV_DOORBELL_FD "HAKO_DOORBELL_FD"

enum hako_request_kind {
    HAKO_REQUEST_INIT = 1, /* request area: the environment, "NAME=VALUE\0" after one another;
                              answer READY or INIT_ERROR */
    HAKO_REQUEST_INVOKE =
        2, /* request area: the event, then the client context; answer RESULT or ERROR */
    HAKO_REQUEST_SHUTDOWN = 3 /* leave with exit status 0, no answer */
};

/* Bits of request_flags. A worker that does not know them answers as ever. */
enum hako_request_flag {
    HAKO_REQUEST_TAKES_STREAM = 1 /* INVOKE: the response may be streamed */
};

enum hako_response_kind {
    HAKO_RESPONSE_READY = 1, /* init done; no payload */
    HAKO_RESPONSE_INIT_ERROR =
        2, /* payload: {"errorMessage","errorType",...}; the worker exits after it */
    HAKO_RESPONSE_RESULT = 3, /* payload: the handler's answer */
    HAKO_RESPONSE_ERROR = 4,  /* payload: {"errorMessage","errorType","stackTrace"...} */
    HAKO_RESPONSE_TOO_LARGE =
        5, /* no payload; response_bytes_wanted says how large it would have been */
    HAKO_RESPONSE_STREAM_END = 6,  /* the stream is complete; no payload */
    HAKO_RESPONSE_STREAM_ERROR = 7 /* the stream broke off; payload, as of ERROR, behind the ring */
};

struct hako_channel {
    /* Line 0: written once by the spawner. */
    uint32_t magic;
    uint32_t version;
    /* Written by the sandbox's init once the code is mounted (1) and the worker may start; a futex
     * word. */
    uint32_t code_mounted;
    uint32_t reserved0[13];

    /* Line 1: engine to worker; request_seq is the futex word and is stored last. */
    uint32_t request_seq;
    uint32_t request_kind;
    uint32_t event_bytes; /* INIT: bytes of the environment block */
    uint32_t client_context_bytes;
    int64_t deadline_unix_ms;
    int64_t deadline_monotonic_us;
    uint32_t request_flags;
    uint32_t reserved1;
    uint64_t stream_bytes_max; /* with TAKES_STREAM: what the whole stream may have */
    uint32_t reserved2[4];

    /* Line 2: worker to engine; response_seq is stored last. */
    uint32_t response_seq;
    uint32_t response_kind;
    uint32_t response_bytes;
    uint32_t worker_sleeping;
    uint64_t response_bytes_wanted;
    uint32_t reserved3[10];

    /* Strings of the request, NUL-terminated. */
    char request_id[40];
    char trace_id[128];
    char invoked_function_arn[320];
    char cognito_identity[512];
    uint32_t reserved4[6];

    /* Line 19: engine to worker, while a response is streamed. */
    uint32_t stream_taken;   /* bytes, modulo 2^32, 0 when INVOKE comes; the futex word of a worker
                                that waits for room */
    uint32_t engine_waiting; /* not 0, and not what it was at the last ring: ring the doorbell after
                                the next bytes; 1 when INVOKE comes */
    uint32_t reserved5[14];

    /* Line 20: worker to engine. `stream_seq` is stored last, when the stream begins. */
    uint32_t stream_seq;     /* of the request whose response is streamed */
    uint32_t stream_put;     /* bytes, modulo 2^32 */
    uint32_t worker_waiting; /* wake me when stream_taken has changed */
    uint32_t reserved6[13];
    char stream_type[HAKO_STREAM_TYPE_BYTES]; /* content type, NUL-terminated, printable ASCII */
};

#ifdef __cplusplus
}
#endif

#endif /* HAKO_CHANNEL_H */
