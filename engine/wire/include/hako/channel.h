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

enum hako_response_kind {
    HAKO_RESPONSE_READY = 1, /* init done; no payload */
    HAKO_RESPONSE_INIT_ERROR =
        2, /* payload: {"errorMessage","errorType",...}; the worker exits after it */
    HAKO_RESPONSE_RESULT = 3, /* payload: the handler's answer */
    HAKO_RESPONSE_ERROR = 4,  /* payload: {"errorMessage","errorType","stackTrace"...} */
    HAKO_RESPONSE_TOO_LARGE =
        5 /* no payload; response_bytes_wanted says how large it would have been */
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
    uint32_t reserved1[8];

    /* Line 2: worker to engine; response_seq is stored last. */
    uint32_t response_seq;
    uint32_t response_kind;
    uint32_t response_bytes;
    uint32_t worker_sleeping;
    uint64_t response_bytes_wanted;
    uint32_t reserved2[10];

    /* Strings of the request, NUL-terminated. */
    char request_id[40];
    char trace_id[128];
    char invoked_function_arn[320];
    char cognito_identity[512];
};

#ifdef __cplusplus
}
#endif

#endif /* HAKO_CHANNEL_H */
