#include "engine/gateway/url/text.h"

#include <algorithm>

namespace hako::gateway::url {

namespace {

int hex_value(char character) {
    const char digit = lower_letter(character);
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool is_token_character(char character) {
    constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
    const char digit = lower_letter(character);
    return (digit >= 'a' && digit <= 'z') || (digit >= '0' && digit <= '9') ||
           kMarks.find(character) != std::string_view::npos;
}

}  // namespace

std::string lower_case(std::string_view text) {
    std::string lowered(text);
    std::ranges::transform(lowered, lowered.begin(), lower_letter);
    return lowered;
}

std::string_view trimmed(std::string_view text) noexcept {
    constexpr std::string_view kBlanks = " \t";
    const std::size_t begin = text.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) {
        return {};
    }
    return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::string_view take_until(std::string_view& rest, char separator) noexcept {
    const std::size_t end = rest.find(separator);
    const std::string_view taken = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    return taken;
}

bool is_token(std::string_view text) noexcept {
    return !text.empty() && std::ranges::all_of(text, is_token_character);
}

bool is_field_value(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](char character) {
        const auto byte = static_cast<unsigned char>(character);
        return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
    });
}

std::string percent_decoded(std::string_view text, bool plus_is_space) {
    std::string decoded;
    decoded.reserve(text.size());
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char character = text[at];
        if (character == '%' && at + 2 < text.size()) {
            const int high = hex_value(text[at + 1]);
            const int low = hex_value(text[at + 2]);
            if (high >= 0 && low >= 0) {
                decoded += static_cast<char>(high * 16 + low);
                at += 2;
                continue;
            }
        }
        decoded += plus_is_space && character == '+' ? ' ' : character;
    }
    return decoded;
}

std::vector<std::pair<std::string, std::string>> query_pairs(std::string_view query) {
    std::vector<std::pair<std::string, std::string>> pairs;
    while (!query.empty()) {
        std::string_view pair = take_until(query, '&');
        if (pair.empty()) {
            continue;
        }
        const std::string_view name = take_until(pair, '=');
        pairs.emplace_back(percent_decoded(name, true), percent_decoded(pair, true));
    }
    return pairs;
}

std::string host_name(std::string_view host) {
    host = trimmed(host);
    const bool is_literal = host.starts_with('[');
    const std::size_t from = is_literal ? std::min(host.find(']'), host.size()) : 0;
    return lower_case(host.substr(0, host.find(':', from)));
}

}  // namespace hako::gateway::url
