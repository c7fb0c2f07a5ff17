#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/gateway/http/message.h"
#include "engine/gateway/lambda/invoke.h"
#include "engine/instance/invoke_types.h"

namespace hako::gateway::lambda {

/// Answers an InvokeWithResponseStream: a PayloadChunk event for each part of the response, one for
/// all of it if the function does not stream, and InvokeComplete at the end.
class InvokeStreamAnswer final : public instance::InvokeObserver {
public:
    InvokeStreamAnswer(http::ResponseWriter& out, const InvokeRequest& request)
        : out_(out), request_(request) {}

    void payload_taken() override { out_.release_body(); }
    [[nodiscard]] bool is_gone() const override { return out_.is_gone(); }
    [[nodiscard]] bool wants_stream() const override { return true; }
    [[nodiscard]] Result<void> on_begin(const instance::StreamHead& head) override;
    [[nodiscard]] Result<void> on_part(std::string_view part) override;
    void reply(const instance::InvokeReply& reply) override;
    /// Sends the end of what was streamed; after `invoke` has returned. Parks.
    void finish();

private:
    void send_whole(const instance::InvokeReply& reply);
    void send_refusal(const instance::InvokeReply& reply);

    http::ResponseWriter& out_;
    const InvokeRequest& request_;
    std::string buffer_;  // the event that is sent next
    bool streamed_ = false;
};

}  // namespace hako::gateway::lambda
