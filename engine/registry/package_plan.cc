#include "engine/registry/package_plan.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include <sys/stat.h>

#include <fmt/format.h>

#include "engine/base/result.h"
#include "engine/registry/code_store.h"

namespace hako::registry {

namespace {

constexpr std::size_t kComponentBytesMax = 255;  // NAME_MAX

std::unexpected<std::string> fault(std::string_view name, std::string_view what) {
    std::string shown(name.substr(0, 200));
    for (char& character : shown) {
        if (static_cast<unsigned char>(character) < 0x20) {
            character = '?';
        }
    }
    return std::unexpected(fmt::format("entry '{}' {}", shown, what));
}

std::expected<std::vector<std::string_view>, std::string> split_path(std::string_view name) {
    if (name.empty()) {
        return std::unexpected("an entry has no name");
    }
    if (name.find('\0') != std::string_view::npos) {
        return fault(name, "has a NUL in its name");
    }
    if (name.find('\\') != std::string_view::npos) {
        return fault(name, "has a backslash in its name");
    }
    if (name.front() == '/') {
        return fault(name, "has an absolute path");
    }
    if (name.size() > kPackagePathBytesMax) {
        return fault(name, fmt::format("has a path over {} bytes", kPackagePathBytesMax));
    }
    std::vector<std::string_view> components;
    for (std::size_t at = 0; at < name.size();) {
        const std::size_t slash = std::min(name.find('/', at), name.size());
        const std::string_view component = name.substr(at, slash - at);
        at = slash + 1;
        if (component == "..") {
            return fault(name, "leads out of the package");
        }
        if (component.size() > kComponentBytesMax) {
            return fault(name, fmt::format("has a file name over {} bytes", kComponentBytesMax));
        }
        if (!component.empty() && component != ".") {
            components.push_back(component);
        }
    }
    if (components.size() > kPackageDepthMax) {
        return fault(name, fmt::format("lies deeper than {} directories", kPackageDepthMax));
    }
    return components;
}

class Planner {
public:
    std::expected<void, std::string> add(const ZipEntry& entry, std::uint64_t index);
    PackagePlan take() { return std::move(plan_); }

private:
    enum class Kind { kImplicitDir, kDir, kOther };

    /// Makes sure that everything above the last component is a directory.
    std::expected<std::string, std::string> enter_parents(
        std::string_view name, const std::vector<std::string_view>& components
    );
    std::expected<void, std::string> enter(
        std::string_view name, const std::string& path, Kind kind
    );
    static std::expected<mode_t, std::string> file_type(const ZipEntry& entry);

    PackagePlan plan_;
    std::unordered_map<std::string, Kind> kinds_;
};

std::expected<mode_t, std::string> Planner::file_type(const ZipEntry& entry) {
    if (entry.name.ends_with('/')) {
        return mode_t{S_IFDIR};
    }
    const mode_t type = entry.unix_mode & S_IFMT;
    if (type == 0 || type == S_IFREG) {
        return mode_t{S_IFREG};
    }
    if (type == S_IFLNK || type == S_IFDIR) {
        return type;
    }
    return fault(entry.name, "is a device, fifo or socket");
}

std::expected<std::string, std::string> Planner::enter_parents(
    std::string_view name, const std::vector<std::string_view>& components
) {
    std::string path;
    for (std::size_t i = 0; i + 1 < components.size(); ++i) {
        path += components[i];
        const auto [place, is_new] = kinds_.try_emplace(path, Kind::kImplicitDir);
        if (!is_new && place->second == Kind::kOther) {
            return fault(name, fmt::format("lies below '{}', which is not a directory", path));
        }
        if (is_new) {
            plan_.directories.insert(path);
        }
        path += '/';
    }
    return path;
}

std::expected<void, std::string> Planner::enter(
    std::string_view name, const std::string& path, Kind kind
) {
    const auto [place, is_new] = kinds_.try_emplace(path, kind);
    if (is_new) {
        return {};
    }
    if (kind == Kind::kDir && place->second == Kind::kImplicitDir) {
        place->second = Kind::kDir;
        return {};
    }
    if (kind == place->second) {
        return fault(name, "is there twice");
    }
    return fault(name, "is there both as a directory and as a file");
}

std::expected<void, std::string> Planner::add(const ZipEntry& entry, std::uint64_t index) {
    TRY_ASSIGN(const auto components, split_path(entry.name));
    if (entry.is_encrypted()) {
        return fault(entry.name, "is encrypted");
    }
    TRY_ASSIGN(const mode_t type, file_type(entry));
    if (components.empty()) {
        if (type == S_IFDIR) {
            return {};  // `./`: the package itself
        }
        return fault(entry.name, "has no name");
    }
    TRY_ASSIGN(std::string path, enter_parents(entry.name, components));
    path += components.back();
    TRY(enter(entry.name, path, type == S_IFDIR ? Kind::kDir : Kind::kOther));
    if (type == S_IFDIR) {
        plan_.directories.insert(std::move(path));
    } else {
        PlannedFile file{
            .entry_index = index,
            .path = std::move(path),
            .is_executable = (entry.unix_mode & 0111U) != 0,
            .sniff = entry.unix_mode == 0,
        };
        (type == S_IFLNK ? plan_.symlinks : plan_.files).push_back(std::move(file));
    }
    if (kinds_.size() > kPackageEntriesMax) {
        return std::unexpected(
            fmt::format("it has more than {} files and directories", kPackageEntriesMax)
        );
    }
    return {};
}

}  // namespace

std::expected<PackagePlan, std::string> plan_package(std::span<const ZipEntry> entries) {
    Planner planner;
    for (std::uint64_t index = 0; index < entries.size(); ++index) {
        TRY(planner.add(entries[index], index));
    }
    return planner.take();
}

bool is_inside(const std::string& path, const std::string& target) {
    if (target.empty() || target.front() == '/' || target.find('\0') != std::string::npos) {
        return false;
    }
    std::ptrdiff_t depth = std::ranges::count(path, '/');
    for (std::size_t at = 0; at < target.size();) {
        const std::size_t slash = std::min(target.find('/', at), target.size());
        const std::string_view component = std::string_view(target).substr(at, slash - at);
        at = slash + 1;
        if (component == "..") {
            --depth;
        } else if (!component.empty() && component != ".") {
            ++depth;
        }
        if (depth < 0) {
            return false;
        }
    }
    return true;
}

}  // namespace hako::registry
