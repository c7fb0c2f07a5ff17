#include "engine/registry/package_writer.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>
#include <zip.h>

#include "engine/base/result.h"
#include "engine/registry/code_store.h"
#include "engine/registry/file_tree.h"
#include "engine/registry/package_plan.h"

namespace hako::registry {

namespace {

constexpr std::size_t kChunkBytes = 65536;
constexpr std::size_t kSymlinkBytesMax = 4095;
// Above this many files one syncfs() is cheaper than an fsync() of 70-180 us for each.
constexpr std::size_t kFsyncFilesMax = 128;

struct CloseZip {
    void operator()(zip_t* zip) const noexcept { zip_discard(zip); }
};
struct CloseEntry {
    void operator()(zip_file_t* file) const noexcept { zip_fclose(file); }
};

ApiError bad_zip(std::string_view what) {
    return invalid_parameter(fmt::format(
        "Could not unzip uploaded file. Please check your file, then try to upload again. hako: "
        "{}.",
        what
    ));
}

ApiError disk_error(const Error& error) {
    return service_error(fmt::format(
        "Could not store the code package: {}: {}", error.what, std::strerror(error.sys_errno)
    ));
}

std::string quoted_path(const std::string& path) {
    return "entry '" + path.substr(0, 200) + "'";
}

class PackageWriter {
public:
    PackageWriter(std::span<const std::byte> zip, int dir_fd) : zip_bytes_(zip), dir_fd_(dir_fd) {}
    std::expected<void, ApiError> run();

private:
    using Status = std::expected<void, ApiError>;

    Status open_zip(std::span<const ZipEntry> entries);
    Status make_directory(const std::string& path);
    Status write_file(const PlannedFile& file);
    Status write_content(const PlannedFile& file, int fd, bool& looks_executable);
    Status make_symlink(const PlannedFile& link);
    Status check_symlink(const PlannedFile& link);
    Status seal();
    Result<UniqueFd> open_parent(const std::string& path, std::string& name) const;
    std::expected<zip_int64_t, ApiError> read(
        zip_file_t* entry, std::span<char> into, const std::string& path
    );

    std::span<const std::byte> zip_bytes_;
    int dir_fd_;
    PackagePlan plan_;
    std::unique_ptr<zip_t, CloseZip> zip_;
    std::uint64_t written_bytes_ = 0;
    bool sync_each_ = false;
};

PackageWriter::Status PackageWriter::open_zip(std::span<const ZipEntry> entries) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* source =
        zip_source_buffer_create(zip_bytes_.data(), zip_bytes_.size(), 0, &error);
    if (source != nullptr) {
        zip_.reset(zip_open_from_source(source, ZIP_RDONLY, &error));
        if (zip_ == nullptr) {
            zip_source_free(source);
        }
    }
    const std::string text = zip_ == nullptr ? zip_error_strerror(&error) : "";
    zip_error_fini(&error);
    if (zip_ == nullptr) {
        return std::unexpected(bad_zip(text));
    }
    // Two readers that see different archives are a way past the checks: refuse.
    bool agrees = zip_get_num_entries(zip_.get(), 0) == static_cast<zip_int64_t>(entries.size());
    for (std::size_t i = 0; agrees && i < entries.size(); ++i) {
        const char* name = zip_get_name(zip_.get(), i, ZIP_FL_ENC_RAW);
        agrees = name != nullptr && entries[i].name == name;
    }
    if (!agrees) {
        return std::unexpected(bad_zip("its directory can be read in more than one way"));
    }
    return {};
}

Result<UniqueFd> PackageWriter::open_parent(const std::string& path, std::string& name) const {
    const std::size_t slash = path.rfind('/');
    name = slash == std::string::npos ? path : path.substr(slash + 1);
    return open_beneath(
        dir_fd_, slash == std::string::npos ? "." : path.substr(0, slash), O_RDONLY | O_DIRECTORY
    );
}

PackageWriter::Status PackageWriter::make_directory(const std::string& path) {
    std::string name;
    const auto parent = open_parent(path, name);
    if (!parent) {
        return std::unexpected(disk_error(parent.error()));
    }
    if (mkdirat(parent->get(), name.c_str(), 0700) != 0) {
        return std::unexpected(disk_error(errno_error("make a directory")));
    }
    return {};
}

std::expected<zip_int64_t, ApiError> PackageWriter::read(
    zip_file_t* entry, std::span<char> into, const std::string& path
) {
    const zip_int64_t got = zip_fread(entry, into.data(), into.size());
    if (got < 0) {
        return std::unexpected(bad_zip(
            fmt::format("{}: {}", quoted_path(path), zip_error_strerror(zip_file_get_error(entry)))
        ));
    }
    // Counted here, not taken from the headers: those may lie.
    written_bytes_ += static_cast<std::uint64_t>(got);
    if (written_bytes_ > kUnzippedBytesMax) {
        return std::unexpected(invalid_parameter(
            fmt::format("Unzipped size must be smaller than {} bytes", kUnzippedBytesMax)
        ));
    }
    return got;
}

std::expected<void, ApiError> write_all(int fd, std::span<const char> bytes) {
    while (!bytes.empty()) {
        const ssize_t put = write(fd, bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return std::unexpected(disk_error(errno_error("write a file")));
        }
        bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
    return {};
}

PackageWriter::Status PackageWriter::write_content(
    const PlannedFile& file, int fd, bool& looks_executable
) {
    const std::unique_ptr<zip_file_t, CloseEntry> entry(
        zip_fopen_index(zip_.get(), file.entry_index, 0)
    );
    if (entry == nullptr) {
        return std::unexpected(
            bad_zip(fmt::format("{}: {}", quoted_path(file.path), zip_strerror(zip_.get())))
        );
    }
    zip_stat_t claimed;
    const bool has_claim = zip_stat_index(zip_.get(), file.entry_index, 0, &claimed) == 0 &&
                           (claimed.valid & ZIP_STAT_SIZE) != 0;
    const std::uint64_t before_bytes = written_bytes_;
    std::array<char, kChunkBytes> chunk;
    for (bool is_first = true;; is_first = false) {
        TRY_ASSIGN(const zip_int64_t got, read(entry.get(), chunk, file.path));
        if (got == 0) {
            break;
        }
        const std::string_view bytes(chunk.data(), static_cast<std::size_t>(got));
        if (is_first) {
            looks_executable = bytes.starts_with(
                                   "\x7f"
                                   "ELF"
                               ) ||
                               bytes.starts_with("#!");
        }
        TRY(write_all(fd, bytes));
    }
    if (!has_claim || written_bytes_ - before_bytes != claimed.size) {
        return std::unexpected(
            bad_zip(quoted_path(file.path) + ": its size is not what the headers say")
        );
    }
    return {};
}

PackageWriter::Status PackageWriter::write_file(const PlannedFile& file) {
    const auto fd =
        open_beneath(dir_fd_, file.path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (!fd) {
        return std::unexpected(disk_error(fd.error()));
    }
    bool looks_executable = false;
    TRY(write_content(file, fd->get(), looks_executable));
    const bool is_executable = file.is_executable || (file.sniff && looks_executable);
    if (fchmod(fd->get(), is_executable ? 0555 : 0444) != 0) {
        return std::unexpected(disk_error(errno_error("set a file's mode")));
    }
    if (sync_each_ && fsync(fd->get()) != 0) {
        return std::unexpected(disk_error(errno_error("sync a file")));
    }
    return {};
}

PackageWriter::Status PackageWriter::make_symlink(const PlannedFile& link) {
    const std::unique_ptr<zip_file_t, CloseEntry> entry(
        zip_fopen_index(zip_.get(), link.entry_index, 0)
    );
    if (entry == nullptr) {
        return std::unexpected(
            bad_zip(fmt::format("{}: {}", quoted_path(link.path), zip_strerror(zip_.get())))
        );
    }
    std::array<char, kSymlinkBytesMax + 1> buffer;
    std::string target;
    for (;;) {
        TRY_ASSIGN(const zip_int64_t got, read(entry.get(), buffer, link.path));
        if (got == 0) {
            break;
        }
        target.append(buffer.data(), static_cast<std::size_t>(got));
        if (target.size() > kSymlinkBytesMax) {
            return std::unexpected(
                bad_zip(quoted_path(link.path) + " is a symlink of over 4095 bytes")
            );
        }
    }
    if (!is_inside(link.path, target)) {
        return std::unexpected(bad_zip(quoted_path(link.path) + " is a symlink out of the package")
        );
    }
    std::string name;
    const auto parent = open_parent(link.path, name);
    if (!parent) {
        return std::unexpected(disk_error(parent.error()));
    }
    if (symlinkat(target.c_str(), parent->get(), name.c_str()) != 0) {
        return std::unexpected(disk_error(errno_error("make a symlink")));
    }
    return {};
}

PackageWriter::Status PackageWriter::check_symlink(const PlannedFile& link) {
    // The text alone is not enough: a symlink on the way may lead to a place nearer to the root, so
    // that `..` behind it goes further up than it looks. The kernel knows.
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    const long fd = syscall(SYS_openat2, dir_fd_, link.path.c_str(), &how, sizeof(how));
    if (fd >= 0) {
        close(static_cast<int>(fd));
        return {};
    }
    if (errno == EXDEV) {
        return std::unexpected(bad_zip(quoted_path(link.path) + " is a symlink out of the package")
        );
    }
    return {};  // dangling or a loop: leads nowhere
}

PackageWriter::Status PackageWriter::seal() {
    const auto seal_one = [this](const std::string& path) -> Status {
        const auto dir = open_beneath(dir_fd_, path, O_RDONLY | O_DIRECTORY);
        if (!dir) {
            return std::unexpected(disk_error(dir.error()));
        }
        if (fchmod(dir->get(), 0555) != 0) {
            return std::unexpected(disk_error(errno_error("set a directory's mode")));
        }
        if (sync_each_ && fsync(dir->get()) != 0) {
            return std::unexpected(disk_error(errno_error("sync a directory")));
        }
        return {};
    };
    for (const std::string& path : plan_.directories) {
        TRY(seal_one(path));
    }
    TRY(seal_one("."));
    if (!sync_each_ && syncfs(dir_fd_) != 0) {
        return std::unexpected(disk_error(errno_error("sync the file system")));
    }
    return {};
}

std::expected<void, ApiError> PackageWriter::run() {
    const auto entries = read_zip_directory(zip_bytes_);
    if (!entries) {
        return std::unexpected(bad_zip(entries.error()));
    }
    auto plan = plan_package(*entries);
    if (!plan) {
        return std::unexpected(bad_zip(plan.error()));
    }
    plan_ = std::move(*plan);
    if (plan_.files.empty()) {
        return std::unexpected(invalid_parameter("Uploaded file must be a non-empty zip"));
    }
    sync_each_ = plan_.files.size() + plan_.directories.size() <= kFsyncFilesMax;
    TRY(open_zip(*entries));
    for (const std::string& path : plan_.directories) {
        TRY(make_directory(path));
    }
    for (const PlannedFile& file : plan_.files) {
        TRY(write_file(file));
    }
    for (const PlannedFile& link : plan_.symlinks) {
        TRY(make_symlink(link));
    }
    for (const PlannedFile& link : plan_.symlinks) {
        TRY(check_symlink(link));
    }
    return seal();
}

}  // namespace

std::expected<void, ApiError> unpack_zip(std::span<const std::byte> zip, int dir_fd) {
    return PackageWriter(zip, dir_fd).run();
}

}  // namespace hako::registry
