#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/cgroup.h"

// What cgroup.cc and cgroup_tree.cc share.
namespace hako::sandbox {

inline constexpr std::string_view kLeafPrefix = "sb-";

/// Name of a control file under `version`, and the controller that brings it.
struct ControlFileSpec {
    Controller controller;
    const char* v1;
    const char* v2;
};
[[nodiscard]] const ControlFileSpec& spec_of(ControlFile file) noexcept;

/// The pids in `leaf`, as visible from here (0s, which are others' pids, left out).
[[nodiscard]] std::vector<int> read_leaf_pids(const Hierarchy& hierarchy, const std::string& leaf);
/// Lets frozen processes run (or die); v2: kills all.
void thaw_and_kill_leaf(const CgroupTree& tree, const std::string& leaf) noexcept;

}  // namespace hako::sandbox
