/*
 * A native function that streams as it is told, well or badly:
 * {"do":"fail","n":300000,"part":1000,"type":"text/plain"} writes n bytes in parts and then breaks
 * off. Byte i of a stream is i % 251.
 */
#include "hako/function.h"

#include <stdio.h>

#define PATTERN_BYTES 251u

static int told_to(const hako_invocation* inv, const char* what) {
    return memmem(inv->event.data, inv->event.bytes, what, strlen(what)) != NULL;
}

static size_t number_of(const hako_invocation* inv, const char* name, size_t otherwise) {
    const char* const at = memmem(inv->event.data, inv->event.bytes, name, strlen(name));
    return at != NULL ? strtoul(at + strlen(name), NULL, 10) : otherwise;
}

/* A page and more of the pattern, so that a part can begin anywhere in it. */
static const char* pattern_at(uint64_t offset, size_t* bytes) {
    static char pattern[PATTERN_BYTES * 1024];
    static int is_made;
    for (size_t i = 0; is_made == 0 && i < sizeof(pattern); ++i) {
        pattern[i] = (char)(i % PATTERN_BYTES);
    }
    is_made = 1;
    *bytes = sizeof(pattern) - (size_t)(offset % PATTERN_BYTES);
    return pattern + offset % PATTERN_BYTES;
}

static int write_pattern(hako_invocation* inv, size_t bytes, size_t part_bytes) {
    for (uint64_t done = 0; done < bytes;) {
        size_t part = 0;
        const char* const from = pattern_at(done, &part);
        part = part < part_bytes ? part : part_bytes;
        part = part < bytes - done ? part : (size_t)(bytes - done);
        const int error = hako_respond_write(inv, from, part);
        if (error != 0) {
            return error;
        }
        done += part;
    }
    return 0;
}

/* The same, written in place. */
static int fill_pattern(hako_invocation* inv, size_t bytes) {
    for (uint64_t done = 0; done < bytes;) {
        size_t room = 0;
        size_t part = 0;
        char* const place = hako_respond_room(inv, &room);
        const char* const from = pattern_at(done, &part);
        if (place == NULL) {
            return EFBIG;
        }
        part = part < room ? part : room;
        part = part < bytes - done ? part : (size_t)(bytes - done);
        memcpy(place, from, part);
        const int error = hako_respond_commit(inv, part);
        if (error != 0) {
            return error;
        }
        done += part;
    }
    return 0;
}

static void ring(const hako_invocation* inv) {
    const uint64_t one = 1;
    (void)!write(inv->shim->doorbell_fd, &one, sizeof(one));
}

/* What no honest worker would do to its channel. */
static void lie(hako_invocation* inv) {
    struct hako_channel* const channel = inv->shim->channel;
    if (told_to(inv, "\"lie-put\"")) {
        __atomic_store_n(&channel->stream_put, inv->stream.put + 0x10000000u, __ATOMIC_SEQ_CST);
    } else if (told_to(inv, "\"lie-rings\"")) {
        for (int i = 0; i < 100000; ++i) {
            ring(inv);
        }
    } else if (told_to(inv, "\"lie-end\"")) {
        hako_shim shim = *inv->shim;
        hako_shim_respond(&shim, HAKO_RESPONSE_RESULT, 4);
    } else {
        return;
    }
    ring(inv);
    for (;;) {
        pause();
    }
}

/* Begins a stream of a type that is no header line. */
static void lie_about_type(hako_invocation* inv) {
    struct hako_channel* const channel = inv->shim->channel;
    memset(channel->stream_type, 'x', sizeof(channel->stream_type));
    if (told_to(inv, "\"lie-header\"")) {
        memcpy(channel->stream_type, "a/b\r\nSet-Cookie: c", 19);
    }
    __atomic_store_n(&channel->stream_seq, channel->request_seq, __ATOMIC_SEQ_CST);
    ring(inv);
    for (;;) {
        pause();
    }
}

static int misbehave(hako_invocation* inv) {
    if (told_to(inv, "\"fail\"")) {
        return hako_fail(inv, "Stream.Broke", "in the middle");
    }
    if (told_to(inv, "\"status\"")) {
        return 42;
    }
    if (told_to(inv, "\"respond\"")) {
        return hako_respond(inv, "\"late\"", 6);
    }
    if (told_to(inv, "\"exit\"")) {
        exit(7);
    }
    if (told_to(inv, "\"pause\"")) {
        for (;;) {
            pause();
        }
    }
    lie(inv);
    return 0;
}

static int begin(hako_invocation* inv) {
    if (told_to(inv, "\"http\"")) {
        return hako_respond_begin_http(
            inv, "{\"statusCode\":201,\"headers\":{\"content-type\":\"text/plain\"}}"
        );
    }
    if (told_to(inv, "\"bad-type\"")) {
        return hako_respond_begin(inv, "text/plain\r\nX: y");
    }
    return hako_respond_begin(inv, told_to(inv, "\"default\"") ? NULL : "text/plain");
}

static int stream(hako_invocation* inv) {
    const size_t bytes = number_of(inv, "\"n\":", 0);
    const size_t part_bytes = number_of(inv, "\"part\":", 65536);
    if (told_to(inv, "\"whole\"")) {
        return hako_respond(inv, "\"whole\"", 7);
    }
    if (told_to(inv, "\"lie-type\"") || told_to(inv, "\"lie-header\"")) {
        lie_about_type(inv);
    }
    hako_log("before the stream");
    int error = begin(inv);
    if (error == 0) {
        error = told_to(inv, "\"room\"") ? fill_pattern(inv, bytes)
                                         : write_pattern(inv, bytes, part_bytes);
    }
    if (error != 0) {
        /* EFBIG answers with the size error if it is let stand. */
        return error == EFBIG ? 0 : hako_fail(inv, "Stream.Errno", strerror(error));
    }
    const int status = misbehave(inv);
    if (status != 0 || told_to(inv, "\"respond\"")) {
        return status;
    }
    hako_log("behind the stream");
    return hako_respond_end(inv);
}

HAKO_FUNCTION(stream)
