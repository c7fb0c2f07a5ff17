#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

#include "engine/gateway/http/message.h"

// What a function returned, as the HTTP answer that function URLs and API Gateway make of it
// (docs/http-events.md).
namespace hako::gateway::url {

enum class AnswerForm : std::uint8_t {
    kFunctionUrl,  ///< version 2.0; a body that is no string is given as JSON
    kHttpApi2,     ///< version 2.0
    kHttpApi1,     ///< version 1.0 of an HTTP API
    kRestApi       ///< version 1.0; members it does not know are an error
};

/// An answer with nothing in it that could break out of the message: names are tokens, values have
/// no line ends. Framing headers and those of one connection are left out.
struct Answer {
    std::uint32_t status = 200;
    std::string content_type;  ///< empty: none
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    std::string_view verbatim;  ///< the result itself, in place of `body`; not empty if it is used

    [[nodiscard]] std::string_view content() const noexcept {
        return verbatim.empty() ? std::string_view(body) : verbatim;
    }
    /// Appends the headers for the writer; they live as long as this and are not changed.
    void view_headers(std::vector<http::Header>& out) const;
};

/// The bounds of an answer's header, in bytes of names and values.
inline constexpr std::size_t kAnswerHeaderBytesMax = std::size_t{64} * 1024;

/// Between the prelude of a streamed answer and its body. What is longer than any header may be is
/// no prelude.
inline constexpr std::string_view kPreludeMark{"\0\0\0\0\0\0\0\0", 8};
inline constexpr std::size_t kPreludeBytesMax = 2 * kAnswerHeaderBytesMax;

/// Reads results; keeps the memory of its parser. One thread; no call parks.
class AnswerReader {
public:
    /// The answer that `result` asks for, or `malformed_answer(form)`. May be a view of `result`.
    [[nodiscard]] Answer read(std::string_view result, AnswerForm form);
    /// The prelude of a streamed answer: status, headers and cookies, without a body. False if it
    /// is not one.
    [[nodiscard]] bool read_prelude(std::string_view json, Answer& answer);

private:
    [[nodiscard]] bool fill(std::string_view result, AnswerForm form, Answer& answer);
    [[nodiscard]] bool fill_from_stream(std::string_view result, Answer& answer);

    simdjson::dom::parser parser_;
};

/// What the client is told when the function failed or its result cannot be an answer.
[[nodiscard]] Answer malformed_answer(AnswerForm form);
/// ... when no more invocations may run; `refusal` is Invoke's own answer.
[[nodiscard]] Answer throttle_answer(AnswerForm form, std::string_view refusal);
/// ... when the event would be over the limit.
[[nodiscard]] Answer too_large_answer(AnswerForm form, std::uint64_t bytes_max);

/// RFC 9110: 1xx, 204 and 304 have no content.
[[nodiscard]] constexpr bool may_have_body(std::uint32_t status) noexcept {
    return status >= 200 && status != 204 && status != 304;
}

}  // namespace hako::gateway::url
