#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/registry/api_error.h"
#include "engine/registry/function_version.h"

namespace hako::registry {

inline constexpr std::uint64_t kZipBytesMax = 52428800;
inline constexpr std::uint64_t kUnzippedBytesMax = 262144000;
inline constexpr std::uint32_t kPackageEntriesMax = 65535;

/// An unpacked package in STATE/code/<id>/, and the zip it came from in STATE/code/<id>.zip.
struct CodePackage {
    std::string id;      // 64 hex digits of the zip's SHA-256
    std::string sha256;  // the same in base64
};

/// Content-addressed store of unpacked code. Thread-safe; everything but dropping a lease blocks
/// (disk, inflating) and belongs on an offload thread.
class CodeStore {
public:
    /// `code_dir_fd` is borrowed for the store's life. `path` is for messages and answers.
    CodeStore(int code_dir_fd, std::string path);
    CodeStore(const CodeStore&) = delete;
    CodeStore& operator=(const CodeStore&) = delete;

    /// What a start found and did.
    struct SweepReport {
        std::uint32_t leftovers_removed_count = 0;  // half-written or half-removed packages
        std::uint32_t packages_removed_count = 0;   // no version refers to them
        std::uint32_t packages_missing_count = 0;   // referred to, but not there
    };
    /// At start, before anything else runs: removes what a crash left and packages nobody leased
    /// since construction (take the leases of the database's versions first).
    [[nodiscard]] std::expected<SweepReport, Failure> sweep();

    /// Hashes, checks and unpacks a zip; a package that is there already is not unpacked again.
    /// Errors as Lambda gives them, with what exactly is wrong behind.
    [[nodiscard]] std::expected<CodeLease, ApiError> add(std::span<const std::byte> zip);
    /// A lease on a package the database refers to, without looking at the disk.
    [[nodiscard]] CodeLease lease(const std::string& id);
    /// Removes packages that nobody leases any more; returns how many. Packages whose removal fails
    /// are left for the next start.
    std::uint32_t collect();

    [[nodiscard]] std::string package_path(std::string_view id) const;
    /// The zip as it was uploaded. Blocks for a file's open; a package stored by hako before 0.2
    /// has none (ENOENT). Take a lease first, or hold a FunctionVersion that has one.
    [[nodiscard]] Result<UniqueFd> open_zip(std::string_view id) const;
    [[nodiscard]] std::string zip_path(std::string_view id) const;

private:
    [[nodiscard]] CodeLease lease_locked(const std::string& id);
    template <typename ScratchDir>
    [[nodiscard]] std::expected<CodeLease, ApiError> install(
        const std::string& id, ScratchDir& scratch
    );
    [[nodiscard]] std::expected<void, ApiError> keep_zip(
        const std::string& id, std::span<const std::byte> zip
    );
    void remove_zip(const std::string& id);
    [[nodiscard]] std::string scratch_name(std::string_view prefix);

    int dir_fd_;
    std::string path_;
    std::atomic<std::uint64_t> scratch_count_{0};
    std::mutex mutex_;  // guards leases_ and the renames that make and unmake a package
    std::unordered_map<std::string, std::weak_ptr<const CodePackage>> leases_;
};

}  // namespace hako::registry
