#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hako::registry {

using Sha256 = std::array<std::uint8_t, 32>;

[[nodiscard]] Sha256 sha256(std::span<const std::byte> bytes);
/// 64 lower-case digits.
[[nodiscard]] std::string to_hex(const Sha256& digest);
/// Nothing unless `hex` is 64 lower-case digits.
[[nodiscard]] std::optional<Sha256> from_hex(std::string_view hex);
[[nodiscard]] std::string to_base64(std::span<const std::uint8_t> bytes);
/// Strict: padding where it belongs, no other characters. Nothing if `text` is not base64.
[[nodiscard]] std::optional<std::vector<std::byte>> from_base64(std::string_view text);
[[nodiscard]] std::optional<std::string> text_from_base64(std::string_view text);

/// A random UUID (version 4), lower-case.
[[nodiscard]] std::string make_uuid();
/// `2017-12-14T10:00:00.123+0000` for microseconds since 1970.
[[nodiscard]] std::string lambda_time(std::int64_t unix_us);
/// `2017-12-14T10:00:00.123Z`.
[[nodiscard]] std::string iso_time(std::int64_t unix_us);
/// Random lower-case letters and digits.
[[nodiscard]] std::string random_name(std::size_t length);

}  // namespace hako::registry
