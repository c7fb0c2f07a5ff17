/*
 * What the author of a native function includes, in C or C++.
 *
 *     #include "hako/function.h"
 *     static int greet(hako_invocation* inv) { return hako_respond(inv, "\"hello\"", 7); }
 *     HAKO_FUNCTION(greet)
 *
 * One source, two ways to build it, nothing to link:
 *   shared object  cc -shared -fPIC -o libgreet.so greet.c     Runtime native,     Handler
 * libgreet.so executable     cc -o greet greet.c                         Runtime executable,
 * Handler greet
 *
 * In C a handler is `int handler(hako_invocation*)`: 0 means that the response given (or `null`) is
 * the answer. In C++ it may also be `std::string handler(std::string_view event, hako::Context&)`,
 * and exceptions become error answers. docs/functions.md shows all of it.
 */
#ifndef HAKO_FUNCTION_H
#define HAKO_FUNCTION_H

#include "hako/shim.h" /* first: it asks libc for its extensions */

#include <stdarg.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The loader of shared objects and the header a handler was compiled with must agree on the struct
 * below. It only grows: 1 has what stands before `parts`. */
#define HAKO_FUNCTION_ABI 2u

/* One invocation. Made by the runtime; handlers use the functions below and may read, but not
 * write, the fields. */
typedef struct hako_invocation {
    uint32_t abi;
    uint32_t outcome; /* the hako_response_kind given so far; 0: none */
    hako_view event;
    hako_view client_context;
    const char* request_id;
    const char* trace_id;
    const char* invoked_function_arn;
    const char* cognito_identity;
    int64_t deadline_monotonic_us;
    int64_t deadline_unix_ms;
    char* response; /* response_bytes_max bytes of room */
    size_t response_bytes_max;
    size_t response_bytes; /* as asked for: may be more than fits, then the caller sees the size
                              error */
    uint32_t parts; /* hako_parts_: how an answer given in parts goes out; 0: none was begun */
    const hako_shim* shim;
    hako_stream stream;
} hako_invocation;

enum hako_parts_ {
    HAKO_PARTS_STREAMED_ = 1, /* to a caller that takes it as it comes */
    HAKO_PARTS_JOINED_ = 2    /* to one that wants it whole */
};

typedef int (*hako_handler_fn)(hako_invocation* inv);

/* ---- what came in ---- */

/* The event: the caller's JSON, byte for byte, in shared memory (no copy, no NUL). */
static inline hako_view hako_event(const hako_invocation* inv) {
    return inv->event;
}
static inline hako_view hako_client_context(const hako_invocation* inv) {
    return inv->client_context;
}
static inline const char* hako_request_id(const hako_invocation* inv) {
    return inv->request_id;
}
static inline const char* hako_trace_id(const hako_invocation* inv) {
    return inv->trace_id;
}
static inline const char* hako_invoked_function_arn(const hako_invocation* inv) {
    return inv->invoked_function_arn;
}
static inline int64_t hako_remaining_ms(const hako_invocation* inv) {
    return hako_remaining_ms_until(inv->deadline_monotonic_us);
}

static inline const char* hako_env_(const char* name) {
    const char* const value = getenv(name);
    return value != NULL ? value : "";
}
static inline const char* hako_function_name(void) {
    return hako_env_("AWS_LAMBDA_FUNCTION_NAME");
}
static inline const char* hako_function_version(void) {
    return hako_env_("AWS_LAMBDA_FUNCTION_VERSION");
}
static inline const char* hako_log_group_name(void) {
    return hako_env_("AWS_LAMBDA_LOG_GROUP_NAME");
}
static inline const char* hako_log_stream_name(void) {
    return hako_env_("AWS_LAMBDA_LOG_STREAM_NAME");
}
/* The configured memory in MiB; 0 outside hako. */
static inline unsigned hako_memory_mib(void) {
    return HAKO_NUMBER_(unsigned, strtoul(hako_env_("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), NULL, 10));
}

/* ---- what goes out ---- */

/* Gives `bytes` of JSON as the answer; the last call counts. Always 0, so that a handler can
 * `return hako_respond()`. */
static inline int hako_respond(hako_invocation* inv, const void* json, size_t bytes) {
    if (bytes != 0 && bytes <= inv->response_bytes_max) {
        memcpy(inv->response, json, bytes);
    }
    inv->response_bytes = bytes;
    inv->outcome = HAKO_RESPONSE_RESULT;
    return 0;
}

/* Room for an answer written in place, without a copy. */
static inline char* hako_response_buffer(hako_invocation* inv, size_t* bytes_max) {
    *bytes_max = inv->response_bytes_max;
    return inv->response;
}
/* The first `bytes` of the response buffer are the answer. Always 0. */
static inline int hako_respond_in_place(hako_invocation* inv, size_t bytes) {
    inv->response_bytes = bytes;
    inv->outcome = HAKO_RESPONSE_RESULT;
    return 0;
}

/* Appends to the answer under construction; what does not fit is only counted. */
static inline void hako_put_(hako_invocation* inv, const char* data, size_t bytes) {
    const size_t at = inv->response_bytes;
    if (at <= inv->response_bytes_max && bytes <= inv->response_bytes_max - at) {
        memcpy(inv->response + at, data, bytes);
    }
    inv->response_bytes = at + bytes;
}

/* Length of the UTF-8 sequence that the `left` bytes at `text` begin with; 0 if it is invalid. */
static inline size_t hako_utf8_length_(const char* text, size_t left) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned first = HAKO_NUMBER_(unsigned char, text[0]);
    const size_t bytes = first < 0x80   ? 1
                         : first < 0xc2 ? 0
                         : first < 0xe0 ? 2
                         : first < 0xf0 ? 3
                         : first < 0xf5 ? 4
                                        : 0;
    if (bytes <= 1 || bytes > left) {
        return bytes == 1 ? 1 : 0;
    }
    uint32_t code = first & (0x7fu >> bytes);
    for (size_t i = 1; i < bytes; ++i) {
        const unsigned next = HAKO_NUMBER_(unsigned char, text[i]);
        if ((next & 0xc0u) != 0x80u) {
            return 0;
        }
        code = code << 6 | (next & 0x3fu);
    }
    return code < least[bytes] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : bytes;
}

/* Appends `text` as a JSON string. Bytes that are not UTF-8 become U+FFFD: the answer must stay
 * valid JSON. */
static inline void hako_put_string_(hako_invocation* inv, const char* text, size_t bytes) {
    static const char hex[] = "0123456789abcdef";
    hako_put_(inv, "\"", 1);
    for (size_t i = 0; i < bytes;) {
        const unsigned c = HAKO_NUMBER_(unsigned char, text[i]);
        const size_t length = hako_utf8_length_(text + i, bytes - i);
        char escape[7] = {'\\', text[i], 0, 0, 0, 0, 0};
        if (c == '"' || c == '\\') {
            hako_put_(inv, escape, 2);
        } else if (c == '\n' || c == '\t' || c == '\r') {
            escape[1] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
            hako_put_(inv, escape, 2);
        } else if (c < 0x20) {
            memcpy(escape, "\\u00", 4);
            escape[4] = hex[c >> 4];
            escape[5] = hex[c & 15];
            hako_put_(inv, escape, 6);
        } else if (length == 0) {
            hako_put_(inv, "\xef\xbf\xbd", 3);
        } else {
            hako_put_(inv, text + i, length);
        }
        i += length != 0 ? length : 1;
    }
    hako_put_(inv, "\"", 1);
}

/* Starts {"errorMessage":..,"errorType":..,"stackTrace":[ ; the caller appends the frames and
 * closes it. */
static inline void hako_begin_error_(hako_invocation* inv, const char* type, const char* message) {
    inv->outcome = HAKO_RESPONSE_ERROR;
    inv->response_bytes = 0;
    hako_put_(inv, "{\"errorMessage\":", 16);
    hako_put_string_(inv, message, strlen(message));
    hako_put_(inv, ",\"errorType\":", 13);
    hako_put_string_(inv, type, strlen(type));
    hako_put_(inv, ",\"stackTrace\":[", 15);
}

/*
 * Fails the invocation: the caller gets {"errorMessage":message,"errorType":type,"stackTrace":[]}
 * and X-Amz-Function-Error. Replaces any response given before. Always 1, so that a handler can
 * `return hako_fail()`.
 */
static inline int hako_fail(hako_invocation* inv, const char* type, const char* message) {
    hako_begin_error_(inv, type, message);
    hako_put_(inv, "]}", 2);
    return 1;
}

/* ---- an answer in parts ---- */

/*
 * Begins an answer that goes out while the function runs. `content_type` NULL means
 * application/octet-stream; it is what a caller sees that takes a stream (InvokeWithResponseStream,
 * a function URL). For one that wants the answer whole (Invoke) the parts are joined, up to
 * response_bytes_max. An answer given before is dropped; hako_fail breaks this one off. Answers 0,
 * or an errno value: EINVAL (no content type), EALREADY, ENOTSUP (a runtime older than this
 * header).
 */
static inline int hako_respond_begin(hako_invocation* inv, const char* content_type) {
    if (inv->abi < 2) {
        return ENOTSUP;
    }
    if (inv->parts != 0) {
        return EALREADY;
    }
    const int error = hako_stream_open(&inv->stream, inv->shim, content_type);
    if (error != 0 && error != ENOTSUP) {
        return error;
    }
    inv->response_bytes = 0;
    inv->outcome = error == 0 ? HAKO_RESPONSE_STREAM_END : HAKO_RESPONSE_RESULT;
    inv->parts = error == 0 ? HAKO_PARTS_STREAMED_ : HAKO_PARTS_JOINED_;
    if (error == 0) {
        /* What hako_fail writes must not hit what the engine has not taken yet. */
        inv->response = hako_stream_error_buffer(&inv->stream);
        inv->response_bytes_max = HAKO_STREAM_ERROR_BYTES_MAX;
    }
    return 0;
}

/* Appends to an answer that was begun, and waits while its caller is slow. Answers 0, or an errno
 * value: EINVAL (not begun), EFBIG (the answer becomes too large; it ends with the size error). */
static inline int hako_respond_write(hako_invocation* inv, const void* data, size_t bytes) {
    if (inv->abi < 2 || inv->parts == 0) {
        return EINVAL;
    }
    if (inv->parts == HAKO_PARTS_JOINED_) {
        hako_put_(inv, HAKO_FROM_VOID_(const char*, data), bytes);
        return inv->response_bytes <= inv->response_bytes_max ? 0 : EFBIG;
    }
    const int error = hako_stream_put(&inv->stream, data, bytes);
    if (error == EFBIG) {
        inv->outcome = HAKO_RESPONSE_TOO_LARGE;
    }
    return error;
}

/*
 * The same without a copy: room for the next `*bytes` bytes, of which hako_respond_commit publishes
 * as many as were written. Waits while its caller is slow. NULL: as EINVAL and EFBIG above.
 */
static inline char* hako_respond_room(hako_invocation* inv, size_t* bytes) {
    *bytes = 0;
    if (inv->abi < 2 || inv->parts == 0) {
        return NULL;
    }
    if (inv->parts == HAKO_PARTS_JOINED_) {
        if (inv->response_bytes >= inv->response_bytes_max) {
            inv->response_bytes = inv->response_bytes_max + 1;
            return NULL;
        }
        *bytes = inv->response_bytes_max - inv->response_bytes;
        return inv->response + inv->response_bytes;
    }
    const uint64_t left = inv->stream.bytes_max - inv->stream.bytes;
    if (left == 0) {
        inv->outcome = HAKO_RESPONSE_TOO_LARGE;
        return NULL;
    }
    char* const place = hako_stream_room(&inv->stream, bytes);
    *bytes = *bytes < left ? *bytes : HAKO_NUMBER_(size_t, left);
    return place;
}
static inline int hako_respond_commit(hako_invocation* inv, size_t bytes) {
    if (inv->abi < 2 || inv->parts == 0) {
        return EINVAL;
    }
    if (inv->parts == HAKO_PARTS_JOINED_) {
        inv->response_bytes += bytes;
        return 0;
    }
    return hako_stream_commit(&inv->stream, bytes);
}

/*
 * Begins an answer of an HTTP status and headers of its own, as Lambda's function URLs know it:
 * `prelude` is {"statusCode":200,"headers":{...},"cookies":[...]}; what is written afterwards is
 * the body.
 */
static inline int hako_respond_begin_http(hako_invocation* inv, const char* prelude) {
    static const char separator[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    int error = hako_respond_begin(inv, HAKO_STREAM_TYPE_HTTP);
    if (error == 0) {
        error = hako_respond_write(inv, prelude, strlen(prelude));
    }
    return error != 0 ? error : hako_respond_write(inv, separator, sizeof(separator));
}

/* The answer is complete, as it also is when the handler returns 0. Always 0. */
static inline int hako_respond_end(hako_invocation* inv) {
    (void)inv;
    return 0;
}

/* Writes one line to the function's log, like printf; the line end is added. */
__attribute__((format(printf, 1, 2))) static inline void hako_log(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* ---- the loop; the runtime for shared objects and every executable run this same code ---- */

/* What is to be answered when the parts of an answer have gone out. */
static inline void hako_finish_stream_(hako_invocation* inv) {
    if (inv->outcome == HAKO_RESPONSE_RESULT) {
        hako_fail(inv, "Runtime.HandlerError", "hako_respond after hako_respond_begin");
    }
    if (inv->outcome != HAKO_RESPONSE_ERROR) {
        inv->response_bytes = 0;
        return;
    }
    if (inv->response_bytes > inv->response_bytes_max) {
        hako_fail(inv, "Runtime.HandlerError", "The error is too large to be told");
    }
    inv->outcome = HAKO_RESPONSE_STREAM_ERROR;
}

/* Runs one INVOKE through `handler` and answers it. Answers 0 or an errno value. */
static inline int hako_run_invocation_(hako_shim* shim, hako_handler_fn handler) {
    const struct hako_channel* const channel = shim->channel;
    hako_invocation inv;
    memset(&inv, 0, sizeof(inv));
    inv.abi = HAKO_FUNCTION_ABI;
    inv.event = hako_shim_event(shim);
    inv.client_context = hako_shim_client_context(shim);
    inv.request_id = channel->request_id;
    inv.trace_id = channel->trace_id;
    inv.invoked_function_arn = channel->invoked_function_arn;
    inv.cognito_identity = channel->cognito_identity;
    inv.deadline_monotonic_us = channel->deadline_monotonic_us;
    inv.deadline_unix_ms = channel->deadline_unix_ms;
    inv.response = hako_shim_response_buffer(shim);
    inv.response_bytes_max = HAKO_RESPONSE_BYTES_MAX;
    inv.shim = shim;
    const int status = handler(&inv);
    if (status != 0 && inv.outcome != HAKO_RESPONSE_ERROR) {
        char message[64];
        snprintf(message, sizeof(message), "The handler returned %d", status);
        hako_fail(&inv, "Runtime.HandlerError", message);
    } else if (inv.outcome == 0) {
        hako_respond(&inv, "null", 4);
    }
    if (inv.parts == HAKO_PARTS_STREAMED_) {
        hako_finish_stream_(&inv);
    }
    /* What was printed belongs to this invocation: it must be in the pipe before the engine sees
     * the answer. */
    fflush(stdout);
    fflush(stderr);
    return hako_shim_respond(shim, inv.outcome, inv.response_bytes);
}

/* Answers READY to the INIT at hand, then serves until SHUTDOWN. Answers the exit status for the
 * process. */
static inline int hako_serve(hako_shim* shim, hako_handler_fn handler) {
    fflush(stdout);
    fflush(stderr);
    int error = hako_shim_respond(shim, HAKO_RESPONSE_READY, 0);
    while (error == 0) {
        const uint32_t kind = hako_shim_wait(shim);
        if (kind == HAKO_REQUEST_SHUTDOWN) {
            fflush(stdout);
            fflush(stderr);
            return 0;
        }
        error = kind == HAKO_REQUEST_INVOKE ? hako_run_invocation_(shim, handler) : EPROTO;
    }
    fprintf(stderr, "hako: the channel failed: %s\n", strerror(error));
    return 1;
}

/* The whole of main() for an executable. */
static inline int hako_main(hako_handler_fn handler) {
    hako_shim shim;
    const int error = hako_shim_attach(&shim);
    if (error != 0) {
        fprintf(stderr, "hako: this program must be started by hako: %s\n", strerror(error));
        return 1;
    }
    /* A pipe would make stdout block-buffered, and a function that is killed would lose its last
     * lines. */
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (hako_shim_wait(&shim) != HAKO_REQUEST_INIT) {
        fprintf(stderr, "hako: the first request is not INIT\n");
        return 1;
    }
    return hako_serve(&shim, handler);
}

#ifdef __cplusplus
}  // extern "C"

#include "hako/function_cpp.h"
#define HAKO_CALL_(handler, inv) ::hako::detail::call(handler, inv)
#define HAKO_EXTERN_C_ extern "C"
#else
#define HAKO_CALL_(handler, inv) handler(inv)
#define HAKO_EXTERN_C_
#endif

/*
 * Makes `handler` the function that a shared object exports as `symbol`: Handler libx.so:symbol.
 * The functions that HAKO_FUNCTION makes are named hako_handler, which is what Handler libx.so
 * stands for.
 */
#define HAKO_EXPORT(symbol, handler)                                                    \
    HAKO_EXTERN_C_ __attribute__((visibility("default"))) int symbol(hako_invocation*); \
    HAKO_EXTERN_C_ int symbol(hako_invocation* inv) {                                   \
        return HAKO_CALL_(handler, inv);                                                \
    }

/*
 * Makes `handler` the function of this shared object or executable. main() is weak and hidden: in a
 * shared object it is never called, and in a program that has its own main() (which then calls
 * hako_main) that one wins.
 */
#define HAKO_FUNCTION(handler)                                   \
    HAKO_EXPORT(hako_handler, handler)                           \
    __attribute__((weak, visibility("hidden"))) int main(void) { \
        return hako_main(hako_handler);                          \
    }

#endif /* HAKO_FUNCTION_H */
