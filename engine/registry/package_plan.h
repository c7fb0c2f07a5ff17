#pragma once

#include <cstdint>
#include <expected>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/registry/zip_directory.h"

namespace hako::registry {

inline constexpr std::size_t kPackagePathBytesMax = 1024;
inline constexpr std::size_t kPackageDepthMax = 100;

/// What is to be made of one zip entry.
struct PlannedFile {
    std::uint64_t entry_index = 0;
    std::string path;            // normalised, relative
    bool is_executable = false;  // by its Unix mode
    bool sniff = false;          // no Unix mode: look at the content
};

/// Everything a package will consist of, checked before the first byte is written.
struct PackagePlan {
    std::set<std::string> directories;  // parents come before what is in them
    std::vector<PlannedFile> files;
    std::vector<PlannedFile> symlinks;
};

/// Refuses names that are absolute, empty, too long, hold `..`, a backslash or a NUL; duplicates; a
/// file where a directory is needed; devices, fifos and sockets; encrypted entries. Errors: a
/// sentence naming the entry.
[[nodiscard]] std::expected<PackagePlan, std::string> plan_package(std::span<const ZipEntry> entries
);

/// Whether a symlink at `path` to `target` stays inside the package, judged by the text.
[[nodiscard]] bool is_inside(const std::string& path, const std::string& target);

}  // namespace hako::registry
