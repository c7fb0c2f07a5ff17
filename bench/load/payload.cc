#include "bench/load/payload.h"

#include <algorithm>

#include "engine/base/ensure.h"

namespace hako::bench {
namespace {

constexpr std::string_view kHead = R"({"id":")";
constexpr std::string_view kMiddle = R"(","pad":")";
constexpr std::string_view kTail = R"("})";
constexpr std::size_t kDigitsCount = 10;
constexpr std::size_t kObjectBytesMin = kHead.size() + kDigitsCount + kMiddle.size() + kTail.size();

/// Walks a JSON text token byte by token byte, leaving out white space outside strings.
class Skimmer {
public:
    explicit Skimmer(std::string_view text) : text_(text) {}

    /// The next byte that counts, or -1 at the end.
    int next() noexcept {
        while (index_ < text_.size()) {
            const char byte = text_[index_++];
            if (in_string_) {
                if (escaped_) {
                    escaped_ = false;
                } else if (byte == '\\') {
                    escaped_ = true;
                } else if (byte == '"') {
                    in_string_ = false;
                }
                return static_cast<unsigned char>(byte);
            }
            if (byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t') {
                continue;
            }
            in_string_ = byte == '"';
            return static_cast<unsigned char>(byte);
        }
        return -1;
    }

private:
    std::string_view text_;
    std::size_t index_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;
};

}  // namespace

bool same_but_for_spaces(std::string_view left, std::string_view right) noexcept {
    Skimmer left_skimmer(left);
    Skimmer right_skimmer(right);
    for (;;) {
        const int byte = left_skimmer.next();
        if (byte != right_skimmer.next()) {
            return false;
        }
        if (byte < 0) {
            return true;
        }
    }
}

Payload::Payload(std::size_t bytes) {
    ENSURE(bytes >= kBytesMin, "a payload holds at least one digit and two quotes");
    if (bytes < kObjectBytesMin) {
        digits_offset_ = 1;
        digits_count_ = std::min(kDigitsCount, bytes - 2);
        text_ = '"' + std::string(bytes - 2, '0') + '"';
        return;
    }
    digits_offset_ = kHead.size();
    digits_count_ = kDigitsCount;
    text_.append(kHead).append(kDigitsCount, '0').append(kMiddle);
    text_.append(bytes - kObjectBytesMin, 'a').append(kTail);
    ENSURE(text_.size() == bytes, "the payload has the size asked for");
}

std::string_view Payload::text(std::uint64_t number) noexcept {
    for (std::size_t index = digits_count_; index > 0; --index) {
        text_[digits_offset_ + index - 1] = static_cast<char>('0' + number % 10);
        number /= 10;
    }
    return text_;
}

bool Payload::matches(std::uint64_t number, std::string_view answer) noexcept {
    const std::string_view expected = text(number);
    return expected == answer || same_but_for_spaces(expected, answer);
}

}  // namespace hako::bench
