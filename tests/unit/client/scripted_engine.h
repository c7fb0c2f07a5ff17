#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "engine/base/unique_fd.h"
#include "engine/wire/frame.h"

namespace hako::client_test {

/// One request as the scripted engine read it.
struct Frame {
    wire::FrameHeader header;
    std::string meta;
    std::string payload;
};

struct ResultParts {
    std::uint64_t correlation = 0;
    std::string_view payload;
    std::uint32_t status = 200;
    std::uint16_t flags = 0;
    std::string_view version = "$LATEST";
    std::string_view error_code;
    std::string_view log_tail;
};

inline constexpr std::string_view kRequestId = "6bc28136-xmpl-4365-b021-0ce6b2e64ab0";

/// Bytes of a frame with any header.
[[nodiscard]] std::string frame_bytes(
    const wire::FrameHeader& header, std::string_view meta, std::string_view payload
);
/// Bytes of an InvokeResult frame with known figures (see the .cc).
[[nodiscard]] std::string result_bytes(const ResultParts& parts);
[[nodiscard]] std::string control_result_bytes(
    std::uint64_t correlation, std::uint32_t status, std::string_view code, std::string_view json
);

/// Reads one frame; a frame with an empty name (`header.magic` 0) at the end of the stream.
[[nodiscard]] Frame read_frame(int fd);
/// False once the client is gone.
bool write_all(int fd, std::string_view bytes);

/// An engine end of a socket pair, played by `script` in a thread. The other end is for the client.
class ScriptedEngine {
public:
    using Script = std::function<void(int fd)>;
    explicit ScriptedEngine(Script script);
    ScriptedEngine(const ScriptedEngine&) = delete;
    ScriptedEngine& operator=(const ScriptedEngine&) = delete;
    /// Waits for the script; the client must be closed or the script at its end.
    ~ScriptedEngine();

    /// The client's end; once.
    [[nodiscard]] int take_client_fd() noexcept { return client_end_.release(); }
    void join();

private:
    UniqueFd client_end_;
    std::thread thread_;
};

}  // namespace hako::client_test
