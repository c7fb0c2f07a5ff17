#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hako::gateway::lambda {

/// Percent-decoded text, or a view of what was given where there is nothing to decode: what is
/// invoked mostly has a plain name.
class DecodedText {
public:
    /// Of a path segment, or of a query value where `+` is a space. False: a percent sign without
    /// two hexadecimal digits behind it.
    [[nodiscard]] bool decode(std::string_view encoded, bool in_query);
    [[nodiscard]] std::string_view text() const noexcept { return text_; }

private:
    std::string_view text_;
    std::string storage_;
};

/// The encoded value of the first `key=value` in a query; nothing if there is none. `key` has no
/// character that would be encoded.
[[nodiscard]] std::optional<std::string_view> find_query_value(
    std::string_view query, std::string_view key
) noexcept;

}  // namespace hako::gateway::lambda
