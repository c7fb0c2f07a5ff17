#include "tools/hako/package.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include <sys/stat.h>

#include <fmt/format.h>
#include <zip.h>

#include "tools/hako/exit_code.h"

namespace hako::cli {
namespace {

namespace fs = std::filesystem;

// Lambda's limits; the engine checks them too, but only after the upload.
constexpr std::uint64_t kZipBytesMax = 52428800;
constexpr std::uint64_t kUnpackedBytesMax = 262144000;
// 1980-01-01 00:00:00, the first moment that the zip format knows.
constexpr zip_uint16_t kDosDate = (0 << 9) | (1 << 5) | 1;

Failure code_failure(const std::string& text) {
    return {Exit::kUsage, "--code: " + text};
}

struct Entry {
    fs::path path;
    std::string name;  // inside the zip
    mode_t mode = 0;
    std::uint64_t bytes = 0;
};

/// What lstat says, with the mode that is stored: only the kind and the execute bit survive.
Entry inspect(const fs::path& path, const std::string& name) {
    struct stat found{};
    if (::lstat(path.c_str(), &found) != 0) {
        throw code_failure(fmt::format("{}: {}", path.string(), std::strerror(errno)));
    }
    if (S_ISLNK(found.st_mode)) {
        return {path, name, S_IFLNK | 0777, 0};
    }
    if (S_ISDIR(found.st_mode)) {
        return {path, name + "/", S_IFDIR | 0755, 0};
    }
    if (S_ISREG(found.st_mode)) {
        const mode_t mode = (found.st_mode & 0111U) != 0 ? 0755 : 0644;
        return {path, name, S_IFREG | mode, static_cast<std::uint64_t>(found.st_size)};
    }
    throw code_failure(
        fmt::format("{} is neither a file, a directory nor a symbolic link", path.string())
    );
}

std::vector<Entry> list_directory(const fs::path& root) {
    std::vector<Entry> entries;
    std::error_code error;
    auto walk = fs::recursive_directory_iterator(root, error);
    for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
        entries.push_back(
            inspect(walk->path(), walk->path().lexically_relative(root).generic_string())
        );
    }
    if (error) {
        throw code_failure(fmt::format("{}: {}", root.string(), error.message()));
    }
    std::ranges::sort(entries, {}, &Entry::name);
    return entries;
}

/// Owns an archive that is being written into memory.
class Archive {
public:
    Archive() {
        zip_error_t error;
        zip_error_init(&error);
        buffer_ = zip_source_buffer_create(nullptr, 0, 0, &error);
        zip_ = buffer_ == nullptr ? nullptr : zip_open_from_source(buffer_, ZIP_TRUNCATE, &error);
        if (zip_ == nullptr) {
            zip_source_free(buffer_);
            throw code_failure(fmt::format("zip: {}", zip_error_strerror(&error)));
        }
        zip_source_keep(buffer_);
    }
    Archive(const Archive&) = delete;
    Archive& operator=(const Archive&) = delete;
    ~Archive() {
        if (zip_ != nullptr) {
            zip_discard(zip_);
        }
        zip_source_free(buffer_);
    }

    void add(const Entry& entry) {
        const zip_int64_t index = S_ISDIR(entry.mode)
                                      ? zip_dir_add(zip_, entry.name.c_str(), ZIP_FL_ENC_UTF_8)
                                      : add_file(entry);
        if (index < 0) {
            throw failure(entry.path.string());
        }
        const auto at = static_cast<zip_uint64_t>(index);
        const auto attributes = static_cast<zip_uint32_t>(entry.mode) << 16U;
        if (zip_file_set_dostime(zip_, at, 0, kDosDate, 0) != 0 ||
            zip_file_set_external_attributes(zip_, at, 0, ZIP_OPSYS_UNIX, attributes) != 0) {
            throw failure(entry.path.string());
        }
    }

    [[nodiscard]] std::string finish(const Progress& progress) {
        const auto tell = [](zip_t*, double part, void* told) {
            (*static_cast<const Progress*>(told))(part);
        };
        if (progress) {
            zip_register_progress_callback_with_state(
                zip_, 0.01, tell, nullptr, const_cast<Progress*>(&progress)
            );
        }
        if (zip_close(zip_) != 0) {
            throw failure("packing");
        }
        zip_ = nullptr;
        zip_stat_t found;
        if (zip_source_open(buffer_) != 0 || zip_source_stat(buffer_, &found) != 0) {
            throw code_failure("zip: cannot be read back");
        }
        std::string bytes(found.size, '\0');
        const zip_int64_t read = zip_source_read(buffer_, bytes.data(), bytes.size());
        zip_source_close(buffer_);
        if (read < 0 || static_cast<std::uint64_t>(read) != bytes.size()) {
            throw code_failure("zip: cannot be read back");
        }
        return bytes;
    }

private:
    Failure failure(const std::string& what) {
        return code_failure(fmt::format("{}: {}", what, zip_strerror(zip_)));
    }

    zip_int64_t add_file(const Entry& entry) {
        zip_source_t* source = nullptr;
        if (S_ISLNK(entry.mode)) {
            targets_.push_back(fs::read_symlink(entry.path).string());
            source = zip_source_buffer(zip_, targets_.back().data(), targets_.back().size(), 0);
        } else {
            source = zip_source_file(zip_, entry.path.c_str(), 0, -1);
        }
        if (source == nullptr) {
            return -1;
        }
        const zip_int64_t index = zip_file_add(zip_, entry.name.c_str(), source, ZIP_FL_ENC_UTF_8);
        if (index < 0) {
            zip_source_free(source);
        }
        return index;
    }

    zip_source_t* buffer_ = nullptr;
    zip_t* zip_ = nullptr;
    std::deque<std::string> targets_;  // read when the archive is closed, so they must not move
};

std::string read_file(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (!file) {
        throw code_failure(fmt::format("{}: cannot be read", path.string()));
    }
    return bytes;
}

bool is_archive_name(const fs::path& path) {
    return path.extension() == ".zip" || path.extension() == ".jar";
}

void check_zip_size(std::uint64_t bytes) {
    if (bytes > kZipBytesMax) {
        throw code_failure(fmt::format("the zip has {} bytes, at most {}", bytes, kZipBytesMax));
    }
}

std::string pack(const std::vector<Entry>& entries, const Progress& progress) {
    std::uint64_t unpacked_bytes = 0;
    for (const Entry& entry : entries) {
        unpacked_bytes += entry.bytes;
    }
    if (unpacked_bytes > kUnpackedBytesMax) {
        throw code_failure(
            fmt::format("the files have {} bytes, at most {}", unpacked_bytes, kUnpackedBytesMax)
        );
    }
    Archive archive;
    for (const Entry& entry : entries) {
        archive.add(entry);
    }
    std::string zip = archive.finish(progress);
    check_zip_size(zip.size());
    return zip;
}

}  // namespace

Package make_package(const std::string& path, const Progress& progress) {
    struct stat found{};
    if (::stat(path.c_str(), &found) != 0) {
        throw code_failure(fmt::format("{}: {}", path, std::strerror(errno)));
    }
    if (S_ISREG(found.st_mode) && is_archive_name(path)) {
        check_zip_size(static_cast<std::uint64_t>(found.st_size));
        return {.zip = read_file(path)};
    }
    std::vector<Entry> entries;
    if (S_ISDIR(found.st_mode)) {
        entries = list_directory(path);
        if (entries.empty()) {
            throw code_failure(fmt::format("{} is empty", path));
        }
    } else {
        // A single file is followed if it is a link: the link alone would point out of the zip.
        entries.push_back(inspect(fs::canonical(path), fs::path(path).filename().string()));
    }
    return {.zip = pack(entries, progress), .files_count = entries.size()};
}

}  // namespace hako::cli
