#include "engine/base/id_map.h"

#include <algorithm>
#include <fstream>

namespace hako {
namespace {

struct MapLine {
    std::uint32_t inside = 0;
    std::uint32_t outside = 0;
    std::uint32_t count = 0;
};

std::uint64_t end_of_mapped(const char* path, std::uint64_t first) {
    std::ifstream file(path);
    std::uint64_t end = first;
    // Lines may come in any order; there are at most 340, and two or three in practice.
    for (bool grew = true; grew;) {
        grew = false;
        file.clear();
        file.seekg(0);
        for (MapLine line; file >> line.inside >> line.outside >> line.count;) {
            const std::uint64_t line_end = std::uint64_t{line.inside} + line.count;
            if (line.inside <= end && end < line_end) {
                end = line_end;
                grew = true;
            }
        }
    }
    return end;
}

}  // namespace

std::uint64_t end_of_ids(std::uint32_t first) {
    return std::min(
        end_of_mapped("/proc/self/uid_map", first), end_of_mapped("/proc/self/gid_map", first)
    );
}

bool has_ids(std::uint32_t first, std::uint32_t count) {
    return end_of_ids(first) >= std::uint64_t{first} + count;
}

bool is_in_user_namespace() {
    std::ifstream file("/proc/self/uid_map");
    MapLine line;
    return !(file >> line.inside >> line.outside >> line.count) || line.inside != 0 ||
           line.outside != 0 || line.count != UINT32_MAX;
}

}  // namespace hako
