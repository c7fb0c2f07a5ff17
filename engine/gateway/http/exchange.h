#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/base/byte_buffer.h"
#include "engine/gateway/http/message.h"
#include "engine/gateway/http/reader.h"
#include "engine/gateway/http/response.h"
#include "engine/meter/request_id.h"

namespace hako::gateway::http {

class Connection;
class HttpServer;

/// What a connection borrows while a request of its is being read or answered: buffers and the
/// writer of the answer. Pooled by the server.
class Exchange final : public ResponseWriter {
public:
    explicit Exchange(HttpServer& server);
    ~Exchange() = default;

    /// For the connection's present request; `reader` keeps what was received.
    void begin(Connection& connection);
    [[nodiscard]] RequestReader& reader() noexcept { return reader_; }

    void send(const ResponseHead& head, std::string_view body) override;
    [[nodiscard]] Result<void> begin(const ResponseHead& head) override;
    [[nodiscard]] Result<void> write(std::string_view bytes) override;
    [[nodiscard]] Result<void> finish() override;
    void abort() override;
    [[nodiscard]] bool is_gone() const noexcept override;
    void cancel_when_gone() override;
    void release_body() noexcept override;

    /// Ends the answer after the handler has returned: sends what the socket did not take at once,
    /// parking. False: the connection cannot go on.
    [[nodiscard]] bool complete();
    [[nodiscard]] bool is_last() const noexcept { return closes_; }
    /// The memory counted for this exchange is now so much.
    void account(std::size_t bytes) noexcept;

private:
    enum class State : std::uint8_t { kFresh, kStreaming, kDone, kAborted };

    void format_head(const ResponseHead& head, Framing framing, std::uint64_t length_bytes);
    [[nodiscard]] Result<void> send_pieces(std::span<const std::string_view> pieces);

    HttpServer& server_;
    Connection* connection_ = nullptr;
    RequestReader reader_;
    std::array<char, meter::kRequestIdTextBytes> id_text_{};
    ByteBuffer head_;
    ByteBuffer unsent_;
    std::size_t counted_bytes_ = 0;
    State state_ = State::kFresh;
    Framing framing_ = Framing::kLength;
    bool is_head_method_ = false;
    bool closes_ = false;
};

}  // namespace hako::gateway::http
