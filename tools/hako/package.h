#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace hako::cli {

/// A function's code as the engine takes it: a zip.
struct Package {
    std::string zip;
    std::uint64_t files_count = 0;  // 0: the zip was given as it is
};

/// Told the part that is done, 0 to 1.
using Progress = std::function<void(double)>;

/// The zip for `path`: a .zip or .jar as it is, else a directory or a single file, packed so that
/// the same files always give the same bytes: sorted names, one fixed time, modes 0644 or 0755,
/// symbolic links kept as links. Throws Failure (usage) that names --code and the limit or file.
[[nodiscard]] Package make_package(const std::string& path, const Progress& progress);

}  // namespace hako::cli
