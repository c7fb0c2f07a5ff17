#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/gateway/url/answer.h"

namespace hako::gateway::url {

/// What a runtime calls a streamed answer that begins with its status and headers: JSON, eight NUL
/// bytes, then the body (AWS "Response streaming").
inline constexpr std::string_view kPreludeType =
    "application/vnd.awslambda.http-integration-response";

/// Takes the prelude off the front of a stream that comes in pieces of any size.
class PreludeReader {
public:
    enum class State : std::uint8_t { kReading, kDone, kBroken };

    explicit PreludeReader(AnswerReader& reader) : reader_(reader) {}

    /// Takes the next piece. Once it is kDone `answer` has the head and `rest()` what came of the
    /// body in this piece. kBroken: too long, or no prelude; stays so.
    [[nodiscard]] State feed(std::string_view piece);
    [[nodiscard]] const Answer& answer() const noexcept { return answer_; }
    [[nodiscard]] Answer& answer() noexcept { return answer_; }
    [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

private:
    AnswerReader& reader_;
    State state_ = State::kReading;
    std::string text_;                      // the JSON so far, and NULs behind it
    std::size_t mark_ = std::string::npos;  // where those begin
    Answer answer_;
    std::string_view rest_;
};

}  // namespace hako::gateway::url
