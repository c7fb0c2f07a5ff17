#include "engine/gateway/url/prelude.h"

#include <algorithm>

namespace hako::gateway::url {

PreludeReader::State PreludeReader::feed(std::string_view piece) {
    rest_ = {};
    if (state_ != State::kReading) {
        rest_ = state_ == State::kDone ? piece : std::string_view();
        return state_;
    }
    // The mark may begin in an earlier piece; NUL does not occur in JSON text, so the first one is
    // it.
    const std::size_t before_bytes = text_.size();
    text_ += piece.substr(
        0, kPreludeBytesMax + kPreludeMark.size() - std::min(before_bytes, kPreludeBytesMax)
    );
    if (mark_ == std::string::npos) {
        mark_ = text_.find('\0', before_bytes);
    }
    const std::size_t json_bytes = std::min(mark_, text_.size());
    const std::string_view marks = std::string_view(text_).substr(json_bytes, kPreludeMark.size());
    const bool is_mark = std::ranges::all_of(marks, [](char byte) { return byte == '\0'; });
    if (json_bytes > kPreludeBytesMax || !is_mark) {
        state_ = State::kBroken;
    } else if (marks.size() == kPreludeMark.size()) {
        const bool is_answer =
            reader_.read_prelude(std::string_view(text_).substr(0, json_bytes), answer_);
        state_ = is_answer ? State::kDone : State::kBroken;
        rest_ = is_answer ? piece.substr(json_bytes + kPreludeMark.size() - before_bytes)
                          : std::string_view();
        text_ = {};
    }
    return state_;
}

}  // namespace hako::gateway::url
