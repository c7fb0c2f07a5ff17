#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/wire/frame.h"

namespace hako::bench {

/// One answer; views into the connection's buffer, valid until the next receive().
struct Answer {
    wire::FrameHeader header;
    std::string_view meta;
    std::string_view payload;
};

/// One connection to the frame socket. Nothing here blocks but receive(kWait).
class Connection {
public:
    enum class Wait : std::uint8_t { kNo, kWait };

    /// Connects to the Unix stream socket at `path`. A receive(kWait) fails with kTimeout after
    /// `stall_ms`. Errors: kInvalid (path too long), kSystem.
    [[nodiscard]] static Result<Connection> make(const std::string& path, std::int64_t stall_ms);

    /// Appends a frame to the outgoing bytes.
    void queue(wire::FrameHeader header, std::string_view meta, std::string_view payload);
    /// Sends what the socket takes now. Errors: kClosed, kSystem.
    [[nodiscard]] Result<void> flush();
    [[nodiscard]] bool has_output() const noexcept { return out_sent_ < out_.size(); }

    /// Reads once into the buffer; true if bytes came. Errors: kClosed, kTimeout, kSystem.
    [[nodiscard]] Result<bool> receive(Wait wait);
    /// The next whole answer in the buffer, if any. Errors: kProtocol.
    [[nodiscard]] Result<std::optional<Answer>> next();

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

private:
    explicit Connection(UniqueFd fd);
    void make_room(std::size_t bytes);

    UniqueFd fd_;
    std::string out_;
    std::size_t out_sent_ = 0;
    std::vector<char> in_;
    std::size_t in_begin_ = 0;
    std::size_t in_end_ = 0;
};

/// Meta data of an Invoke frame for `function`, request-response, without a log tail.
[[nodiscard]] std::string invoke_meta(std::string_view function);
/// Meta data of a Control frame.
[[nodiscard]] std::string control_meta(std::string_view operation, std::string_view json);

}  // namespace hako::bench
