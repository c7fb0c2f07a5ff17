#include <map>

#include <gtest/gtest.h>

#include "engine/meter/bill.h"
#include "engine/meter/billing.h"
#include "tests/unit/meter/ledger_fixture.h"

namespace hako::meter::test {
namespace {

using hako::test::TempDir;

LedgerRecord call(const char* function, std::uint32_t version, std::uint64_t duration_us) {
    LedgerRecord record;
    record.set_function_name(function);
    record.version = version;
    record.duration_us = duration_us;
    record.increment_ms = 100;
    record.billed_us = billed_us(duration_us, 0, 100);
    record.memory_mib = 128;
    record.cpu_us = duration_us / 2;
    record.start_wall_us = static_cast<std::int64_t>(duration_us);
    return record;
}

Bill bill_of(const std::string& directory, const BillFilter& filter = {}) {
    auto reader = LedgerReader::open(directory);
    auto bill = summarise(*reader, filter);
    EXPECT_TRUE(bill.has_value());
    return *bill;
}

TEST(Bill, SumsByFunctionAndVersion) {
    const TempDir dir;
    const auto ledger = open_ledger(dir.path(), kSmallSegmentBytes);
    LedgerRecord cold = call("resize", 0, 250'001);
    cold.cold = 1;
    cold.init_us = 1234;
    cold.memory_peak_bytes = 99;
    LedgerRecord failed = call("resize", 0, 7);
    failed.outcome = Outcome::kTimeout;
    failed.memory_mib = 512;
    LedgerRecord left = call("resize", 0, 1);
    left.outcome = Outcome::kClientGone;
    LedgerRecord other = call("resize", 3, 100'000);
    LedgerRecord echo = call("echo", 1, 10);
    for (LedgerRecord* record : {&cold, &failed, &left, &other, &echo}) {
        ASSERT_TRUE(ledger->append(*record).has_value());
    }
    const Bill bill = bill_of(dir.path());
    ASSERT_EQ(bill.rows.size(), 3U);
    EXPECT_EQ(bill.rows[0].function, "echo");
    const BillRow& resize = bill.rows[1];
    EXPECT_EQ(resize.function, "resize");
    EXPECT_EQ(resize.version, 0U);
    EXPECT_EQ(resize.invocations_count, 3U);
    EXPECT_EQ(resize.errors_count, 1U);
    EXPECT_EQ(resize.cold_count, 1U);
    EXPECT_EQ(resize.duration_us, 250'009U);
    EXPECT_EQ(resize.billed_us, 500'000U);
    EXPECT_EQ(resize.init_us, 1234U);
    EXPECT_EQ(resize.cpu_us, 125'003U);
    EXPECT_EQ(resize.memory_mib_max, 512U);
    EXPECT_EQ(resize.memory_peak_bytes_max, 99U);
    EXPECT_EQ(bill.rows[2].version, 3U);
    EXPECT_EQ(bill.total.invocations_count, 5U);
    EXPECT_EQ(bill.total.duration_us, 350'019U);
    // 300 ms and 100 ms at 128 MiB, 100 ms at 512 MiB.
    EXPECT_DOUBLE_EQ(resize.gb_seconds(), 0.4 * 0.125 + 0.1 * 0.5);
    EXPECT_DOUBLE_EQ(
        resize.cost({.per_gb_s = 0.00001667, .per_request = 0.0000002}),
        resize.gb_seconds() * 0.00001667 + 3 * 0.0000002
    );
}

TEST(Bill, Filters) {
    const TempDir dir;
    const auto ledger = open_ledger(dir.path(), kSmallSegmentBytes);
    for (std::uint64_t i = 1; i <= 100; ++i) {
        LedgerRecord record = call(i % 2 == 0 ? "a" : "b", i % 5 == 0 ? 1 : 0, i);
        ASSERT_TRUE(ledger->append(record).has_value());
    }
    EXPECT_EQ(bill_of(dir.path(), {.function = "a"}).total.invocations_count, 50U);
    EXPECT_EQ(bill_of(dir.path(), {.function = "a", .version = 1}).total.invocations_count, 10U);
    EXPECT_EQ(bill_of(dir.path(), {.version = 0}).total.invocations_count, 80U);
    EXPECT_EQ(
        bill_of(dir.path(), {.from_wall_us = 10, .until_wall_us = 20}).total.invocations_count, 10U
    );
    EXPECT_TRUE(bill_of(dir.path(), {.function = "c"}).rows.empty());
}

TEST(Bill, SumsDoNotOverflow) {
    BillRow row;
    const MibMicroseconds largest = MibMicroseconds{900'000'000} * 32768;
    row.billed_mib_us = largest * 10'000'000;  // ten million of the largest calls there are
    EXPECT_NEAR(row.gb_seconds(), 900.0 * 32 * 1e7, 1.0);
}

TEST(Bill, JsonTexts) {
    LedgerRecord record = call("resi\"ze", 0, 1500);
    record.sequence = 9;
    record.start_wall_us = 5;
    record.outcome = Outcome::kOutOfMemory;
    record.request_id = *RequestId::parse("8f507cfc-0123-4697-b07a-ac58fc914c95");
    EXPECT_EQ(
        record_json(record),
        R"({"Sequence":9,"StartWallUs":5,"RequestId":"8f507cfc-0123-4697-b07a-ac58fc914c95",)"
        R"("FunctionName":"resi\"ze","Version":"$LATEST","FunctionVersionId":0,"SandboxId":0,)"
        R"("Outcome":"out_of_memory","Cold":false,"InvocationType":0,"Attempt":0,)"
        R"("DurationUs":1500,"BilledUs":100000,"InitUs":0,"CpuUs":750,"WaitUs":0,)"
        R"("MemoryMib":128,"MemoryPeakBytes":0,"IncrementMs":100,"EventBytes":0,)"
        R"("ResponseBytes":0})"
    );
    const TempDir dir;
    const auto ledger = open_ledger(dir.path(), kSmallSegmentBytes);
    LedgerRecord echo = call("echo", 2, 10);
    ASSERT_TRUE(ledger->append(echo).has_value());
    EXPECT_EQ(
        bill_json(bill_of(dir.path()), {}),
        R"({"Rows":[{"FunctionName":"echo","Version":"2","Invocations":1,"Errors":0,)"
        R"("ColdStarts":0,"DurationUs":10,"BilledUs":100000,"InitUs":0,"CpuUs":5,"WaitUs":0,)"
        R"("MemoryMib":128,"MemoryPeakBytes":0,"DurationP50Us":10,"DurationP95Us":10,)"
        R"("GbSeconds":0.012500000,"Cost":0.000000408}],"Total":{"FunctionName":"",)"
        R"("Version":"$LATEST","Invocations":1,"Errors":0,"ColdStarts":0,"DurationUs":10,)"
        R"("BilledUs":100000,"InitUs":0,"CpuUs":5,"WaitUs":0,"MemoryMib":128,)"
        R"("MemoryPeakBytes":0,"DurationP50Us":10,"DurationP95Us":10,"GbSeconds":0.012500000,)"
        R"("Cost":0.000000408},"GapRecords":0,"SegmentsMissing":0})"
    );
}

TEST(Outcome, EveryOneHasAName) {
    for (std::size_t i = 0; i < kOutcomeCount; ++i) {
        EXPECT_NE(outcome_name(static_cast<Outcome>(i)), "unknown") << i;
    }
    EXPECT_EQ(outcome_name(static_cast<Outcome>(kOutcomeCount)), "unknown");
    EXPECT_FALSE(is_error(Outcome::kOk));
    EXPECT_FALSE(is_error(Outcome::kClientGone));
    EXPECT_TRUE(is_error(Outcome::kInitError));
}

}  // namespace
}  // namespace hako::meter::test
