#include "sandbox/sub_ids.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace hako::sandbox {
namespace {

/// The text up to `separator`, which is taken away with it.
std::string_view take_field(std::string_view& text, char separator) {
    const std::size_t end = std::min(text.find(separator), text.size());
    const std::string_view field = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return field;
}

std::optional<std::uint32_t> parse_id(std::string_view text) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(number)
                                                                    : std::nullopt;
}

}  // namespace

std::optional<SubIds> find_sub_ids(
    std::string_view text, std::string_view user_name, std::uint32_t user_id
) {
    std::optional<SubIds> best;
    const std::string number = std::to_string(user_id);
    while (!text.empty()) {
        std::string_view line = take_field(text, '\n');
        const std::string_view user = take_field(line, ':');
        const auto first = parse_id(take_field(line, ':'));
        const auto count = parse_id(line);
        if (user.empty() || (user != user_name && user != number) || !first || !count) {
            continue;
        }
        // The last number is no id, and 0 is root's.
        if (*first == 0 || *count < 2 || *count > UINT32_MAX - *first) {
            continue;
        }
        if (!best || *count > best->count) {
            best = SubIds{.first = *first, .count = *count};
        }
    }
    return best;
}

}  // namespace hako::sandbox
