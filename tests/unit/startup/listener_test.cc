#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/startup/listener.h"

namespace hako::startup {
namespace {

class Listener : public ::testing::Test {
protected:
    void SetUp() override {
        char pattern[] = "/tmp/hako-listener-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    [[nodiscard]] std::string path() const { return folder_ + "/run/hako.sock"; }

    std::string folder_;
};

TEST_F(Listener, MakesTheFolderAndSetsTheMode) {
    const auto opened = open_unix_listener({.path = path(), .mode = 0600});
    ASSERT_TRUE(opened.has_value()) << opened.error().what;
    struct stat info{};
    ASSERT_EQ(::stat(path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(Listener, ASocketThatAnswersIsNotTakenOver) {
    const auto first = open_unix_listener({.path = path()});
    ASSERT_TRUE(first.has_value());
    const auto second = open_unix_listener({.path = path()});
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code, Errc::kExists);
}

TEST_F(Listener, ASocketOfADeadEngineIsReplaced) {
    {
        ASSERT_TRUE(open_unix_listener({.path = path()}).has_value());
    }
    ASSERT_TRUE(std::filesystem::exists(path()));
    EXPECT_TRUE(open_unix_listener({.path = path()}).has_value());
}

TEST_F(Listener, AFileInTheWayIsLeftAlone) {
    std::filesystem::create_directories(folder_ + "/run");
    std::ofstream(path()) << "precious";
    const auto opened = open_unix_listener({.path = path()});
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, Errc::kInvalid);
    EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(Listener, TooLongAPathIsNamed) {
    const auto opened = open_unix_listener({.path = folder_ + "/" + std::string(200, 'x')});
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, Errc::kLimit);
}

TEST_F(Listener, ActivationForAnotherProcessIsNotOurs) {
    ::setenv("LISTEN_PID", "1", 1);
    ::setenv("LISTEN_FDS", "1", 1);
    const auto taken = take_activated_listeners();
    ASSERT_TRUE(taken.has_value());
    EXPECT_TRUE(taken->frame.empty() && taken->http.empty());
    EXPECT_EQ(std::getenv("LISTEN_FDS"), nullptr) << "children must not see it";
}

}  // namespace
}  // namespace hako::startup
