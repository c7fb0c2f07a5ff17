#include "engine/registry/code_store.h"

#include <cerrno>
#include <cstring>
#include <optional>
#include <unordered_set>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "engine/base/ensure.h"
#include "engine/base/result.h"
#include "engine/registry/digest.h"
#include "engine/registry/file_tree.h"
#include "engine/registry/package_writer.h"

namespace hako::registry {

namespace {

// Scratch directories lie beside the packages: renaming a read-only directory needs the same
// parent, or a privilege the engine does not have.
constexpr std::string_view kUnpackingPrefix = ".tmp-";
constexpr std::string_view kRemovingPrefix = ".gone-";

constexpr std::string_view kZipSuffix = ".zip";

bool write_whole(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return true;
}

bool is_package_id(std::string_view name) {
    return from_hex(name).has_value();
}

ApiError disk_error(const char* step, int sys_errno) {
    return service_error(
        fmt::format("Could not store the code package: {}: {}", step, std::strerror(sys_errno))
    );
}

std::string describe(const Error& error) {
    return fmt::format("code store: {}: {}", error.what, std::strerror(error.sys_errno));
}

/// Removes a scratch directory when the scope ends, unless it became a package.
class Scratch {
public:
    Scratch(int dir_fd, std::string name) : dir_fd_(dir_fd), name_(std::move(name)) {}
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() {
        if (!name_.empty()) {
            (void)remove_tree(dir_fd_, name_);  // what stays is swept at the next start
        }
    }
    [[nodiscard]] const char* name() const noexcept { return name_.c_str(); }
    void keep() noexcept { name_.clear(); }

private:
    int dir_fd_;
    std::string name_;
};

}  // namespace

CodeStore::CodeStore(int code_dir_fd, std::string path)
    : dir_fd_(code_dir_fd), path_(std::move(path)) {}

std::string CodeStore::package_path(std::string_view id) const {
    return fmt::format("{}/{}", path_, id);
}

std::string CodeStore::zip_path(std::string_view id) const {
    return fmt::format("{}/{}{}", path_, id, kZipSuffix);
}

Result<UniqueFd> CodeStore::open_zip(std::string_view id) const {
    const std::string name = fmt::format("{}{}", id, kZipSuffix);
    UniqueFd zip(openat(dir_fd_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!zip) {
        return fail_errno("open a zip");
    }
    return zip;
}

/// Before the package: where there is one, there is its zip.
std::expected<void, ApiError> CodeStore::keep_zip(
    const std::string& id, std::span<const std::byte> zip
) {
    const std::string name = id + std::string(kZipSuffix);
    if (faccessat(dir_fd_, name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        return {};
    }
    Scratch scratch(dir_fd_, scratch_name(kUnpackingPrefix));
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const UniqueFd file(openat(dir_fd_, scratch.name(), kFlags, 0400));
    if (!file) {
        return std::unexpected(disk_error("make a file", errno));
    }
    if (!write_whole(file.get(), zip) || fdatasync(file.get()) != 0) {
        return std::unexpected(disk_error("write a file", errno));
    }
    // Two uploads of the same code may do so both: the bytes are the same.
    if (renameat(dir_fd_, scratch.name(), dir_fd_, name.c_str()) != 0) {
        return std::unexpected(disk_error("rename a file", errno));
    }
    scratch.keep();
    return {};
}

void CodeStore::remove_zip(const std::string& id) {
    // What stays is swept at the next start.
    (void)unlinkat(dir_fd_, (id + std::string(kZipSuffix)).c_str(), 0);
}

std::string CodeStore::scratch_name(std::string_view prefix) {
    return fmt::format("{}{}-{}", prefix, getpid(), scratch_count_.fetch_add(1));
}

CodeLease CodeStore::lease_locked(const std::string& id) {
    std::weak_ptr<const CodePackage>& known = leases_[id];
    CodeLease lease = known.lock();
    if (lease == nullptr) {
        const auto digest = from_hex(id);
        ENSURE(digest.has_value(), "a package id is 64 hex digits");
        // Not make_shared: the object must go when the last lease does, whatever the map keeps.
        lease.reset(new CodePackage{.id = id, .sha256 = to_base64(*digest)});
        known = lease;
    }
    return lease;
}

CodeLease CodeStore::lease(const std::string& id) {
    const std::scoped_lock lock(mutex_);
    return lease_locked(id);
}

std::expected<CodeLease, ApiError> CodeStore::add(std::span<const std::byte> zip) {
    if (zip.size() > kZipBytesMax) {
        return std::unexpected(
            too_large(fmt::format("Zipped size must be smaller than {} bytes", kZipBytesMax))
        );
    }
    if (zip.empty()) {
        return std::unexpected(invalid_parameter("Uploaded file must be a non-empty zip"));
    }
    const std::string id = to_hex(sha256(zip));
    {
        const std::scoped_lock lock(mutex_);
        const std::string zip_name = id + std::string(kZipSuffix);
        if (faccessat(dir_fd_, id.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
            faccessat(dir_fd_, zip_name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
            return lease_locked(id);
        }
    }
    Scratch scratch(dir_fd_, scratch_name(kUnpackingPrefix));
    if (mkdirat(dir_fd_, scratch.name(), 0700) != 0) {
        return std::unexpected(disk_error("make a directory", errno));
    }
    {
        const UniqueFd dir(
            openat(dir_fd_, scratch.name(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        );
        if (!dir) {
            return std::unexpected(disk_error("open a directory", errno));
        }
        TRY(unpack_zip(zip, dir.get()));
    }
    // Only what could be unpacked is kept; the lease holds both from here on.
    CodeLease held = lease(id);
    TRY(keep_zip(id, zip));
    return install(id, scratch);
}

template <typename ScratchDir>
std::expected<CodeLease, ApiError> CodeStore::install(const std::string& id, ScratchDir& scratch) {
    CodeLease lease;
    {
        const std::scoped_lock lock(mutex_);
        lease = lease_locked(id);
        if (renameat2(dir_fd_, scratch.name(), dir_fd_, id.c_str(), RENAME_NOREPLACE) == 0) {
            scratch.keep();
        } else if (errno != EEXIST) {  // EEXIST: another upload of the same code was faster
            return std::unexpected(disk_error("rename a directory", errno));
        }
    }
    if (fsync(dir_fd_) != 0) {
        return std::unexpected(disk_error("sync a directory", errno));
    }
    return lease;
}

std::uint32_t CodeStore::collect() {
    std::vector<std::string> removing;
    {
        const std::scoped_lock lock(mutex_);
        for (auto entry = leases_.begin(); entry != leases_.end();) {
            if (!entry->second.expired()) {
                ++entry;
                continue;
            }
            std::string scratch = scratch_name(kRemovingPrefix);
            if (renameat(dir_fd_, entry->first.c_str(), dir_fd_, scratch.c_str()) == 0) {
                removing.push_back(std::move(scratch));
            }
            remove_zip(entry->first);
            entry = leases_.erase(entry);
        }
    }
    std::uint32_t removed_count = 0;
    for (const std::string& name : removing) {
        removed_count += remove_tree(dir_fd_, name) ? 1U : 0U;
    }
    return removed_count;
}

std::expected<CodeStore::SweepReport, Failure> CodeStore::sweep() {
    SweepReport report;
    std::unordered_set<std::string> seen;
    const std::scoped_lock lock(mutex_);
    const auto swept = for_each_name(dir_fd_, [&](const std::string& name) -> Result<void> {
        if (name.starts_with(kUnpackingPrefix) || name.starts_with(kRemovingPrefix)) {
            ++report.leftovers_removed_count;
            return remove_tree(dir_fd_, name);
        }
        const bool is_zip = name.ends_with(kZipSuffix);
        const std::string id = name.substr(0, name.size() - (is_zip ? kZipSuffix.size() : 0));
        if (!is_package_id(id)) {
            return {};  // not ours
        }
        const auto known = leases_.find(id);
        if (known != leases_.end() && !known->second.expired()) {
            seen.insert(name);
            return {};
        }
        if (is_zip) {
            return remove_tree(dir_fd_, name);
        }
        ++report.packages_removed_count;
        // Under another name first: a crash in the middle must not leave half a package.
        const std::string scratch = scratch_name(kRemovingPrefix);
        if (renameat(dir_fd_, name.c_str(), dir_fd_, scratch.c_str()) != 0) {
            return fail_errno("rename a directory");
        }
        return remove_tree(dir_fd_, scratch);
    });
    if (!swept) {
        return std::unexpected(Failure{describe(swept.error())});
    }
    for (const auto& [id, lease] : leases_) {
        if (!seen.contains(id)) {
            ++report.packages_missing_count;
        }
    }
    return report;
}

}  // namespace hako::registry
