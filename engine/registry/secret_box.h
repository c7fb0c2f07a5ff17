#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "engine/registry/api_error.h"

namespace hako::registry {

/// Encrypts what must not lie readable on the disk (access keys, environment variables) or go out
/// of the engine readable (session tokens): AES-256-GCM under keys derived from one key file.
/// Copies share nothing; the key is wiped when a box dies. Does not park.
class SecretBox {
public:
    static constexpr std::size_t kKeyBytes = 32;
    using Key = std::array<std::uint8_t, kKeyBytes>;

    /// Reads the key from `path`: 64 hexadecimal digits and a newline, readable by nobody but its
    /// owner. With `may_create` a missing file is made (0600, synced). Blocks. Errors: a sentence
    /// that never holds the content.
    [[nodiscard]] static std::expected<SecretBox, Failure> open(
        const std::string& path, bool may_create
    );
    explicit SecretBox(const Key& key) noexcept : key_(key) {}
    SecretBox(const SecretBox&) = default;
    SecretBox& operator=(const SecretBox&) = default;
    ~SecretBox();

    /// `purpose` chooses the derived key; `context` (a function's name, say) is not kept but must
    /// be the same when opened. The result is kOverheadBytes longer than `plain` and never the same
    /// twice.
    [[nodiscard]] std::string seal(
        std::string_view purpose, std::string_view context, std::string_view plain
    ) const;
    /// Nothing unless `sealed` came from `seal` with this key, purpose and context, unchanged.
    [[nodiscard]] std::optional<std::string> unseal(
        std::string_view purpose, std::string_view context, std::string_view sealed
    ) const;

    static constexpr std::size_t kOverheadBytes = 1 + 12 + 16;  // version, nonce, tag

private:
    [[nodiscard]] Key derive(std::string_view purpose) const;

    Key key_;
};

/// Overwrites a secret that is no longer needed.
void wipe(std::string& secret) noexcept;

}  // namespace hako::registry
