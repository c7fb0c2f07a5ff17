#include "engine/instance/event_json.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include <simdjson.h>

namespace hako::instance {
namespace {

// A parser keeps several times the size of the largest text it has seen.
constexpr std::size_t kKeptBytes = 256 * 1024;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// JSON's grammar of a number, taken piece by piece off the front of a text.
class NumberText {
public:
    explicit NumberText(std::string_view text) : rest_(text) {}
    [[nodiscard]] bool is_number() {
        (void)take("-");
        const bool has_integer = take("0") || take_digits();
        const bool has_fraction = !take(".") || take_digits();
        const bool has_exponent = !take("eE") || ((void)take("+-"), take_digits());
        return has_integer && has_fraction && has_exponent && rest_.empty();
    }

private:
    bool take(std::string_view any_of) {
        const bool fits = !rest_.empty() && any_of.find(rest_.front()) != std::string_view::npos;
        rest_.remove_prefix(fits ? 1 : 0);
        return fits;
    }
    bool take_digits() {
        std::size_t count = 0;
        while (count < rest_.size() && is_digit(rest_[count])) {
            ++count;
        }
        rest_.remove_prefix(count);
        return count > 0;
    }
    std::string_view rest_;
};

std::size_t string_end(std::string_view text, std::size_t at) {
    for (++at; at < text.size() && text[at] != '"'; ++at) {
        at += text[at] == '\\' ? 1 : 0;
    }
    return at + 1;
}

/// The text with a zero in the place of each number, so that the parser, which makes values of
/// them, finds none too large.
std::string without_numbers(std::string_view text) {
    std::string out(text);
    for (std::size_t at = 0; at < text.size();) {
        if (text[at] == '"') {
            at = string_end(text, at);
        } else if (text[at] == '-' || is_digit(text[at])) {
            const std::size_t end =
                std::min(text.find_first_not_of("0123456789+-.eE", at), text.size());
            if (NumberText(text.substr(at, end - at)).is_number()) {
                out.replace(at, end - at, end - at, ' ');
                out[at] = '0';
            }
            at = end;
        } else {
            ++at;
        }
    }
    return out;
}

}  // namespace

EventJson::EventJson() : parser_(std::make_unique<simdjson::dom::parser>()) {}
EventJson::~EventJson() = default;

const char* EventJson::fault(std::string_view text) {
    simdjson::dom::element parsed;
    // The text has the padding, so nothing is copied.
    simdjson::error_code error = parser_->parse(text.data(), text.size(), false).get(parsed);
    if (error == simdjson::NUMBER_ERROR) {
        error = parser_->parse(without_numbers(text)).get(parsed);
    }
    if (text.size() > kKeptBytes) {
        *parser_ = simdjson::dom::parser();
    }
    return error == simdjson::SUCCESS ? nullptr : simdjson::error_message(error);
}

}  // namespace hako::instance
