#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

// The framing of `application/vnd.amazon.eventstream`: messages with typed headers and two CRC-32
// sums, all numbers big-endian (AWS, "Amazon event stream encoding").
namespace hako::gateway::lambda {

inline constexpr std::string_view kEventStreamType = "application/vnd.amazon.eventstream";

/// What a message says of itself.
struct EventHead {
    std::string_view event_type;    ///< `:event-type`
    std::string_view content_type;  ///< `:content-type` of the payload
};

/// Appends one message of `:message-type` event to `out`. Head texts have at most 255 bytes,
/// payloads at most 16 MiB (what clients take).
void append_event(std::string& out, const EventHead& head, std::string_view payload);

}  // namespace hako::gateway::lambda
