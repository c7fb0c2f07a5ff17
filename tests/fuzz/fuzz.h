#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

// What every fuzz target is made of: `LLVMFuzzerTestOneInput`, which libFuzzer calls (tools/dev
// fuzz), and replay_main.cc for each file of the corpus in the ordinary build. A broken expectation
// is an ENSURE: it aborts, which both notice.
namespace hako::fuzz {

/// The bytes of one input, taken from the front; what is asked for behind the end is zero.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t bytes)
        : rest_(reinterpret_cast<const char*>(data), bytes) {}

    template <typename T>
        requires std::is_trivially_copyable_v<T>
    [[nodiscard]] T take() noexcept {
        T value{};
        const std::size_t bytes = std::min(sizeof(T), rest_.size());
        if (bytes > 0) {
            std::memcpy(&value, rest_.data(), bytes);
        }
        rest_.remove_prefix(bytes);
        return value;
    }
    [[nodiscard]] std::string_view take_bytes(std::size_t bytes) noexcept {
        const std::string_view taken = rest_.substr(0, bytes);
        rest_.remove_prefix(taken.size());
        return taken;
    }
    /// One byte of length, then so many bytes.
    [[nodiscard]] std::string_view take_text() noexcept { return take_bytes(take<std::uint8_t>()); }
    [[nodiscard]] std::string_view rest() const noexcept { return rest_; }
    [[nodiscard]] bool empty() const noexcept { return rest_.empty(); }

private:
    std::string_view rest_;
};

[[nodiscard]] inline std::span<const std::byte> bytes_of(std::string_view text) noexcept {
    return std::as_bytes(std::span(text.data(), text.size()));
}

/// Whether `part` lies in `whole`; an empty part lies anywhere.
[[nodiscard]] bool lies_in(std::string_view part, std::string_view whole) noexcept;

/// Reads each byte, so that a sanitizer sees what cannot be read.
void touch(std::string_view bytes) noexcept;

/// A folder of this process in memory (/dev/shm) or in /tmp, removed at exit.
[[nodiscard]] const std::string& scratch_dir();
/// Removes what is below `path`, read-only directories too, and leaves `path` itself.
void empty_directory(const std::string& path);
/// Makes or replaces a file; aborts if that cannot be done.
void write_file(const std::string& path, std::string_view content);

}  // namespace hako::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes);
