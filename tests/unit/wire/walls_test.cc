// The table of walls that can be missing, and the lists of names that settings have.
#include "engine/wire/walls.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

namespace hako::spawner {
namespace {

TEST(Walls, EachHasABitAndANameOfItsOwn) {
    std::uint32_t seen = 0;
    std::set<std::string_view> names;
    for (const WallSpec& spec : kWalls) {
        EXPECT_EQ(seen & spec.wall, 0U) << spec.name;
        seen |= spec.wall;
        EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
        EXPECT_EQ(find_wall(spec.name), &spec);
        // They go into JSON and log lines as they are.
        for (const std::string_view text : {spec.name, spec.missing, spec.instead}) {
            EXPECT_FALSE(text.empty()) << spec.name;
            EXPECT_EQ(text.find_first_of("\"\\\n"), std::string_view::npos) << text;
        }
    }
}

TEST(Walls, NamesGoThereAndBack) {
    for (const std::uint32_t mask : {0U, 1U, kWallFreezer | kWallOwnIds, walls_only(UINT32_MAX)}) {
        EXPECT_EQ(parse_walls(wall_names(mask)), mask) << wall_names(mask);
    }
    EXPECT_EQ(wall_names(kWallMemoryLimit | kWallNotRoot), "not-root,memory-limit");
}

TEST(Walls, AMeasureIsNoWall) {
    EXPECT_EQ(walls_only(kWallCpuTime | kWallGroups), kWallGroups);
}

TEST(Walls, AcceptsAndRefusesLists) {
    EXPECT_EQ(parse_walls(""), 0U);
    EXPECT_EQ(parse_walls("all"), UINT32_MAX);
    EXPECT_EQ(parse_walls("groups,groups"), kWallGroups);
    for (const char* text :
         {",", "groups,", ",groups", "groups, freezer", "all,groups", "Groups"}) {
        EXPECT_EQ(parse_walls(text), std::nullopt) << text;
    }
}

}  // namespace
}  // namespace hako::spawner
