#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Small rules of HTTP texts that several files here need.
namespace hako::gateway::url {

[[nodiscard]] constexpr char lower_letter(char character) noexcept {
    return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a')
                                                : character;
}
[[nodiscard]] std::string lower_case(std::string_view text);
/// Without spaces and tabs at both ends.
[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;
/// What stands before the next `separator`, which is taken off `rest` together with it.
[[nodiscard]] std::string_view take_until(std::string_view& rest, char separator) noexcept;

/// RFC 9110 section 5.1: a field name.
[[nodiscard]] bool is_token(std::string_view text) noexcept;
/// No control characters but the tab, so nothing that could end a line.
[[nodiscard]] bool is_field_value(std::string_view text) noexcept;

/// %XX becomes a byte; a `%` without two hex digits stays as it is. `plus_is_space`: as in queries.
[[nodiscard]] std::string percent_decoded(std::string_view text, bool plus_is_space);

/// The decoded pairs of a query, in order. Empty pairs (`a&&b`) are left out.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> query_pairs(std::string_view query);

/// The host of a Host header: without port, in lower case; an IPv6 literal keeps its brackets.
[[nodiscard]] std::string host_name(std::string_view host);

}  // namespace hako::gateway::url
