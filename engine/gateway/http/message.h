#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "engine/base/result.h"

// What the HTTP front door and its handlers say to each other: one request, and where its answer
// goes. The codec and the connections stand beside this file, what is served behind the router.
namespace hako::gateway::http {

struct Header {
    std::string_view name;
    std::string_view value;
};

/// Compares without case (ASCII).
[[nodiscard]] bool is_same_word(std::string_view one, std::string_view other) noexcept;

/// Who is at the other end.
struct Peer {
    bool is_unix = false;
    bool is_loopback = false;  ///< 127.0.0.0/8 or ::1
    uid_t uid = 0;             ///< of a Unix peer (SO_PEERCRED), as are the next two
    gid_t gid = 0;
    pid_t pid = 0;
    std::string_view address;  ///< in digits; "" for a Unix peer
    std::uint16_t port = 0;
};

/// One whole request. Views are into the connection's memory and stay valid until the handler
/// returns.
struct Request {
    std::string_view method;
    std::string_view target;          ///< as sent, percent-encoded: path?query
    std::string_view path;            ///< target before the '?'
    std::string_view query;           ///< target behind it
    std::span<const Header> headers;  ///< in order of arrival, names as sent
    std::string_view body;            ///< chunks joined; 64 readable bytes follow it
    std::string_view request_id;      ///< what the answer's x-amzn-RequestId says: lower-case uuid
    Peer peer;

    /// The first header of that name, compared without case; empty if there is none.
    [[nodiscard]] std::string_view header(std::string_view name) const noexcept;
};

/// Status and headers of an answer. Content-Length, Transfer-Encoding, Connection, Date and
/// x-amzn-RequestId are the writer's.
struct ResponseHead {
    std::uint32_t status = 200;
    std::string_view content_type = "application/json";  ///< "" sends none
    std::span<const Header> headers;
};

/// Where the answer to one request goes: either `send`, or `begin`, any number of `write`, and
/// `finish` (chunked). Handlers run on a fiber of their own.
class ResponseWriter {
public:
    ResponseWriter() = default;
    ResponseWriter(const ResponseWriter&) = delete;
    ResponseWriter& operator=(const ResponseWriter&) = delete;

    /// The whole answer at once; copies what it keeps, does not park.
    virtual void send(const ResponseHead& head, std::string_view body) = 0;

    /// Starts an answer whose length is not known yet. The three park while the client reads more
    /// slowly than the handler writes. Errors: kClosed (the client has gone), kTimeout, kCancelled.
    [[nodiscard]] virtual Result<void> begin(const ResponseHead& head) = 0;
    [[nodiscard]] virtual Result<void> write(std::string_view bytes) = 0;
    [[nodiscard]] virtual Result<void> finish() = 0;
    /// Ends the connection without finishing: how HTTP/1.1 says that a begun answer failed.
    virtual void abort() = 0;

    /// The client has left: nobody wants the answer.
    [[nodiscard]] virtual bool is_gone() const noexcept = 0;
    /// From now on the client's leaving cancels the handler's fiber, so that nothing runs for
    /// nobody: what invokes a function says so. Control operations are seen through instead.
    virtual void cancel_when_gone() = 0;
    /// The body has been copied: its memory may be reused while the handler goes on.
    virtual void release_body() noexcept = 0;

protected:
    ~ResponseWriter() = default;
};

}  // namespace hako::gateway::http
