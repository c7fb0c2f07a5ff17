#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/observe/function_logs.h"
#include "tests/unit/meter/test_files.h"

namespace hako::observe {
namespace {

using test::FdLeakCheck;
using test::read_text;
using test::TempDir;

constexpr std::int64_t kDayUs = 86'400'000'000;
constexpr std::int64_t kNoonUs = 1'513'245'600'123'000;  // 2017-12-14T10:00:00.123Z

std::unique_ptr<FunctionLogs> make_logs(FunctionLogsOptions options) {
    auto logs = FunctionLogs::make(options);
    EXPECT_TRUE(logs.has_value());
    return std::move(*logs);
}

TEST(FunctionLogs, WritesOneFilePerFunctionAndDay) {
    const FdLeakCheck leaks;
    const TempDir dir;
    const auto logs = make_logs({.directory = dir.path("log")});
    const LogHandle echo = logs->open("echo").value();
    const LogHandle resize = logs->open("resize").value();
    EXPECT_EQ(logs->open("echo").value(), echo);
    EXPECT_FALSE(logs->dirty());
    logs->append(echo, "one\n");
    logs->append(resize, "other\n");
    logs->append(echo, "two\n");
    EXPECT_TRUE(logs->dirty());
    EXPECT_FALSE(std::filesystem::exists(dir.path("log/echo"))) << "append touches no file";
    ASSERT_TRUE(logs->flush(kNoonUs).has_value());
    EXPECT_FALSE(logs->dirty());
    logs->append(echo, "three\n");
    ASSERT_TRUE(logs->flush(kNoonUs + kDayUs).has_value());
    EXPECT_EQ(read_text(dir.path("log/echo/2017-12-14.log")), "one\ntwo\n");
    EXPECT_EQ(read_text(dir.path("log/echo/2017-12-15.log")), "three\n");
    EXPECT_EQ(read_text(dir.path("log/resize/2017-12-14.log")), "other\n");
    EXPECT_EQ(logs->written_bytes(), 20U);
    EXPECT_EQ(logs->dropped_bytes(), 0U);
}

TEST(FunctionLogs, FilesArePrivate) {
    const TempDir dir;
    const auto logs = make_logs({.directory = dir.path("log")});
    logs->append(logs->open("echo").value(), "secret\n");
    ASSERT_TRUE(logs->flush(kNoonUs).has_value());
    struct stat status = {};
    ASSERT_EQ(::stat(dir.path("log/echo/2017-12-14.log").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    ASSERT_EQ(::stat(dir.path("log/echo").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0700U);
}

TEST(FunctionLogs, RefusesNamesThatAreNotFunctions) {
    const TempDir dir;
    const auto logs = make_logs({.directory = dir.path("log")});
    for (const std::string& name :
         {std::string(),
          std::string(".."),
          std::string("a/b"),
          std::string("a b"),
          std::string("a\n"),
          std::string(65, 'a'),
          std::string("a\0b", 3)}) {
        const auto handle = logs->open(name);
        ASSERT_FALSE(handle.has_value()) << name;
        EXPECT_EQ(handle.error().code, Errc::kInvalid);
    }
    EXPECT_TRUE(logs->open(std::string(64, 'a')).has_value());
}

TEST(FunctionLogs, DropsAndMarksWhatDoesNotFit) {
    const TempDir dir;
    const auto logs = make_logs({.directory = dir.path("log"), .buffer_bytes_max = 100});
    const LogHandle log = logs->open("echo").value();
    const std::string line = std::string(29, 'x') + "\n";
    for (int i = 0; i < 10; ++i) {
        logs->append(log, line);  // three fit
    }
    logs->append(log, "late\n");  // would fit, but its place is behind the gap
    EXPECT_EQ(logs->dropped_bytes(), 7 * 30U + 5U);
    ASSERT_TRUE(logs->flush(kNoonUs).has_value());
    logs->append(log, "after\n");
    ASSERT_TRUE(logs->flush(kNoonUs).has_value());
    EXPECT_EQ(
        read_text(dir.path("log/echo/2017-12-14.log")),
        line + line + line + "[hako: 215 bytes of log dropped]\nafter\n"
    );
}

TEST(FunctionLogs, BoundsAllFunctionsTogether) {
    const TempDir dir;
    const auto logs = make_logs({.directory = dir.path("log"), .buffers_bytes_max = 1000});
    for (int i = 0; i < 20; ++i) {
        std::string name = "f";
        name += std::to_string(i);
        logs->append(logs->open(name).value(), std::string(99, 'x') + "\n");
    }
    EXPECT_EQ(logs->dropped_bytes(), 1000U);
    // What a batch holds is still in memory, so it still counts.
    auto batch = logs->take_flush_batch(kNoonUs);
    logs->append(logs->open("g").value(), "x\n");
    EXPECT_EQ(logs->dropped_bytes(), 1002U);
    ASSERT_TRUE(batch->write().has_value());
    logs->finish_flush(std::move(batch));
    ASSERT_TRUE(logs->flush(kNoonUs).has_value());
    logs->append(logs->open("h").value(), "x\n");
    EXPECT_EQ(logs->dropped_bytes(), 1002U);
}

TEST(FunctionLogs, TakesTextWhileABatchIsBeingWritten) {
    const FdLeakCheck leaks;
    const TempDir dir;
    const auto logs = make_logs({.directory = dir.path("log")});
    const LogHandle log = logs->open("echo").value();
    std::string expected;
    for (int round = 0; round < 50; ++round) {
        const std::string before = "before " + std::to_string(round) + "\n";
        const std::string during = "during " + std::to_string(round) + "\n";
        logs->append(log, before);
        auto batch = logs->take_flush_batch(kNoonUs);
        ASSERT_NE(batch, nullptr);
        std::thread offload([&batch] { EXPECT_TRUE(batch->write().has_value()); });
        logs->append(log, during);
        EXPECT_EQ(logs->take_flush_batch(kNoonUs), nullptr) << "one batch at a time";
        offload.join();
        logs->finish_flush(std::move(batch));
        expected += before + during;
    }
    ASSERT_TRUE(logs->flush(kNoonUs).has_value());
    EXPECT_EQ(read_text(dir.path("log/echo/2017-12-14.log")), expected);
}

TEST(FunctionLogs, RotatesBySizeAndKeepsSome) {
    const FdLeakCheck leaks;
    const TempDir dir;
    const auto logs =
        make_logs({.directory = dir.path("log"), .file_bytes_max = 1000, .rotations_max = 3});
    const LogHandle log = logs->open("echo").value();
    for (int i = 0; i < 20; ++i) {
        logs->append(log, std::string(399, static_cast<char>('a' + i)) + "\n");
        ASSERT_TRUE(logs->flush(kNoonUs).has_value());
    }
    const std::string path = dir.path("log/echo/2017-12-14.log");
    const auto starts = [](const std::string& file) { return read_text(file).substr(0, 1); };
    EXPECT_EQ(starts(path), "s");  // s and t
    EXPECT_EQ(starts(path + ".1"), "q");
    EXPECT_EQ(starts(path + ".2"), "o");
    EXPECT_EQ(starts(path + ".3"), "m");
    EXPECT_FALSE(std::filesystem::exists(path + ".4"));
    EXPECT_EQ(read_text(path).size(), 800U);
}

TEST(FunctionLogs, RemovesExpiredFiles) {
    const FdLeakCheck leaks;
    const TempDir dir;
    const auto logs = make_logs({.directory = dir.path("log"), .retention_days = 2});
    const LogHandle log = logs->open("echo").value();
    for (int day = 0; day < 5; ++day) {
        logs->append(log, "x\n");
        ASSERT_TRUE(logs->flush(kNoonUs + day * kDayUs).has_value());
    }
    std::filesystem::rename(
        dir.path("log/echo/2017-12-15.log"), dir.path("log/echo/2017-12-15.log.2")
    );
    std::ofstream(dir.path("log/echo/notes.txt")) << "not a log\n";
    EXPECT_EQ(logs->remove_expired(kNoonUs + 4 * kDayUs).value(), 3U);
    std::set<std::string> left;
    for (const auto& entry : std::filesystem::directory_iterator(dir.path("log/echo"))) {
        left.insert(entry.path().filename());
    }
    EXPECT_EQ(left, (std::set<std::string>{"2017-12-17.log", "2017-12-18.log", "notes.txt"}));
    EXPECT_EQ(
        make_logs({.directory = dir.path("log"), .retention_days = 0})
            ->remove_expired(kNoonUs + 400 * kDayUs)
            .value(),
        0U
    );
}

TEST(FunctionLogs, MarksWhatTheDiskRefusedAndGoesOn) {
    const FdLeakCheck leaks;
    const TempDir dir;
    const auto logs = make_logs({.directory = dir.path("log")});
    const LogHandle log = logs->open("echo").value();
    logs->append(log, "first line\n");
    ASSERT_TRUE(logs->flush(kNoonUs).has_value());

    rlimit before = {};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit full = {.rlim_cur = 20, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
    logs->append(log, "second line, too long\n");
    const auto failed = logs->flush(kNoonUs);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)std::signal(SIGXFSZ, old_handler);

    ASSERT_FALSE(failed.has_value());
    EXPECT_EQ(failed.error().sys_errno, EFBIG);
    EXPECT_EQ(logs->dropped_bytes(), 13U);
    logs->append(log, "third line\n");
    ASSERT_TRUE(logs->flush(kNoonUs).has_value());
    EXPECT_EQ(
        read_text(dir.path("log/echo/2017-12-14.log")),
        "first line\nsecond li\n[hako: 13 bytes of log dropped]\nthird line\n"
    );
}

TEST(FunctionLogs, OneBadDirectoryDoesNotStopTheOthers) {
    const TempDir dir;
    const auto logs = make_logs({.directory = dir.path("log")});
    std::ofstream(dir.path("log/bad")) << "a file where the directory should be\n";
    logs->append(logs->open("bad").value(), "lost\n");
    logs->append(logs->open("good").value(), "kept\n");
    const auto failed = logs->flush(kNoonUs);
    ASSERT_FALSE(failed.has_value());
    EXPECT_EQ(failed.error().sys_errno, ENOTDIR);
    EXPECT_EQ(read_text(dir.path("log/good/2017-12-14.log")), "kept\n");
    EXPECT_TRUE(logs->remove_expired(kNoonUs).has_value());
}

TEST(FunctionLogs, NeverFollowsALinkInPlaceOfALog) {
    const TempDir dir;
    const auto logs = make_logs({.directory = dir.path("log")});
    std::filesystem::create_directory(dir.path("elsewhere"));
    std::filesystem::create_directory_symlink(dir.path("elsewhere"), dir.path("log/echo"));
    logs->append(logs->open("echo").value(), "x\n");
    EXPECT_FALSE(logs->flush(kNoonUs).has_value());
    EXPECT_TRUE(std::filesystem::is_empty(dir.path("elsewhere")));
}

TEST(FunctionLogs, NamesGroupAndStreamAsCloudWatchDoes) {
    EXPECT_EQ(log_group_name("echo"), "/aws/lambda/echo");
    const std::string hex = "0123456789abcdef0123456789abcdef";
    EXPECT_EQ(log_stream_name(kNoonUs, 0, hex), "2017/12/14/[$LATEST]" + hex);
    EXPECT_EQ(log_stream_name(kNoonUs, 7, hex), "2017/12/14/[7]" + hex);
}

}  // namespace
}  // namespace hako::observe
