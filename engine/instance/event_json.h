#pragma once

#include <memory>
#include <string_view>

namespace simdjson::dom {
class parser;
}

namespace hako::instance {

/// Says whether events are JSON. One for the loop: no call parks.
class EventJson {
public:
    EventJson();
    ~EventJson();
    EventJson(const EventJson&) = delete;
    EventJson& operator=(const EventJson&) = delete;

    /// What is wrong with `text`, or nullptr if it is JSON. At least 64 readable bytes must follow
    /// it. Numbers may have any size (RFC 8259 section 6): Lambda hands them on as they are.
    [[nodiscard]] const char* fault(std::string_view text);

private:
    std::unique_ptr<simdjson::dom::parser> parser_;
};

}  // namespace hako::instance
