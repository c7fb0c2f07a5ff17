#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/base/byte_buffer.h"
#include "engine/gateway/http/message.h"
#include "engine/gateway/url/answer.h"
#include "engine/gateway/url/prelude.h"
#include "engine/instance/invoke_types.h"
#include "engine/registry/cors_rules.h"

namespace hako::gateway::url {

/// How the result of one invocation becomes an answer.
struct CallRules {
    AnswerForm form = AnswerForm::kFunctionUrl;
    bool streams = false;                       ///< the answer may go out while it is made
    const registry::CorsRules* cors = nullptr;  ///< null: none
    std::uint64_t payload_bytes_max = 0;
};

/// Sends an answer after the rules of its site, and a request id where API Gateway has one.
void send_answer(
    const http::Request& request, const CallRules& rules, Answer answer, http::ResponseWriter& out
);

/// The front door's side of an invocation for an HTTP request.
class UrlCall final : public instance::InvokeObserver {
public:
    UrlCall(
        const http::Request& request,
        const CallRules& rules,
        AnswerReader& reader,
        http::ResponseWriter& out
    );

    /// The event to write; dropped as soon as the function has it.
    [[nodiscard]] ByteBuffer& event() noexcept { return event_; }
    /// Ends a streamed answer; call it when `invoke` has returned. May park.
    void finish();

    void payload_taken() override;
    [[nodiscard]] bool is_gone() const override { return out_.is_gone(); }
    void reply(const instance::InvokeReply& reply) override;
    [[nodiscard]] bool wants_stream() const override { return rules_.streams; }
    [[nodiscard]] Result<void> on_begin(const instance::StreamHead& head) override;
    [[nodiscard]] Result<void> on_part(std::string_view part) override;

private:
    [[nodiscard]] Result<void> begin(Answer& answer);
    void end_stream(const instance::InvokeReply& reply);

    const http::Request& request_;
    const CallRules& rules_;
    AnswerReader& reader_;
    http::ResponseWriter& out_;
    ByteBuffer event_;
    std::optional<PreludeReader> prelude_;
    bool is_begun_ = false;  // the head has gone out
    bool is_whole_ = false;  // what was begun is to be finished
};

}  // namespace hako::gateway::url
