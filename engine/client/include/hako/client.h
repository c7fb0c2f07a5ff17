#ifndef HAKO_CLIENT_H
#define HAKO_CLIENT_H

/*
 * Client of a hako engine's Unix socket (docs/frame-protocol.md, version 1). Plain C.
 *
 * Threads: there is no global state; different clients are independent. On one client any thread
 * may submit and flush, also while another receives. receive, invoke, control and ping are for one
 * thread at a time (a second one waits), because an answer's views live until the next of them.
 *
 * Failures of the connection or of an argument are return codes (HAKO_CLIENT_E...) with details in
 * an optional `hako_client_error`. What the engine answers, errors included, is an answer with a
 * status: 200..299 fine, 4xx and 5xx an API error named by `error_code`.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HAKO_CLIENT_API __attribute__((visibility("default")))
#else
#define HAKO_CLIENT_API
#endif

typedef struct hako_client hako_client;

/** Return codes. After ECLOSED and EPROTOCOL the client can only be closed. */
enum hako_client_code {
    HAKO_CLIENT_OK = 0,
    HAKO_CLIENT_ESYSTEM = 1,  /**< a system call failed; sys_errno says how */
    HAKO_CLIENT_ETIMEOUT = 2, /**< the time of hako_client_set_timeout passed */
    HAKO_CLIENT_ECLOSED = 3,  /**< the engine closed the connection, or it broke earlier */
    HAKO_CLIENT_EPROTOCOL =
        4, /**< bytes that break the protocol, or the engine sent an Error frame */
    HAKO_CLIENT_EINVALID = 5, /**< an argument breaks a limit; nothing was sent */
    HAKO_CLIENT_ENOMEM = 6,
    HAKO_CLIENT_ECANCELED = 7 /**< a callback gave the answer up */
};

/** Details of a failure, filled by the call that returned it. */
typedef struct hako_client_error {
    int code;       /**< the code that the call returned */
    int sys_errno;  /**< with ESYSTEM, else 0 */
    char text[248]; /**< one line in English, NUL-terminated; names the step or field */
} hako_client_error;

/** Bytes somebody else owns; not NUL-terminated. */
typedef struct hako_client_view {
    const char* data;
    size_t bytes;
} hako_client_view;

enum hako_client_type {
    HAKO_CLIENT_REQUEST_RESPONSE = 0,
    HAKO_CLIENT_EVENT = 1,
    HAKO_CLIENT_DRY_RUN = 2
};

/** One invocation. All views are only read during the call. */
typedef struct hako_client_request {
    hako_client_view function;       /**< name, name:qualifier or ARN; 1..256 bytes */
    hako_client_view qualifier;      /**< version or alias; empty: $LATEST */
    hako_client_view client_context; /**< JSON, at most 3583 bytes; may be empty */
    hako_client_view payload; /**< JSON; empty: the function gets {}; the engine takes 6 MiB */
    int type;                 /**< enum hako_client_type */
    int tail;                 /**< not 0: the answer carries the log's last 4 KiB */
} hako_client_request;

enum hako_client_kind {
    HAKO_CLIENT_ANSWER_PING = 2,
    HAKO_CLIENT_ANSWER_INVOKE = 4,
    HAKO_CLIENT_ANSWER_CONTROL = 6
};

/**
 * One answer. The views point into the client's receive buffer and are good until the next
 * receive, invoke, control or ping on the same client, or its close.
 */
typedef struct hako_client_answer {
    uint64_t correlation; /**< what submit gave out */
    int kind;             /**< enum hako_client_kind */
    uint32_t status;      /**< HTTP status Lambda would give */
    int function_error;   /**< 1: the function failed; payload is its error JSON, status is 200 */
    uint32_t memory_mib;  /**< configured memory */
    uint64_t duration_us;
    uint64_t billed_us;
    uint64_t init_us; /**< 0 on a warm start */
    uint64_t cpu_us;
    uint64_t memory_peak_bytes;
    hako_client_view payload;    /**< the response, or the error's JSON */
    hako_client_view version;    /**< executed version */
    hako_client_view error_code; /**< "ResourceNotFoundException", "Unhandled" ... or empty */
    hako_client_view log_tail;   /**< plain text, if asked for */
    char request_id[40];         /**< NUL-terminated, empty if there was none */
    uint64_t reserved[4];
} hako_client_answer;

/** A view of a NUL-terminated string (NULL: an empty view). */
HAKO_CLIENT_API hako_client_view hako_client_text(const char* text);

/** The library's version, "0.1.0". */
HAKO_CLIENT_API const char* hako_client_version(void);

/** What a return code means, in a few words. */
HAKO_CLIENT_API const char* hako_client_strerror(int code);

/**
 * Connects to the engine's socket at `path` (at most 107 bytes). Returns NULL on failure, with the
 * reason in `error` (which may be NULL, here and below). Does not wait: a full backlog is ESYSTEM.
 */
HAKO_CLIENT_API hako_client* hako_client_connect(const char* path, hako_client_error* error);

/**
 * The same over a connected stream socket that the caller hands over (also closed on failure).
 */
HAKO_CLIENT_API hako_client* hako_client_adopt(int fd, hako_client_error* error);

/** Closes and frees. NULL is fine. No other thread may still use the client. */
HAKO_CLIENT_API void hako_client_close(hako_client* client);

/**
 * Breaks the connection but keeps the client: every call in any thread returns ECLOSED, the way to
 * wake a thread that waits in receive.
 */
HAKO_CLIENT_API void hako_client_shutdown(hako_client* client);

/**
 * Longest wait of each later call, in microseconds: negative waits without limit (the default), 0
 * takes only what needs no wait. After ETIMEOUT of receive the connection stays good; after
 * ETIMEOUT of invoke, control or ping the late answer is dropped when it comes. A timeout in the
 * middle of sending a frame breaks the connection. Not while another thread is in a call.
 */
HAKO_CLIENT_API void hako_client_set_timeout(hako_client* client, int64_t timeout_us);

/** The socket, for poll(). Borrowed. */
HAKO_CLIENT_API int hako_client_fd(const hako_client* client);

/** Requests sent or queued whose answer has not been received. */
HAKO_CLIENT_API uint64_t hako_client_in_flight(const hako_client* client);

/** Invokes and waits for the answer. Answers to earlier submits are kept for receive. */
HAKO_CLIENT_API int hako_client_invoke(
    hako_client* client,
    const hako_client_request* request,
    hako_client_answer* answer,
    hako_client_error* error
);

/**
 * Queues an invocation and gives its correlation number. Queued requests leave in one send, at the
 * next flush or receive, or when 256 KiB have gathered; a payload over 32 KiB leaves at once
 * without being copied. Submitting without receiving is safe: answers that come meanwhile are kept.
 */
HAKO_CLIENT_API int hako_client_submit(
    hako_client* client,
    const hako_client_request* request,
    uint64_t* correlation,
    hako_client_error* error
);

/** Where a response goes that comes in parts. Both return 0, or anything else to give it up. */
typedef struct hako_client_sink {
    void* context; /**< handed to both */
    /** May be NULL. The function streams; `type` is the response's content type. */
    int (*on_begin)(void* context, hako_client_view type);
    /** The next bytes of the response, good until the return. No call on this client from here. */
    int (*on_part)(void* context, hako_client_view part);
} hako_client_sink;

/**
 * As invoke, but hands the response to `sink` as it comes; one of a function that does not stream
 * is one part. `answer` then has everything but the payload, unless an error is one: with
 * function_error, possibly after parts, it is the error's JSON. The timeout is the longest wait for
 * each part. ECANCELED and ETIMEOUT leave the connection good and drop the rest when it comes;
 * only closing the client ends the function.
 */
HAKO_CLIENT_API int hako_client_invoke_stream(
    hako_client* client,
    const hako_client_request* request,
    const hako_client_sink* sink,
    hako_client_answer* answer,
    hako_client_error* error
);

/** Sends what is queued. Needed only where another thread receives. */
HAKO_CLIENT_API int hako_client_flush(hako_client* client, hako_client_error* error);

/** Sends what is queued, then waits for any one answer; they come in the order they finish. */
HAKO_CLIENT_API int hako_client_receive(
    hako_client* client, hako_client_answer* answer, hako_client_error* error
);

/**
 * A control operation ("CreateFunction") with Lambda's request JSON and, if it takes one, the code
 * package (`blob`, at most 50 MiB). `answer->payload` is the answer's or error's JSON.
 */
HAKO_CLIENT_API int hako_client_control(
    hako_client* client,
    hako_client_view operation,
    hako_client_view json,
    hako_client_view blob,
    hako_client_answer* answer,
    hako_client_error* error
);

/** One round trip to the engine; `round_trip_us` may be NULL. */
HAKO_CLIENT_API int hako_client_ping(
    hako_client* client, int64_t* round_trip_us, hako_client_error* error
);

#ifdef __cplusplus
}
#endif

#endif
