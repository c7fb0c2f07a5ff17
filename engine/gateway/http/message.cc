#include "engine/gateway/http/message.h"

#include <algorithm>

namespace hako::gateway::http {

namespace {

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

}  // namespace

bool is_same_word(std::string_view one, std::string_view other) noexcept {
    return one.size() == other.size() &&
           std::equal(one.begin(), one.end(), other.begin(), [](char a, char b) {
               return lower(a) == lower(b);
           });
}

std::string_view Request::header(std::string_view name) const noexcept {
    for (const Header& candidate : headers) {
        if (is_same_word(candidate.name, name)) {
            return candidate.value;
        }
    }
    return {};
}

}  // namespace hako::gateway::http
