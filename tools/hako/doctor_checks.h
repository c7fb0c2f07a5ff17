#pragma once

#include <string>
#include <vector>

namespace hako::cli {

/// One thing of the machine that hako uses.
struct DoctorCheck {
    std::string name;
    bool there = false;
    bool needed = false;  ///< hako does not run without it
    std::string value;    ///< what was found: a number, a path, a version
    std::string instead;  ///< what hako does where it is not there
};

/// Where the programs of hako are: those of this installation or build tree.
struct Programs {
    std::string engine;
    std::string spawner;
    std::string native_zygote;
    std::string python_zygote;
};
/// The first usual place that has each; empty if none has. HAKO_SPAWNER names the spawner.
[[nodiscard]] Programs find_programs();

// Each looks at one part of the machine; none changes anything or needs an engine.
void check_programs(const Programs& programs, std::vector<DoctorCheck>& checks);
void check_ring(std::vector<DoctorCheck>& checks);
void check_cgroup_files(int cgroup_version, std::vector<DoctorCheck>& checks);
void check_kernel_files(std::vector<DoctorCheck>& checks);
void check_limits(std::vector<DoctorCheck>& checks);

}  // namespace hako::cli
