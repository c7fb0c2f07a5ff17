#include <set>
#include <sstream>

#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/sandbox/harness.h"

// What a function finds when it looks around.
namespace hako::sandbox::testing {
namespace {

using namespace hako::spawner;

class Inside : public ::testing::Test {
protected:
    void SetUp() override {
        ASSERT_EQ(harness_.await_started().protocol_version, kProtocolVersion);
        sandbox_ = harness_.acquire();
        ASSERT_TRUE(sandbox_) << harness_.last_acquired.step;
    }
    std::string ask(const std::string& command) {
        return sandbox_->ask(command).value_or("no answer");
    }
    Harness harness_;
    std::optional<Sandbox> sandbox_;
};

/// The value of `key` in /proc/self/status.
std::string field(const std::string& status, const std::string& key) {
    std::istringstream lines(status);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(key + ":\t")) {
            return line.substr(key.size() + 2);
        }
    }
    return "missing";
}

TEST_F(Inside, IdentityHasNoRights) {
    const std::string status = ask("cat /proc/self/status");
    EXPECT_EQ(field(status, "Uid"), "993\t993\t993\t993");
    EXPECT_EQ(field(status, "Gid"), "993\t993\t993\t993");
    EXPECT_EQ(field(status, "Groups"), " ");
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
        EXPECT_EQ(field(status, set), "0000000000000000") << set;
    }
    EXPECT_EQ(field(status, "NoNewPrivs"), "1");
    EXPECT_EQ(field(status, "Seccomp"), "2");
    EXPECT_EQ(field(status, "Seccomp_filters"), "1");
    EXPECT_EQ(field(status, "Pid"), "2");
    EXPECT_EQ(ask("cat /proc/self/environ"), "");
    EXPECT_NE(ask("cat /proc/self/uid_map").find("993"), std::string::npos);
    std::istringstream map(ask("cat /proc/self/gid_map"));
    std::string inner, outer, count, more;
    map >> inner >> outer >> count >> more;
    EXPECT_EQ(inner + " " + count + more, "993 1");
}

TEST_F(Inside, InitHasNoRightsEither) {
    const std::string status = ask("cat /proc/1/status");
    EXPECT_EQ(field(status, "Uid"), "65534\t65534\t65534\t65534");
    EXPECT_EQ(field(status, "CapEff"), "0000000000000000");
    EXPECT_EQ(field(status, "CapPrm"), "0000000000000000");
    EXPECT_EQ(field(status, "CapBnd"), "0000000000000000");
    EXPECT_EQ(field(status, "NoNewPrivs"), "1");
    EXPECT_EQ(field(status, "Seccomp"), "2");
}

TEST_F(Inside, OnlyTheFiveDescriptors) {
    EXPECT_EQ(ask("fds"), "0 /dev/null\n1 pipe\n2 pipe\n3 /memfd\n4 anon_inode\n");
}

TEST_F(Inside, MountsAreFewAndReadOnly) {
    std::istringstream lines(ask("cat /proc/self/mountinfo"));
    std::set<std::string> points;
    for (std::string line; std::getline(lines, line);) {
        std::istringstream fields(line);
        std::string word, point, options;
        for (int i = 0; i < 6 && fields >> word; ++i) {
            (i == 4 ? point : options) = word;
        }
        points.insert(point);
        EXPECT_EQ(options.starts_with("rw") ? "/tmp" : point, point) << line;
        EXPECT_NE(options.find("nosuid"), std::string::npos) << line;
        if (point != "/") {
            EXPECT_NE(options.find("nodev"), std::string::npos) << line;
        }
    }
    EXPECT_EQ(points, (std::set<std::string>{"/", "/usr", "/proc", "/tmp", "/var/task"}));
    EXPECT_EQ(ask("ls /proc").find("sys"), std::string::npos);
    EXPECT_EQ(
        ask("ls /dev"), "fd\nfull\nnull\nrandom\nshm\nstderr\nstdin\nstdout\nurandom\nzero\n"
    );
    EXPECT_EQ(ask("cat /proc/self/cgroup").find("hako"), std::string::npos);
}

TEST_F(Inside, ProgramsRun) {
    EXPECT_EQ(
        ask("sh hostname; id -un; echo hi > /dev/stdout"), "sandbox\nsbx_user1051\nhi\nstatus 0"
    );
    EXPECT_EQ(ask("sh /usr/bin/python3 -c 'print(6*7)'"), "42\nstatus 0");
    EXPECT_EQ(ask("sh getent hosts sandbox.localdomain | cut -d' ' -f1"), "127.0.0.1\nstatus 0");
    EXPECT_EQ(ask("sh ulimit -n; bash -c \"ulimit -u\"; ulimit -c"), "1024\n1024\n0\nstatus 0");
}

struct Program {
    const char* path;
    const char* command;
    const char* output;
};

void PrintTo(const Program& program, std::ostream* out) {
    *out << program.path;
}

class RealRuntime : public ::testing::TestWithParam<Program> {};

// The policy must be wide enough for these as they are.
TEST_P(RealRuntime, RunsUnderThePolicy) {
    const Program program = GetParam();
    if (::access(program.path, X_OK) != 0) {
        GTEST_SKIP() << "needs " << program.path;
    }
    Harness harness;
    ASSERT_EQ(harness.await_started().protocol_version, kProtocolVersion);
    Acquire request = harness.make_acquire();
    request.memory_mib = 1024;
    auto sandbox = harness.acquire(request);
    ASSERT_TRUE(sandbox) << harness.last_acquired.step;
    EXPECT_EQ(sandbox->ask(std::string("sh ") + program.command), program.output);
}

INSTANTIATE_TEST_SUITE_P(
    All,
    RealRuntime,
    ::testing::Values(
        Program{
            "/usr/bin/python3",
            "/usr/bin/python3 -c 'import threading, subprocess, multiprocessing as m, ssl, "
            "asyncio, "
            "sqlite3\nt = threading.Thread(target=print, args=(1,)); t.start(); t.join()\n"
            "print(subprocess.check_output([\"uname\", \"-n\"]).decode().strip())\n"
            "async def f():\n await asyncio.sleep(0.001)\n return 3\n"
            "print(asyncio.run(f()))\n"
            "with m.Pool(2) as p: print(p.map(abs, [-4]))\n"
            "sqlite3.connect(\"/tmp/x.db\").execute(\"create table t (a)\")'",
            "1\nsandbox\n3\n[4]\nstatus 0"
        },
        Program{
            "/usr/bin/node",
            "node -e 'const w = require(\"worker_threads\"), c = require(\"child_process\");"
            "console.log(c.execSync(\"echo child\").toString().trim());"
            "new w.Worker(\"console.log(42)\", {eval: true})'",
            "child\n42\nstatus 0"
        },
        Program{
            "/usr/bin/java",
            "printf 'class H{public static void main(String[] a)throws Exception{Thread t=new "
            "Thread(()->System.out.println(7));t.start();t.join();System.out.println("
            "java.net.InetAddress.getByName(\"localhost\").isLoopbackAddress());}}' > /tmp/H.java; "
            "java /tmp/H.java",
            "7\ntrue\nstatus 0"
        },
        Program{
            "/usr/bin/curl",
            "/usr/bin/python3 -m http.server -d /var/task --bind 127.0.0.1 8123 2>/dev/null & "
            "curl -s --retry-connrefused --retry 20 --retry-delay 1 "
            "http://localhost:8123/hello.txt; echo; kill $!",
            "hello from the code\nstatus 0"
        },
        Program{
            "/usr/bin/bash",
            "bash -c 'set -o pipefail; mkfifo /tmp/p; (echo hi > /tmp/p &) ; cat < /tmp/p | tr a-z "
            "A-Z; exec 3<>/dev/null; ulimit -n'",
            "HI\n1024\nstatus 0"
        }
    )
);

TEST_F(Inside, LoopbackIsUpAndPrivate) {
    EXPECT_EQ(
        ask("sh /usr/bin/python3 -c 'import socket as s; a=s.create_server((\"127.0.0.1\",0)); "
            "b=s.create_connection(a.getsockname()); print(\"up\")'"),
        "up\nstatus 0"
    );
    // The host's neighbours are not there: no route leads anywhere else.
    EXPECT_NE(
        ask("sh /usr/bin/python3 -c 'import socket as s; s.create_connection((\"10.0.0.1\",1))'")
            .find("Network is unreachable"),
        std::string::npos
    );
}

TEST_F(Inside, TmpIsBounded) {
    EXPECT_EQ(ask("size /tmp"), "512");
    Acquire large = harness_.make_acquire();
    large.tmp_mib = 1024;
    auto other = harness_.acquire(large);
    ASSERT_TRUE(other);
    EXPECT_EQ(other->ask("size /tmp"), "1024");
    Acquire roomy = harness_.make_acquire();
    roomy.memory_mib = 1024;
    auto third = harness_.acquire(roomy);
    ASSERT_TRUE(third);
    EXPECT_EQ(third->ask("fill 513"), "errno ENOSPC");
}

TEST_F(Inside, SandboxesDoNotShareIds) {
    std::set<std::string> maps = {ask("cat /proc/self/uid_map")};
    std::vector<Sandbox> others;
    for (int i = 0; i < 20; ++i) {
        auto other = harness_.acquire();
        ASSERT_TRUE(other);
        maps.insert(other->ask("cat /proc/self/uid_map").value_or("none"));
        others.push_back(std::move(*other));
    }
    EXPECT_EQ(maps.size(), 21U);
}

TEST_F(Inside, NothingOfAnotherSandboxIsThere) {
    EXPECT_EQ(ask("sh echo secret > /tmp/mine; ls /tmp"), "mine\nstatus 0");
    auto other = harness_.acquire();
    ASSERT_TRUE(other);
    EXPECT_EQ(other->ask("ls /tmp"), "");
    EXPECT_EQ(other->ask("ls /proc"), "1\n2\nself\nthread-self\n");
}

}  // namespace
}  // namespace hako::sandbox::testing
