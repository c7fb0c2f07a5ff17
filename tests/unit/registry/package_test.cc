#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/registry/code_store.h"
#include "engine/registry/package_plan.h"
#include "tests/unit/registry/fixture.h"

namespace hako::registry {
namespace {

constexpr const char* kUnzipText =
    "Could not unzip uploaded file. Please check your file, then try to upload again. hako: ";

class Package : public testing::Test {
protected:
    Package() : Package(testing::TempDir()) {}
    explicit Package(std::string base)
        : dir_(std::move(base)),
          dir_fd_(open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
          store_(dir_fd_.get(), dir_.path()) {}

    std::string add(const std::vector<ZipSource>& sources) { return add_bytes(make_zip(sources)); }
    /// The package's path; the test fails if it was refused.
    std::string add_bytes(const std::string& zip) {
        const auto added = store_.add(bytes_of(zip));
        if (!added) {
            ADD_FAILURE() << added.error().message;
            return {};
        }
        leases_.push_back(*added);
        return store_.package_path((*added)->id);
    }
    mode_t mode_of(const std::string& path) const {
        struct stat status{};
        EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
        return status.st_mode & 07777U;
    }
    static std::string read(const std::string& path) {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    TempDir dir_;
    UniqueFd dir_fd_;
    CodeStore store_;
    std::vector<CodeLease> leases_;
};

/// For hundreds of packages: syncs cost nothing.
class PackageBytes : public Package {
protected:
    PackageBytes() : Package(memory_base()) {}
};

TEST_F(Package, UnpacksContentAndModes) {
    const std::string path = add({
        {.name = "handler.py", .content = "x = 1\n", .mode = 0100600},
        {.name = "bin/", .mode = 040777},
        {.name = "bin/run", .content = "#!/bin/sh\n", .mode = 0106755},
        {.name = "./lib//deep/data", .content = std::string(200000, 'd'), .mode = 0100666},
        {.name = "empty", .content = ""},
        {.name = "link", .content = "lib/deep/data", .mode = 0120777},
        {.name = "bin/up", .content = "../handler.py", .mode = 0120777},
    });
    EXPECT_EQ(
        tree_of(path),
        (std::vector<std::string>{
            "bin/",
            "bin/run",
            "bin/up",
            "empty",
            "handler.py",
            "lib/",
            "lib/deep/",
            "lib/deep/data",
            "link"
        })
    );
    EXPECT_EQ(read(path + "/handler.py"), "x = 1\n");
    EXPECT_EQ(read(path + "/link"), std::string(200000, 'd'));
    EXPECT_EQ(read(path + "/bin/up"), "x = 1\n");
    EXPECT_EQ(mode_of(path + "/handler.py"), 0444U);
    EXPECT_EQ(mode_of(path + "/bin/run"), 0555U) << "setuid and setgid must go";
    EXPECT_EQ(mode_of(path + "/lib/deep/data"), 0444U);
    for (const char* dir : {"", "/bin", "/lib", "/lib/deep"}) {
        EXPECT_EQ(mode_of(path + dir), 0555U) << dir;
    }
}

TEST_F(Package, LooksIntoFilesOfZipsWithoutUnixModes) {
    const std::string path = add({
        {.name = "elf",
         .content = "\x7f"
                    "ELF...",
         .mode = 0,
         .host = 0},
        {.name = "script", .content = "#!/usr/bin/python3\n", .mode = 0100644, .host = 0},
        {.name = "text", .content = "hello", .mode = 0, .host = 0},
        {.name = "unix_text_script", .content = "#!/bin/sh\n", .mode = 0100644},
    });
    EXPECT_EQ(mode_of(path + "/elf"), 0555U);
    EXPECT_EQ(mode_of(path + "/script"), 0555U);
    EXPECT_EQ(mode_of(path + "/text"), 0444U);
    EXPECT_EQ(mode_of(path + "/unix_text_script"), 0444U);
}

TEST_F(Package, UnpacksManyFiles) {
    std::vector<ZipSource> sources;
    for (int i = 0; i < 2000; ++i) {
        sources.push_back({.name = fmt::format("d{}/f{}", i % 20, i)});
    }
    EXPECT_EQ(tree_of(add(sources)).size(), 2020U);
}

struct Hostile {
    const char* label;
    std::vector<ZipSource> sources;
    std::string reason;  // what stands behind Lambda's sentence
};

std::vector<Hostile> hostile_names() {
    const ZipSource good{.name = "handler.py", .content = "x"};
    const std::string deep = [] {
        std::string path;
        for (int i = 0; i < 101; ++i) {
            path += "d/";
        }
        return path + "f";
    }();
    return {
        {"zip slip", {good, {.name = "../evil"}}, "entry '../evil' leads out of the package."},
        {"zip slip inside",
         {{.name = "a/../../evil"}},
         "entry 'a/../../evil' leads out of the package."},
        {"dot dot at the end", {{.name = "a/.."}}, "entry 'a/..' leads out of the package."},
        {"absolute", {{.name = "/etc/passwd"}}, "entry '/etc/passwd' has an absolute path."},
        {"backslash", {{.name = "..\\evil"}}, "entry '..\\evil' has a backslash in its name."},
        {"nul",
         {{.name = std::string("handler.py\0.txt", 15)}},
         "entry 'handler.py?.txt' has a NUL in its name."},
        {"empty name", {{.name = ""}}, "an entry has no name."},
        {"no name after all", {{.name = "."}}, "entry '.' has no name."},
        {"long path",
         {{.name = std::string(1025, 'a')}},
         "entry '" + std::string(200, 'a') + "' has a path over 1024 bytes."},
        {"long component",
         {{.name = "a/" + std::string(256, 'b')}},
         "entry 'a/" + std::string(198, 'b') + "' has a file name over 255 bytes."},
        {"deep",
         {{.name = deep}},
         "entry '" + deep.substr(0, 200) + "' lies deeper than 100 directories."},
    };
}

std::vector<Hostile> hostile_kinds() {
    const ZipSource good{.name = "handler.py", .content = "x"};
    return {
        {"device", {{.name = "null", .mode = 020666}}, "entry 'null' is a device, fifo or socket."},
        {"block device",
         {{.name = "sda", .mode = 060666}},
         "entry 'sda' is a device, fifo or socket."},
        {"fifo", {{.name = "pipe", .mode = 010666}}, "entry 'pipe' is a device, fifo or socket."},
        {"socket", {{.name = "sock", .mode = 0140666}}, "entry 'sock' is a device, fifo or socket."
        },
        {"duplicate", {good, good}, "entry 'handler.py' is there twice."},
        {"duplicate by another spelling",
         {good, {.name = "./handler.py"}},
         "entry './handler.py' is there twice."},
        {"duplicate directory", {{.name = "d/"}, {.name = "d//"}}, "entry 'd//' is there twice."},
        {"file below a file",
         {{.name = "a"}, {.name = "a/b"}},
         "entry 'a/b' lies below 'a', which is not a directory."},
        {"file over a directory",
         {{.name = "a/b"}, {.name = "a"}},
         "entry 'a' is there both as a directory and as a file."},
        {"directory over a file",
         {{.name = "a"}, {.name = "a/"}},
         "entry 'a/' is there both as a directory and as a file."},
        {"file below a symlink",
         {{.name = "l", .content = "/tmp", .mode = 0120777}, {.name = "l/evil"}},
         "entry 'l/evil' lies below 'l', which is not a directory."},
        {"symlink out",
         {good, {.name = "l", .content = "../x", .mode = 0120777}},
         "entry 'l' is a symlink out of the package."},
        {"absolute symlink",
         {good, {.name = "l", .content = "/etc/passwd", .mode = 0120777}},
         "entry 'l' is a symlink out of the package."},
        {"empty symlink",
         {good, {.name = "l", .content = "", .mode = 0120777}},
         "entry 'l' is a symlink out of the package."},
        {"symlink with a NUL",
         {good, {.name = "l", .content = std::string("a\0b", 3), .mode = 0120777}},
         "entry 'l' is a symlink out of the package."},
        {"symlink out by way of another",
         {good,
          {.name = "a/b/c/root", .content = "../../..", .mode = 0120777},
          {.name = "a/b/c/out", .content = "root/../x", .mode = 0120777}},
         "entry 'a/b/c/out' is a symlink out of the package."},
        {"long symlink",
         {good, {.name = "l", .content = std::string(4096, 'a'), .mode = 0120777}},
         "entry 'l' is a symlink of over 4095 bytes."},
        {"encrypted", {{.name = "secret", .flags = 1}}, "entry 'secret' is encrypted."},
        {"size too small in the headers",
         {{.name = "liar", .content = std::string(100000, 'x'), .claimed_bytes = 10}},
         "entry 'liar': "},
        {"size too large in the headers",
         {{.name = "liar", .content = "x", .claimed_bytes = 4000000000}},
         "entry 'liar': "},
    };
}

TEST_F(Package, RefusesHostileZips) {
    std::vector<Hostile> cases = hostile_names();
    std::ranges::move(hostile_kinds(), std::back_inserter(cases));
    for (const Hostile& hostile : cases) {
        SCOPED_TRACE(hostile.label);
        const auto added = store_.add(bytes_of(make_zip(hostile.sources)));
        ASSERT_FALSE(added);
        EXPECT_EQ(added.error().status, 400);
        EXPECT_EQ(added.error().code, "InvalidParameterValueException");
        const std::string expected = kUnzipText + hostile.reason;
        EXPECT_EQ(added.error().message.substr(0, expected.size()), expected);
        EXPECT_TRUE(tree_of(dir_.path()).empty()) << "something was left behind";
    }
}

TEST_F(Package, RefusesABombByWhatComesOutNotByHeaders) {
    // 26 MB a file, deflated to 26 KB; the headers claim one byte each.
    const std::string zeros(26214401, '\0');
    std::vector<ZipSource> sources(10);
    for (std::size_t i = 0; i < sources.size(); ++i) {
        sources[i] = {.name = fmt::format("f{}", i), .content = zeros};
    }
    const auto added = store_.add(bytes_of(make_zip(sources)));
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().message, "Unzipped size must be smaller than 262144000 bytes");
    EXPECT_EQ(added.error().code, "InvalidParameterValueException");
    EXPECT_TRUE(tree_of(dir_.path()).empty());
    sources[9].claimed_bytes = 1;
    sources[0].claimed_bytes = 1;
    const auto lying = store_.add(bytes_of(make_zip(sources)));
    ASSERT_FALSE(lying);
    EXPECT_EQ(lying.error().status, 400);
    EXPECT_TRUE(tree_of(dir_.path()).empty());
}

TEST_F(Package, RefusesZipsThatAreTooLarge) {
    const std::string zip(kZipBytesMax + 1, 'z');
    const auto added = store_.add(bytes_of(zip));
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().status, 413);
    EXPECT_EQ(added.error().code, "RequestEntityTooLargeException");
    EXPECT_EQ(added.error().message, "Zipped size must be smaller than 52428800 bytes");
}

TEST_F(Package, RefusesEmptyZips) {
    for (const std::string& zip :
         {std::string(), make_zip({}), make_zip({{.name = "dir/", .mode = 040755}})}) {
        const auto added = store_.add(bytes_of(zip));
        ASSERT_FALSE(added);
        EXPECT_EQ(added.error().message, "Uploaded file must be a non-empty zip");
    }
}

TEST_F(Package, RefusesTooManyEntries) {
    std::vector<ZipSource> sources(33000);
    for (std::size_t i = 0; i < sources.size(); ++i) {
        // Each brings a directory of its own.
        sources[i].name = fmt::format("d{}/f", i);
    }
    const auto added = store_.add(bytes_of(make_zip(sources)));
    ASSERT_FALSE(added);
    EXPECT_EQ(
        added.error().message,
        std::string(kUnzipText) + "it has more than 65535 files and directories."
    );
}

TEST_F(PackageBytes, RefusesEveryTruncation) {
    const std::string zip = make_zip({
        {.name = "handler.py", .content = "def handle(e, c): return e\n"},
        {.name = "data/x", .content = "12345"},
    });
    for (std::size_t bytes = 1; bytes < zip.size(); ++bytes) {
        const auto added = store_.add(bytes_of(zip.substr(0, bytes)));
        ASSERT_FALSE(added) << bytes;
        EXPECT_TRUE(added.error().message.starts_with(kUnzipText)) << bytes;
    }
    EXPECT_TRUE(tree_of(dir_.path()).empty());
}

TEST_F(PackageBytes, NeverLeavesHalfAPackageWhateverByteIsChanged) {
    const std::string zip = make_zip({
        {.name = "handler.py", .content = "def handle(e, c): return e\n"},
        {.name = "sub/link", .content = "../handler.py", .mode = 0120777},
    });
    std::size_t accepted_count = 0;
    for (std::size_t at = 0; at < zip.size(); ++at) {
        for (const char change : {'\x01', '\x80', '\xff'}) {
            std::string broken = zip;
            broken[at] = static_cast<char>(broken[at] ^ change);
            const auto added = store_.add(bytes_of(broken));
            accepted_count += added ? 1U : 0U;  // times, attributes, a name
        }
    }
    EXPECT_LT(accepted_count, 3 * zip.size());
    store_.collect();
    EXPECT_TRUE(tree_of(dir_.path()).empty());
}

TEST_F(Package, WorksForAnUnprivilegedUser) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "runs as an unprivileged user anyway";
    }
    // As root nothing is ever refused: renaming and removing read-only directories must also work
    // for the engine's user.
    ASSERT_EQ(chown(dir_.path().c_str(), 65534, 65534), 0);
    const std::string zip = make_zip({{.name = "a/b/handler.py", .content = "x"}});
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) {
            _exit(1);
        }
        auto lease = store_.add(bytes_of(zip));
        if (!lease) {
            _exit(2);
        }
        lease->reset();
        _exit(store_.collect() == 1 ? 0 : 3);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << WEXITSTATUS(status);
    EXPECT_TRUE(tree_of(dir_.path()).empty());
}

TEST(PackagePlan, JudgesSymlinksByTheirText) {
    EXPECT_TRUE(is_inside("a", "b"));
    EXPECT_TRUE(is_inside("d/a", "../b"));
    EXPECT_TRUE(is_inside("d/a", "./.././b/c/../.."));
    EXPECT_FALSE(is_inside("a", ".."));
    EXPECT_FALSE(is_inside("d/a", "../../b"));
    EXPECT_FALSE(is_inside("d/a", "../../d/b")) << "out and in again is out";
    EXPECT_FALSE(is_inside("a", "/x"));
}

}  // namespace
}  // namespace hako::registry
