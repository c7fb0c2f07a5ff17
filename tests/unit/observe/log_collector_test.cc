#include <array>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "engine/observe/log_collector.h"
#include "engine/observe/tail_buffer.h"
#include "tests/unit/meter/test_files.h"

namespace hako::observe {
namespace {

constexpr std::int64_t kNoonUs = 1'513'245'600'123'000;
constexpr const char* kFile = "log/echo/2017-12-14.log";

std::string tail_text(const TailBuffer& tail) {
    std::array<char, kTailBytes> out = {};
    return {out.data(), tail.copy_to(out)};
}

class LogCollectorTest : public testing::Test {
protected:
    void SetUp() override {
        auto made = FunctionLogs::make({.directory = dir_.path("log")});
        ASSERT_TRUE(made.has_value());
        logs_ = std::move(*made);
        log_ = logs_->open("echo").value();
    }
    std::string file_text() {
        EXPECT_TRUE(logs_->flush(kNoonUs).has_value());
        return test::read_text(dir_.path(kFile));
    }
    test::FdLeakCheck leaks_;
    test::TempDir dir_;
    std::unique_ptr<FunctionLogs> logs_;
    LogHandle log_ = nullptr;
};

TEST(TailBuffer, KeepsTheLastBytesOfAnySequenceOfAppends) {
    std::mt19937 random(4096);
    for (int round = 0; round < 300; ++round) {
        TailBuffer tail;
        tail.append("left over from before");
        tail.clear();
        std::string model;
        const int appends_count = static_cast<int>(random() % 30);
        for (int i = 0; i < appends_count; ++i) {
            std::string piece(random() % (i % 7 == 0 ? 10'000 : 900), '\0');
            for (char& c : piece) {
                c = static_cast<char>(random());
            }
            tail.append(piece);
            model += piece;
        }
        const std::size_t kept_bytes = std::min(model.size(), kTailBytes);
        ASSERT_EQ(tail.size_bytes(), kept_bytes);
        ASSERT_EQ(tail_text(tail), model.substr(model.size() - kept_bytes)) << "round " << round;
    }
}

TEST_F(LogCollectorTest, PutsStartOutputEndAndReportInOrder) {
    LogCollector collector(*logs_, log_);
    collector.begin("START\n");
    collector.feed("hel");
    collector.feed("lo\nwor");
    collector.feed("ld\n");
    collector.end("END\n", "REPORT\n");
    EXPECT_EQ(file_text(), "START\nhello\nworld\nEND\nREPORT\n");
    EXPECT_EQ(tail_text(collector.tail()), "START\nhello\nworld\nEND\nREPORT\n");
}

TEST_F(LogCollectorTest, CompletesAnUnfinishedLine) {
    LogCollector collector(*logs_, log_);
    collector.begin("START\n");
    collector.feed("no newline");
    collector.add_line("Task timed out\n\n");
    collector.feed("again none");
    collector.end("END\n", "REPORT\n");
    EXPECT_EQ(file_text(), "START\nno newline\nTask timed out\n\nagain none\nEND\nREPORT\n");
}

TEST_F(LogCollectorTest, OutputOutsideAnInvocationIsNotInTheTail) {
    LogCollector collector(*logs_, log_);
    collector.feed("init output\nand a part");
    collector.begin("START\n");
    collector.end("END\n", "REPORT\n");
    collector.feed("late");
    EXPECT_EQ(tail_text(collector.tail()), "START\nEND\nREPORT\n");
    collector.close();
    EXPECT_EQ(tail_text(collector.tail()), "START\nEND\nREPORT\n");
    EXPECT_EQ(file_text(), "init output\nand a part\nSTART\nEND\nREPORT\nlate\n");
}

TEST_F(LogCollectorTest, EachInvocationHasItsOwnTail) {
    LogCollector collector(*logs_, log_);
    collector.begin("START 1\n");
    collector.feed("first\n");
    collector.end("END 1\n", "REPORT 1\n");
    collector.begin("START 2\n");
    collector.end("END 2\n", "REPORT 2\n");
    EXPECT_EQ(tail_text(collector.tail()), "START 2\nEND 2\nREPORT 2\n");
}

TEST_F(LogCollectorTest, CutsAtTheCapAndSaysSo) {
    LogCollector collector(*logs_, log_, 10);
    collector.begin("START\n");
    collector.feed("12345\n");
    collector.feed("7890123\nmore\n");
    EXPECT_EQ(collector.dropped_bytes(), 9U);
    collector.end("END\n", "REPORT\n");
    const std::string expected =
        "START\n12345\n7890\n[hako: log cut at 10 bytes, 9 bytes dropped]\nEND\nREPORT\n";
    EXPECT_EQ(file_text(), expected);
    EXPECT_EQ(tail_text(collector.tail()), expected);
    collector.begin("START\n");
    collector.feed("123456789\n");  // the cap is per invocation
    collector.end("END\n", "REPORT\n");
    EXPECT_EQ(file_text(), expected + "START\n123456789\nEND\nREPORT\n");
}

TEST_F(LogCollectorTest, BreaksALineThatIsTooLongForTheBuffer) {
    LogCollector collector(*logs_, log_);
    collector.begin("START\n");
    const std::string piece(kLogLineBytesMax / 2 + 1, 'x');
    for (int i = 0; i < 4; ++i) {
        collector.feed(piece);
    }
    collector.end("END\n", "REPORT\n");
    const std::string text = file_text();
    EXPECT_EQ(std::count(text.begin(), text.end(), 'x'), 4 * std::ptrdiff_t(piece.size()));
    EXPECT_EQ(text.find('\n', 6) - 6, kLogLineBytesMax);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3 + 3);
}

TEST_F(LogCollectorTest, AnySplitGivesTheSameText) {
    std::mt19937 random(17);
    std::string expected;
    LogCollector collector(*logs_, log_);
    for (int round = 0; round < 200; ++round) {
        std::string output;
        for (std::size_t lines = random() % 20; lines > 0; --lines) {
            output += std::string(random() % 200, static_cast<char>('a' + lines)) + "\n";
        }
        collector.begin("START\n");
        for (std::size_t at = 0; at < output.size();) {
            const std::size_t bytes = 1 + random() % 300;
            collector.feed(std::string_view(output).substr(at, bytes));
            at += bytes;
        }
        collector.end("END\n", "REPORT\n");
        expected += "START\n" + output + "END\nREPORT\n";
    }
    EXPECT_EQ(file_text(), expected);
}

TEST_F(LogCollectorTest, NeverMixesTheLinesOfTwoInstances) {
    std::mt19937 random(99);
    LogCollector left(*logs_, log_);
    LogCollector right(*logs_, log_);
    left.begin("");
    right.begin("");
    for (int i = 0; i < 5'000; ++i) {
        LogCollector& one = random() % 2 == 0 ? left : right;
        std::string piece(random() % 10, &one == &left ? 'l' : 'r');
        if (random() % 3 == 0) {
            piece += '\n';
        }
        one.feed(piece);
    }
    left.end("", "");
    right.end("", "");
    const std::string text = file_text();
    for (std::size_t start = 0; start < text.size();) {
        const std::size_t end = text.find('\n', start);
        ASSERT_NE(end, std::string::npos);
        const std::string line = text.substr(start, end - start);
        ASSERT_EQ(line.find_first_not_of(line.empty() ? 'l' : line[0]), std::string::npos) << line;
        start = end + 1;
    }
}

}  // namespace
}  // namespace hako::observe
