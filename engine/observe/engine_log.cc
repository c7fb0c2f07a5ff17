#include "engine/observe/engine_log.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include <unistd.h>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/meter/time_text.h"

namespace hako::observe {
namespace {

constexpr std::size_t kMessageBytesMax = 1024;
// Prefix, time, colour, level and area, and every byte of the message escaped at its worst (\x1b).
constexpr std::size_t kLogLineBytes = 128 + kMessageBytesMax;

struct LevelLook {
    std::string_view name;
    std::string_view journal;  // sd-daemon(3)
    std::string_view colour;
};
constexpr std::array<LevelLook, 4> kLooks = {{
    {"debug", "<7>", "\x1b[2m"},
    {"info", "<6>", "\x1b[32m"},
    {"warning", "<4>", "\x1b[33m"},
    {"error", "<3>", "\x1b[31m"},
}};

constinit std::atomic<Level> level_minimum = Level::kInfo;
constinit std::atomic<int> log_fd = STDERR_FILENO;
constinit std::atomic<bool> with_journal = false;
constinit std::atomic<bool> with_colour = false;

/// A bounded line; what does not fit is cut and the cut is shown.
class Line {
public:
    void text(std::string_view text) noexcept {
        const std::size_t bytes = std::min(text.size(), bytes_.size() - kEndBytes - used_bytes_);
        std::memcpy(bytes_.data() + used_bytes_, text.data(), bytes);
        used_bytes_ += bytes;
        cut_ = cut_ || bytes < text.size();
    }
    void escaped(std::string_view text_in) noexcept {
        constexpr char kHex[] = "0123456789abcdef";
        for (const char c : text_in) {
            const auto value = static_cast<unsigned char>(c);
            if (value >= 0x20 && value != 0x7f) {
                text({&c, 1});
            } else if (c == '\n') {
                text("\\n");
            } else {
                const char escape[] = {'\\', 'x', kHex[value >> 4U], kHex[value & 0xfU]};
                text({escape, sizeof escape});
            }
        }
    }
    [[nodiscard]] std::string_view finish(bool message_cut) noexcept {
        const std::string_view end = cut_ || message_cut ? "...\n" : "\n";
        std::memcpy(bytes_.data() + used_bytes_, end.data(), end.size());
        return {bytes_.data(), used_bytes_ + end.size()};
    }

private:
    static constexpr std::size_t kEndBytes = 4;
    std::array<char, kLogLineBytes> bytes_;
    std::size_t used_bytes_ = 0;
    bool cut_ = false;
};

bool is_set(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
}

}  // namespace

void init_engine_log(Level level_min) noexcept {
    const bool journal = is_set("JOURNAL_STREAM") || is_set("INVOCATION_ID");
    const bool terminal = ::isatty(STDERR_FILENO) == 1;
    set_log_level(level_min);
    set_log_fd(STDERR_FILENO, journal && !terminal, terminal && !is_set("NO_COLOR"));
}

void set_log_level(Level level_min) noexcept {
    level_minimum.store(level_min, std::memory_order_relaxed);
}

bool log_enabled(Level level) noexcept {
    return level >= level_minimum.load(std::memory_order_relaxed);
}

void set_log_fd(int fd, bool journal, bool colour) noexcept {
    log_fd.store(fd, std::memory_order_relaxed);
    with_journal.store(journal, std::memory_order_relaxed);
    with_colour.store(colour, std::memory_order_relaxed);
}

void vlog_line(Level level, std::string_view area, fmt::string_view format, fmt::format_args args) {
    std::array<char, kMessageBytesMax> message;
    const auto [end, wanted_bytes] =
        fmt::vformat_to_n(message.data(), message.size(), format, args);
    const LevelLook& look = kLooks[static_cast<std::size_t>(level)];
    const bool colour = with_colour.load(std::memory_order_relaxed);
    Line line;
    if (with_journal.load(std::memory_order_relaxed)) {
        line.text(look.journal);
    }
    meter::IsoClock clock;
    line.text(clock.format(wall_us()));
    line.text(" ");
    line.text(colour ? look.colour : "");
    line.text(look.name);
    line.text(colour ? "\x1b[0m " : " ");
    line.text(area);
    line.text(" ");
    line.escaped({message.data(), static_cast<std::size_t>(end - message.data())});
    std::string_view rest = line.finish(wanted_bytes > message.size());
    const int fd = log_fd.load(std::memory_order_relaxed);
    while (!rest.empty()) {
        const ssize_t put = ::write(fd, rest.data(), rest.size());
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return;  // nobody reads it and there is nobody else to tell
        }
        rest.remove_prefix(static_cast<std::size_t>(put));
    }
}

}  // namespace hako::observe
