#include "engine/instance/event_json.h"

#include <string>

#include <gtest/gtest.h>

namespace hako::instance {
namespace {

/// The text with the readable bytes behind it that a receive block has.
class Padded {
public:
    explicit Padded(std::string text) : bytes_(text.size()), text_(std::move(text)) {
        text_.append(64, '7');  // what follows must not count
    }
    [[nodiscard]] std::string_view view() const { return {text_.data(), bytes_}; }

private:
    std::size_t bytes_;
    std::string text_;
};

bool is_json(EventJson& json, const std::string& text) {
    return json.fault(Padded(text).view()) == nullptr;
}

TEST(EventJson, AcceptsJson) {
    EventJson json;
    for (const char* text : {"{}", "[]", "1", "\"x\"", "null", " {\"a\": [1, 2.5e3, true]} "}) {
        EXPECT_TRUE(is_json(json, text)) << text;
    }
}

TEST(EventJson, NumbersHaveNoBound) {
    EventJson json;
    for (const char* text : {
             "123456789012345678901234567890",
             "{\"a\":-123456789012345678901234567890,\"b\":\"1e999\"}",
             "[1e400,-1.5E-900,0.1e+999,0]",
             "{\"1e999\\\"\":[1e999]}",
         }) {
        EXPECT_TRUE(is_json(json, text)) << text;
    }
}

TEST(EventJson, RefusesWhatIsNotJson) {
    EventJson json;
    for (const char* text : {
             "{",
             "{'a':1}",
             "[1,]",
             "01",
             "[1.]",
             "[.5]",
             "[+1]",
             "[1e]",
             "[1e400,-]",
             "[1e400,01]",
             "[1e400,1e400x]",
             "[123456789012345678901234567890 1]",
             "[1e400,\"unfinished]",
             "[1e400,\"\\",
             "\"\xff\"",
         }) {
        EXPECT_FALSE(is_json(json, text)) << text;
        EXPECT_TRUE(is_json(json, "{}")) << "after " << text;
    }
}

TEST(EventJson, LargeTextsAndThenSmallOnes) {
    EventJson json;
    const std::string large = "[" + std::string(1 << 20, ' ') + "1e400]";
    EXPECT_TRUE(is_json(json, large));
    EXPECT_FALSE(is_json(json, large + "]"));
    EXPECT_TRUE(is_json(json, "{}"));
}

}  // namespace
}  // namespace hako::instance
