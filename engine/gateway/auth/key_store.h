#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/gateway/auth/access_key.h"
#include "engine/registry/api_error.h"
#include "engine/registry/secret_box.h"

namespace hako::gateway::auth {

/// The access keys: in memory for checking, and in one file that is sealed as a whole. Lives on the
/// loop; what blocks is `save` alone, which runs on an offload thread with a copy.
class KeyStore {
public:
    struct Entry {
        AccessKey key;
        SigningKey signing;
    };

    KeyStore(const registry::SecretBox& box, std::string path)
        : box_(box), path_(std::move(path)) {}
    KeyStore(const KeyStore&) = delete;
    KeyStore& operator=(const KeyStore&) = delete;
    ~KeyStore();

    /// Reads the file, if there is one. Blocks; at start. Errors: not readable, another key file's.
    [[nodiscard]] std::expected<void, registry::Failure> load();

    /// Null if there is none. Holds until the next change.
    [[nodiscard]] Entry* find(std::string_view id) noexcept;
    /// By time of creation, then id.
    [[nodiscard]] std::vector<const AccessKey*> list() const;
    [[nodiscard]] std::size_t count() const noexcept { return entries_.size(); }

    void put(AccessKey key);
    void remove(std::string_view id);

    /// All keys as one sealed text, for `save`.
    [[nodiscard]] std::string sealed() const;
    /// Replaces the file by `sealed`, whole or not at all (0600, synced). Blocks; any thread.
    [[nodiscard]] static std::expected<void, registry::Failure> save(
        const std::string& path, std::string_view sealed
    );
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept {
            return std::hash<std::string_view>{}(text);
        }
    };

    registry::SecretBox box_;
    std::string path_;
    std::unordered_map<std::string, std::unique_ptr<Entry>, Hash, std::equal_to<>> entries_;
};

}  // namespace hako::gateway::auth
