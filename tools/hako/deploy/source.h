#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <yaml-cpp/node/node.h>

#include "tools/hako/exit_code.h"

// A YAML file whose faults can be told by line: `template.yaml:12: Resources.Hello: ...`.
namespace hako::cli::deploy {

/// A value of the template together with how one got there.
struct Place {
    YAML::Node node;
    std::string path;  ///< Resources.Hello.Properties.Timeout
    const std::string* file = nullptr;

    /// Ends the command with a sentence about this place.
    [[noreturn]] void fail(std::string_view text) const;
    [[nodiscard]] int line() const { return node.Mark().line + 1; }
};

/// One member of a mapping.
struct MemberPlace {
    std::string key;
    Place value;
};

/// The members in the order of the file. Fails if it is not a mapping, or names a key twice.
[[nodiscard]] std::vector<MemberPlace> members_of(const Place& place);
/// The items in order. Fails if it is not a list.
[[nodiscard]] std::vector<Place> items_of(const Place& place);

/// A file of at most 1 MiB, parsed. Owns the name that places point to.
class Source {
public:
    /// Failure (usage): cannot be read, too large, not YAML (with the line).
    explicit Source(std::string path);
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

    [[nodiscard]] Place root() const { return {.node = root_, .path = "", .file = &path_}; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// Where relative paths in the template start.
    [[nodiscard]] std::string directory() const;

private:
    std::string path_;
    YAML::Node root_;
};

}  // namespace hako::cli::deploy
