// Which subordinate ids of /etc/subuid an ordinary user's sandboxes get.
#include "sandbox/sub_ids.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace hako::sandbox {
namespace {

std::string found(const char* text) {
    const auto ids = find_sub_ids(text, "ada", 1815);
    return ids ? std::to_string(ids->first) + "+" + std::to_string(ids->count) : "none";
}

TEST(SubIds, AreThoseOfTheUserByNameOrNumber) {
    EXPECT_EQ(found("ada:100000:65536\n"), "100000+65536");
    EXPECT_EQ(found("1815:100000:65536"), "100000+65536");
    EXPECT_EQ(found("bob:1:2\nada:100000:65536\neve:5:6\n"), "100000+65536");
    EXPECT_EQ(found("bob:100000:65536\nadam:1:9\nad:1:9\n"), "none");
    EXPECT_EQ(found(""), "none");
}

TEST(SubIds, AreTheLargestRange) {
    EXPECT_EQ(found("ada:100000:10\n1815:200000:20\nada:300000:15\n"), "200000+20");
}

TEST(SubIds, SkipWhatIsNoRange) {
    for (const char* line :
         {"ada",
          "ada:",
          "ada:1",
          "ada:100000:",
          "ada:x:2",
          "ada:100000:-5",
          "ada:100000:65536:7",
          "ada: 100000:65536",
          "ada:0:65536",                // root
          "ada:100000:1",               // no pair of ids
          "ada:4294967290:6",           // the last number is no id
          "ada:100000:99999999999999",  // more than there are
          ":100000:65536"}) {
        EXPECT_EQ(found(line), "none") << line;
        EXPECT_EQ(found((std::string(line) + "\nada:7:8\n").c_str()), "7+8") << line;
    }
    EXPECT_EQ(found("ada:4294967290:5"), "4294967290+5");
}

TEST(SubIds, NeedNoNameOfTheUser) {
    const auto ids = find_sub_ids(":1:5\n1815:10:20\n", "", 1815);
    ASSERT_TRUE(ids.has_value());
    EXPECT_EQ(ids->first, 10U);
}

}  // namespace
}  // namespace hako::sandbox
