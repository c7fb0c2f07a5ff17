#include <filesystem>
#include <latch>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "engine/registry/code_store.h"
#include "engine/registry/digest.h"
#include "tests/unit/registry/fixture.h"

namespace hako::registry {
namespace {

class Code : public testing::Test {
protected:
    Code()
        : dir_fd_(open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
          store_(dir_fd_.get(), dir_.path()) {}

    CodeLease add(CodeStore& store, const std::string& zip) {
        auto added = store.add(bytes_of(zip));
        EXPECT_TRUE(added) << added.error().message;
        return added ? *added : nullptr;
    }
    [[nodiscard]] bool is_there(const std::string& id) const {
        return std::filesystem::exists(dir_.path() + "/" + id);
    }

    TempDir dir_;
    UniqueFd dir_fd_;
    CodeStore store_;
};

TEST_F(Code, NamesPackagesByTheirHash) {
    const std::string zip = python_zip();
    const CodeLease lease = add(store_, zip);
    const Sha256 digest = sha256(bytes_of(zip));
    EXPECT_EQ(lease->id, to_hex(digest));
    EXPECT_EQ(lease->sha256, to_base64(digest));
    EXPECT_EQ(tree_of(store_.package_path(lease->id)), (std::vector<std::string>{"handler.py"}));
}

TEST_F(Code, UnpacksTheSameCodeOnce) {
    const CodeLease first = add(store_, python_zip());
    const auto made = std::filesystem::last_write_time(store_.package_path(first->id));
    const CodeLease second = add(store_, python_zip());
    EXPECT_EQ(first, second);
    EXPECT_EQ(std::filesystem::last_write_time(store_.package_path(first->id)), made);
}

TEST_F(Code, KeepsAPackageWhileAnyoneLeasesIt) {
    CodeLease first = add(store_, python_zip());
    CodeLease second = add(store_, python_zip());
    const std::string id = first->id;
    first.reset();
    EXPECT_EQ(store_.collect(), 0U);
    EXPECT_TRUE(is_there(id));
    second.reset();
    EXPECT_EQ(store_.collect(), 1U);
    EXPECT_FALSE(is_there(id));
    EXPECT_EQ(store_.collect(), 0U);
    EXPECT_NE(add(store_, python_zip()), nullptr) << "it can come back";
    EXPECT_TRUE(is_there(id));
}

TEST_F(Code, SweepRemovesLeftoversAndWhatNobodyNeeds) {
    std::string kept_id;
    std::string unused_id;
    {
        const CodeLease kept = add(store_, python_zip("kept"));
        const CodeLease unused = add(store_, python_zip("unused"));
        kept_id = kept->id;
        unused_id = unused->id;
    }
    std::filesystem::create_directories(dir_.path() + "/.tmp-1-0/sub");
    std::filesystem::create_directories(dir_.path() + "/.gone-1-0/sub");
    std::filesystem::permissions(dir_.path() + "/.gone-1-0", std::filesystem::perms::owner_read);
    std::filesystem::create_directories(dir_.path() + "/not-ours");
    CodeStore restarted(dir_fd_.get(), dir_.path());
    const CodeLease kept = restarted.lease(kept_id);
    const CodeLease missing = restarted.lease(std::string(64, 'a'));
    const auto report = restarted.sweep();
    ASSERT_TRUE(report) << report.error().text;
    EXPECT_EQ(report->leftovers_removed_count, 2U);
    EXPECT_EQ(report->packages_removed_count, 1U);
    EXPECT_EQ(report->packages_missing_count, 1U);
    EXPECT_TRUE(is_there(kept_id));
    EXPECT_FALSE(is_there(unused_id));
    EXPECT_TRUE(is_there("not-ours"));
    EXPECT_FALSE(is_there(".tmp-1-0"));
    EXPECT_FALSE(is_there(".gone-1-0"));
}

TEST_F(Code, RepairsAPackageThatSomebodyDeleted) {
    CodeLease lease = add(store_, python_zip());
    std::filesystem::permissions(store_.package_path(lease->id), std::filesystem::perms::owner_all);
    std::filesystem::remove_all(store_.package_path(lease->id));
    EXPECT_EQ(add(store_, python_zip()), lease);
    EXPECT_TRUE(is_there(lease->id));
}

TEST_F(Code, SurvivesUploadsAndCollectionsAtTheSameTime) {
    constexpr int kThreads = 6;
    constexpr int kRounds = 40;
    std::latch start(kThreads);
    std::atomic<int> faults_count{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([this, t, &start, &faults_count] {
            start.arrive_and_wait();
            for (int round = 0; round < kRounds; ++round) {
                if (t == 0) {
                    store_.collect();
                    continue;
                }
                const auto lease = store_.add(bytes_of(python_zip(std::to_string(round % 3))));
                // Leased, so it must be whole and stay, whatever the others do.
                const bool whole =
                    lease &&
                    std::filesystem::exists(store_.package_path((*lease)->id) + "/handler.py");
                faults_count += whole ? 0 : 1;
                if (round % 5 == 0) {
                    store_.collect();
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(faults_count, 0);
    store_.collect();
    EXPECT_TRUE(tree_of(dir_.path()).empty());
}

TEST_F(Code, LeaksNoDescriptors) {
    const std::size_t before = open_fds_count();
    (void)add(store_, python_zip());
    (void)store_.add(bytes_of("no zip"));
    (void)store_.add(bytes_of(make_zip({{.name = "../x"}})));
    (void)store_.sweep();
    store_.collect();
    EXPECT_EQ(open_fds_count(), before);
}

}  // namespace
}  // namespace hako::registry
