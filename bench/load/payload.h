#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hako::bench {

/// JSON texts of one fixed size that differ in a number, so that an answer can be matched with its
/// own request. From 28 bytes: {"id":"0000000042","pad":"aaa"}; below: a JSON string of the number.
class Payload {
public:
    static constexpr std::size_t kBytesMin = 3;

    /// `bytes` is at least kBytesMin.
    explicit Payload(std::size_t bytes);

    /// The text for `number`; valid until the next call.
    [[nodiscard]] std::string_view text(std::uint64_t number) noexcept;
    /// Whether `answer` is the text for `number`, byte for byte or but for white space between
    /// JSON tokens (Python's json.dumps adds it).
    [[nodiscard]] bool matches(std::uint64_t number, std::string_view answer) noexcept;

private:
    std::string text_;
    std::size_t digits_offset_ = 0;
    std::size_t digits_count_ = 0;
};

/// Whether two JSON texts have the same bytes but for white space outside strings.
[[nodiscard]] bool same_but_for_spaces(std::string_view left, std::string_view right) noexcept;

}  // namespace hako::bench
