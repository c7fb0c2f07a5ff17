#pragma once

#include <expected>
#include <string>

#include <sys/types.h>

#include "engine/base/unique_fd.h"
#include "engine/registry/api_error.h"

namespace hako::registry {

/// The engine's state directory, locked for this process: code/, ledger/, log/, registry.db. All
/// of it is for the engine's user only (0700).
class StateDir {
public:
    /// Makes the layout where it is missing and takes the lock. Errors: not writable, in use (names
    /// the other engine's pid), a non-empty directory that is not hako's.
    [[nodiscard]] static std::expected<StateDir, Failure> open(const std::string& path);

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string registry_path() const { return path_ + "/registry.db"; }
    /// Of the sealed access keys.
    [[nodiscard]] std::string keys_path() const { return path_ + "/keys"; }
    [[nodiscard]] int fd() const noexcept { return root_.get(); }
    [[nodiscard]] int code_fd() const noexcept { return code_.get(); }
    [[nodiscard]] int ledger_fd() const noexcept { return ledger_.get(); }
    [[nodiscard]] int log_fd() const noexcept { return log_.get(); }

    /// Gives everything that is ours (nothing else that may lie there) to `uid`:`gid`, before the
    /// engine drops its privileges. Never follows a symlink.
    [[nodiscard]] std::expected<void, Failure> chown_to(uid_t uid, gid_t gid) const;

private:
    StateDir() = default;

    std::string path_;
    UniqueFd root_;
    UniqueFd lock_;
    UniqueFd code_;
    UniqueFd ledger_;
    UniqueFd log_;
};

}  // namespace hako::registry
