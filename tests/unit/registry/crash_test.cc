#include <csignal>
#include <filesystem>
#include <map>
#include <random>
#include <set>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/base/clock.h"
#include "tests/unit/registry/fixture.h"

// The engine is killed at any instant, again and again on one state directory. What it had
// acknowledged must be there, what it was doing must have happened or not, and nothing half-done
// may show.
namespace hako::registry {
namespace {

constexpr int kRounds = 30;
constexpr int kNames = 4;

/// What the child says over the pipe before (`begin`) and after each operation.
struct Record {
    bool begin = false;
    std::uint32_t name_index = 0;
    std::uint64_t id = 0;  // of the function afterwards, 0: it is deleted
    char revision[40] = {};
};

std::string name_of(std::uint32_t index) {
    return fmt::format("f{}", index);
}

void say(int pipe_fd, const Record& record) {
    if (write(pipe_fd, &record, sizeof(record)) != sizeof(record)) {
        _exit(3);
    }
}

/// One random operation; the status must be a success.
void operate(Engine& engine, std::mt19937& random, std::uint32_t index) {
    const std::string name = name_of(index);
    const std::string by_name = fmt::format(R"({{"FunctionName":"{}"}})", name);
    const std::string zip = python_zip(fmt::format("x = {}\n", random() % 6));
    ControlAnswer answer;
    if (engine.registry->get(name) == nullptr) {
        answer = engine.create(name, zip);
    } else {
        switch (random() % 4) {
            case 0:
                answer = engine.call("DeleteFunction", by_name);
                break;
            case 1:
                answer = engine.call(
                    "UpdateFunctionConfiguration",
                    fmt::format(R"({{"FunctionName":"{}","Timeout":{}}})", name, 1 + random() % 900)
                );
                break;
            default:
                answer = engine.call("UpdateFunctionCode", by_name, zip);
                break;
        }
    }
    if (answer.status >= 300) {
        _exit(4);
    }
}

[[noreturn]] void run_child(const std::string& state, std::uint32_t seed, int pipe_fd) {
    Engine engine(state);
    std::mt19937 random(seed);
    for (;;) {
        const auto index = static_cast<std::uint32_t>(random() % kNames);
        say(pipe_fd, {.begin = true, .name_index = index});
        operate(engine, random, index);
        Record done{.name_index = index};
        if (const FunctionRef function = engine.registry->get(name_of(index))) {
            done.id = function->id;
            function->revision_id.copy(done.revision, sizeof(done.revision) - 1);
        }
        say(pipe_fd, done);
    }
}

class Crash : public testing::Test {
protected:
    /// Kills a child after some operations; keeps what it said.
    void run_round(std::uint32_t seed);
    void read_records(int pipe_fd, std::uint32_t records_count);
    void take(const Record& record);
    /// Reopens and checks everything.
    void verify();

    TempDir dir_{memory_base()};  // kill -9 loses nothing that was written, synced or not
    const std::string state_ = dir_.path() + "/state";
    std::map<std::uint32_t, Record> acknowledged_;
    std::optional<std::uint32_t> pending_;  // the function whose operation was cut off
    std::uint64_t id_max_ = 0;
    std::uint64_t operations_count_ = 0;
};

void Crash::take(const Record& record) {
    if (record.begin) {
        pending_ = record.name_index;
        return;
    }
    pending_.reset();
    ++operations_count_;
    const std::uint64_t before = acknowledged_[record.name_index].id;
    acknowledged_[record.name_index] = record;
    if (record.id != 0 && record.id != before) {
        EXPECT_GT(record.id, id_max_) << "an id was given twice";
        id_max_ = record.id;
    }
}

void Crash::read_records(int pipe_fd, std::uint32_t records_count) {
    Record record;
    for (std::uint32_t i = 0; i < records_count; ++i) {
        if (read(pipe_fd, &record, sizeof(record)) != sizeof(record)) {
            return;
        }
        take(record);
    }
}

void Crash::run_round(std::uint32_t seed) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        run_child(state_, seed, write_end.get());
    }
    write_end.reset();
    std::mt19937 random(seed + 1000);
    read_records(read_end.get(), 1 + static_cast<std::uint32_t>(random() % 24));
    // Somewhere inside of the next operation: an operation takes a few milliseconds.
    const std::int64_t until_us = now_us() + static_cast<std::int64_t>(random() % 4000);
    while (now_us() < until_us) {
    }
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed by itself: " << WEXITSTATUS(status);
    read_records(read_end.get(), UINT32_MAX);
}

void Crash::verify() {
    const Engine engine(state_);
    EXPECT_EQ(engine.report.code.packages_missing_count, 0U);
    std::set<std::string> packages;
    for (std::uint32_t index = 0; index < kNames; ++index) {
        const FunctionRef function = engine.registry->get(name_of(index));
        const Record& known = acknowledged_[index];
        if (pending_ != index) {
            EXPECT_EQ(function == nullptr ? 0 : function->id, known.id);
            EXPECT_EQ(function == nullptr ? "" : function->revision_id, known.revision);
        } else if (function != nullptr && function->id != known.id) {
            EXPECT_GT(function->id, id_max_) << "neither the old state nor a new one";
            id_max_ = function->id;
        }
        Record& now = acknowledged_[index];
        now = {.name_index = index};
        if (function != nullptr) {
            now.id = function->id;
            function->revision_id.copy(now.revision, sizeof(now.revision) - 1);
            packages.insert(function->code_id + "/");
            packages.insert(function->code_id + ".zip");
            packages.insert(function->code_id + "/handler.py");
            EXPECT_EQ(
                std::filesystem::file_size(
                    engine.code->package_path(function->code_id) + "/handler.py"
                ),
                6U
            );
        }
    }
    pending_.reset();
    const auto tree = tree_of(state_ + "/code");
    EXPECT_EQ(std::set<std::string>(tree.begin(), tree.end()), packages);
}

TEST_F(Crash, LeavesTheOldStateOrTheNewOne) {
    const std::size_t fds_count = open_fds_count();
    for (std::uint32_t round = 0; round < kRounds && !HasFailure(); ++round) {
        SCOPED_TRACE(round);
        run_round(round);
        verify();
    }
    EXPECT_GT(operations_count_, 60U) << "the rounds were too short to mean anything";
    RecordProperty("operations", static_cast<int>(operations_count_));
    EXPECT_EQ(open_fds_count(), fds_count);
}

}  // namespace
}  // namespace hako::registry
