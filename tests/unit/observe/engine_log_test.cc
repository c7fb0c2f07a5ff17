#include <regex>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/base/unique_fd.h"
#include "engine/observe/engine_log.h"
#include "engine/observe/metrics.h"

namespace hako::observe {
namespace {

/// What `write` logs, through a pipe; standard error is put back after.
template <typename Write>
std::string logged(bool journal, bool colour, Write write) {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    const UniqueFd read_end(fds[0]);
    UniqueFd write_end(fds[1]);
    set_log_fd(write_end.get(), journal, colour);
    write();
    set_log_fd(STDERR_FILENO, false, false);
    write_end.reset();
    std::string text(65536, '\0');
    const ssize_t got = ::read(read_end.get(), text.data(), text.size());
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
}

TEST(EngineLog, WritesTimeLevelAreaAndFields) {
    const std::string text = logged(false, false, [] {
        log_line(Level::kInfo, "ledger", "next segment ready number={} bytes={}", 3, 8388608);
    });
    EXPECT_TRUE(std::regex_match(
        text,
        std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info ledger next segment ready )"
                   R"(number=3 bytes=8388608\n)")
    )) << text;
}

TEST(EngineLog, PrefixesForTheJournalAndColoursForATerminal) {
    const std::string journal =
        logged(true, false, [] { log_line(Level::kError, "main", "cannot listen"); });
    EXPECT_TRUE(journal.starts_with("<3>2")) << journal;
    EXPECT_TRUE(journal.ends_with("Z error main cannot listen\n")) << journal;
    const std::string colour =
        logged(false, true, [] { log_line(Level::kWarning, "main", "slow"); });
    EXPECT_TRUE(colour.ends_with("Z \x1b[33mwarning\x1b[0m main slow\n")) << colour;
}

TEST(EngineLog, LeavesOutWhatIsBelowTheLevel) {
    set_log_level(Level::kWarning);
    const std::string text = logged(false, false, [] {
        log_line(Level::kInfo, "main", "quiet");
        log_line(Level::kWarning, "main", "loud");
    });
    set_log_level(Level::kInfo);
    EXPECT_EQ(text.find("quiet"), std::string::npos);
    EXPECT_NE(text.find("loud"), std::string::npos);
}

TEST(EngineLog, StaysOneLineWhateverIsInIt) {
    const std::string text = logged(false, false, [] {
        log_line(Level::kInfo, "gateway", "name={}", "a\nb\x1b[31m\tc\x7f");
    });
    EXPECT_TRUE(text.ends_with("name=a\\nb\\x1b[31m\\x09c\\x7f\n")) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST(EngineLog, CutsALongLineAndShowsTheCut) {
    for (const char filler : {'x', '\x01'}) {
        const std::string text = logged(false, true, [filler] {
            log_line(Level::kWarning, "gateway", "{}", std::string(5000, filler));
        });
        EXPECT_TRUE(text.ends_with("...\n")) << text;
        EXPECT_LE(text.size(), 1200U);
        EXPECT_GE(text.size(), 1024U);
    }
}

TEST(EngineLog, SurvivesAClosedStandardError) {
    set_log_fd(-1, false, false);
    log_line(Level::kError, "main", "nobody reads this");
    set_log_fd(STDERR_FILENO, false, false);
}

TEST(Metrics, CountsRecords) {
    Metrics metrics;
    metrics.start_us = 1'000;
    meter::LedgerRecord record;
    record.duration_us = 20;
    record.billed_us = 100'000;
    record.cpu_us = 7;
    record.wait_us = 3;
    record.event_bytes = 64;
    record.response_bytes = 65;
    metrics.record(record);
    record.cold = 1;
    record.init_us = 31;
    record.outcome = meter::Outcome::kTimeout;
    metrics.record(record);
    metrics.throttles_count = 5;
    EXPECT_EQ(
        metrics.to_json(3'000),
        R"({"UptimeUs":2000,"Invocations":2,"Outcomes":{"ok":1,"function_error":0,"timeout":1,)"
        R"("crash":0,"out_of_memory":0,"response_too_large":0,"protocol_error":0,)"
        R"("client_gone":0,"init_error":0,"killed":0},"ColdStarts":1,"Throttles":5,"InFlight":0,)"
        R"("Instances":0,"InstancesIdle":0,"Connections":0,"HttpConnections":0,"DurationSumUs":40,)"
        R"("BilledSumUs":200000,"InitSumUs":31,"CpuSumUs":14,"EventBytes":128,)"
        R"("ResponseBytes":130,"LogDroppedBytes":0,)"
        R"("DurationUs":{"Count":2,"Sum":40,"Min":20,"P50":20,"P90":20,"P99":20,"P999":20,)"
        R"("Max":20},"WaitUs":{"Count":2,"Sum":6,"Min":3,"P50":3,"P90":3,"P99":3,"P999":3,)"
        R"("Max":3},"InitUs":{"Count":1,"Sum":31,"Min":31,"P50":31,"P90":31,"P99":31,"P999":31,)"
        R"("Max":31}})"
    );
}

}  // namespace
}  // namespace hako::observe
