#include "engine/gateway/lambda/url_text.h"

namespace hako::gateway::lambda {
namespace {

int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

bool DecodedText::decode(std::string_view encoded, bool in_query) {
    if (encoded.find_first_of(in_query ? "%+" : "%") == std::string_view::npos) {
        text_ = encoded;
        return true;
    }
    storage_.clear();
    for (std::size_t at = 0; at < encoded.size(); ++at) {
        char c = encoded[at];
        if (c == '%') {
            if (encoded.size() - at < 3) {
                return false;
            }
            const int high = hex_value(encoded[at + 1]);
            const int low = hex_value(encoded[at + 2]);
            if (high < 0 || low < 0) {
                return false;
            }
            c = static_cast<char>(high * 16 + low);
            at += 2;
        } else if (c == '+' && in_query) {
            c = ' ';
        }
        storage_.push_back(c);
    }
    text_ = storage_;
    return true;
}

std::optional<std::string_view> find_query_value(
    std::string_view query, std::string_view key
) noexcept {
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(pair.size() < query.size() ? pair.size() + 1 : pair.size());
        if (pair.starts_with(key) && (pair.size() == key.size() || pair[key.size()] == '=')) {
            return pair.size() == key.size() ? std::string_view() : pair.substr(key.size() + 1);
        }
    }
    return std::nullopt;
}

}  // namespace hako::gateway::lambda
