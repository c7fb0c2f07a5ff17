#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <set>
#include <span>
#include <string>

#include <gtest/gtest.h>

#include "engine/meter/billing.h"
#include "engine/meter/crc32c.h"
#include "engine/meter/report.h"
#include "engine/meter/request_id.h"
#include "engine/meter/time_text.h"

namespace hako::meter {
namespace {

constexpr const char* kIdText = "8f507cfc-xmpl-4697-b07a-ac58fc914c95";

RequestId test_id() {
    return *RequestId::parse("8f507cfc-0123-4697-b07a-ac58fc914c95");
}

struct BillingCase {
    std::uint64_t duration_us;
    std::uint64_t init_us;
    std::uint32_t increment_ms;
    std::uint64_t billed_us;
};

TEST(Billing, RoundsUpToTheIncrement) {
    constexpr BillingCase kCases[] = {
        {0, 0, 100, 100'000},  // nothing still bills one increment
        {1, 0, 100, 100'000},
        {99'999, 0, 100, 100'000},
        {100'000, 0, 100, 100'000},
        {100'001, 0, 100, 200'000},
        {200'000, 0, 100, 200'000},
        {200'001, 0, 100, 300'000},
        {899'999'999, 0, 100, 900'000'000},
        {900'000'000, 0, 100, 900'000'000},
        {900'000'001, 0, 100, 900'100'000},
        {0, 0, 1, 1'000},
        {1'000, 0, 1, 1'000},
        {1'001, 0, 1, 2'000},
        {50'000, 50'000, 100, 100'000},  // a billed init counts before rounding
        {50'000, 50'001, 100, 200'000},
        {0, 1, 1, 1'000},
        {59'999'999, 0, 60'000, 60'000'000},
        {60'000'001, 0, 60'000, 120'000'000},
    };
    for (const BillingCase& c : kCases) {
        EXPECT_EQ(billed_us(c.duration_us, c.init_us, c.increment_ms), c.billed_us)
            << c.duration_us << " us + " << c.init_us << " us at " << c.increment_ms << " ms";
    }
}

TEST(Report, StartAndEndAreLambdasText) {
    LineBuffer buffer;
    EXPECT_EQ(
        format_start(buffer, test_id(), 0),
        "START RequestId: 8f507cfc-0123-4697-b07a-ac58fc914c95 Version: $LATEST\n"
    );
    EXPECT_EQ(
        format_start(buffer, test_id(), 17),
        "START RequestId: 8f507cfc-0123-4697-b07a-ac58fc914c95 Version: 17\n"
    );
    EXPECT_EQ(
        format_end(buffer, test_id()), "END RequestId: 8f507cfc-0123-4697-b07a-ac58fc914c95\n"
    );
}

TEST(Report, WarmLineEndsWithATab) {
    LineBuffer buffer;
    const ReportLine line{
        .request_id = test_id(),
        .duration_us = 1230,
        .billed_us = 100'000,
        .memory_mib = 128,
        .memory_peak_bytes = 35 * 1024 * 1024,
    };
    EXPECT_EQ(
        format_report(buffer, line),
        "REPORT RequestId: 8f507cfc-0123-4697-b07a-ac58fc914c95\tDuration: 1.23 ms\t"
        "Billed Duration: 100 ms\tMemory Size: 128 MB\tMax Memory Used: 35 MB\t\n"
    );
}

TEST(Report, ColdLineHasInitDuration) {
    LineBuffer buffer;
    const ReportLine line{
        .request_id = test_id(),
        .duration_us = 2'000,
        .billed_us = 2'000,
        .memory_mib = 1024,
        .memory_peak_bytes = 35 * 1024 * 1024 + 1,  // rounded up
        .cold = true,
        .init_us = 110'120,
    };
    EXPECT_EQ(
        format_report(buffer, line),
        "REPORT RequestId: 8f507cfc-0123-4697-b07a-ac58fc914c95\tDuration: 2.00 ms\t"
        "Billed Duration: 2 ms\tMemory Size: 1024 MB\tMax Memory Used: 36 MB\t"
        "Init Duration: 110.12 ms\t\n"
    );
}

TEST(Report, StatusEndings) {
    LineBuffer buffer;
    ReportLine line{
        .request_id = test_id(),
        .duration_us = 3'000'000,
        .billed_us = 3'000'000,
        .memory_mib = 128,
        .memory_peak_bytes = 1,
        .status = ReportStatus::kTimeout,
    };
    EXPECT_EQ(
        format_report(buffer, line),
        "REPORT RequestId: 8f507cfc-0123-4697-b07a-ac58fc914c95\tDuration: 3000.00 ms\t"
        "Billed Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 1 MB\tStatus: timeout\n"
    );
    line.status = ReportStatus::kError;
    line.error_type = "Runtime.ExitError";
    EXPECT_TRUE(
        format_report(buffer, line).ends_with("\tStatus: error\tError Type: Runtime.ExitError\n")
    );
    line.error_type = "";
    EXPECT_TRUE(format_report(buffer, line).ends_with("MB\tStatus: error\n"));
}

TEST(Report, ForeignTextCannotForgeFieldsOrLines) {
    LineBuffer buffer;
    const std::string head = "A\tBilled Duration: 0 ms\nREPORT";
    const std::string evil = head + std::string(500, 'x');
    const std::string_view line = format_report(
        buffer, {.request_id = test_id(), .status = ReportStatus::kError, .error_type = evil}
    );
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
    EXPECT_NE(line.find("Error Type: A?Billed Duration: 0 ms?REPORTxxx"), std::string_view::npos);
    const std::string kept(kErrorTypeBytesMax - head.size(), 'x');
    EXPECT_TRUE(line.ends_with("REPORT" + kept + "\n"));
}

TEST(Report, PrintedDurationIsNeverBelowWhatWasMeasured) {
    LineBuffer buffer;
    const auto duration = [&buffer](std::uint64_t us) {
        const std::string_view line = format_report(buffer, {.duration_us = us});
        const std::size_t start = line.find("Duration: ") + std::strlen("Duration: ");
        return std::string(line.substr(start, line.find(" ms") - start));
    };
    EXPECT_EQ(duration(0), "0.00");
    EXPECT_EQ(duration(1), "0.01");
    EXPECT_EQ(duration(10), "0.01");
    EXPECT_EQ(duration(11), "0.02");
    EXPECT_EQ(duration(999), "1.00");
    EXPECT_EQ(duration(1'000), "1.00");
    EXPECT_EQ(duration(100'000), "100.00");
    EXPECT_EQ(duration(100'001), "100.01");  // billed 200 ms: the line explains itself
    EXPECT_EQ(duration(900'000'000), "900000.00");
}

TEST(Report, EveryFieldAtItsLargestFits) {
    const std::string longest(1000, 'y');
    LineBuffer buffer;
    const ReportLine line{
        .request_id = test_id(),
        .duration_us = UINT64_MAX,
        .billed_us = UINT64_MAX,
        .memory_mib = UINT32_MAX,
        .memory_peak_bytes = UINT64_MAX,
        .cold = true,
        .init_us = UINT64_MAX,
        .status = ReportStatus::kError,
        .error_type = longest,
    };
    EXPECT_TRUE(format_report(buffer, line).ends_with("\n"));
    EXPECT_LE(format_exit(buffer, test_id(), longest, longest).size(), buffer.size());
    EXPECT_TRUE(format_start(buffer, test_id(), UINT32_MAX).ends_with(" 4294967295\n"));
}

TEST(Report, TimeoutAndExitLines) {
    LineBuffer buffer;
    IsoClock clock;
    EXPECT_EQ(
        format_timeout(buffer, clock.format(1'513'245'600'123'000), test_id(), 3'000'000),
        "2017-12-14T10:00:00.123Z 8f507cfc-0123-4697-b07a-ac58fc914c95 Task timed out after 3.00 "
        "seconds\n\n"
    );
    EXPECT_EQ(
        format_exit(
            buffer, test_id(), "Runtime exited with error: exit status 1", "Runtime.ExitError"
        ),
        "RequestId: 8f507cfc-0123-4697-b07a-ac58fc914c95 Error: Runtime exited with error: exit "
        "status 1\nRuntime.ExitError\n"
    );
}

TEST(RequestId, TextGoesThereAndBack) {
    RequestIdGenerator generator;
    for (int i = 0; i < 1000; ++i) {
        const RequestId id = generator.next();
        const auto text = id.text();
        const std::string_view view(text.data(), text.size());
        ASSERT_EQ(RequestId::parse(view), id);
        ASSERT_EQ(view[14], '4');
        ASSERT_NE(std::string_view("89ab").find(view[19]), std::string_view::npos);
    }
}

TEST(RequestId, RefusesWhatIsNotAUuid) {
    EXPECT_EQ(RequestId::parse(kIdText), std::nullopt);  // "xmpl"
    EXPECT_EQ(RequestId::parse(""), std::nullopt);
    EXPECT_EQ(RequestId::parse("8f507cfc-0123-4697-b07a-ac58fc914c9"), std::nullopt);
    EXPECT_EQ(RequestId::parse("8f507cfc-0123-4697-b07a-ac58fc914c955"), std::nullopt);
    EXPECT_EQ(RequestId::parse("8f507cfc00123-4697-b07a-ac58fc914c95"), std::nullopt);
    EXPECT_EQ(RequestId::parse("8f507cf--0123-4697-b07a-ac58fc914c95"), std::nullopt);
    EXPECT_TRUE(RequestId::parse("8F507CFC-0123-4697-B07A-AC58FC914C95").has_value());
}

TEST(RequestId, DoesNotRepeatAcrossRefills) {
    RequestIdGenerator generator;
    std::set<RequestId> seen;
    constexpr std::size_t kIds = 20'000;  // 78 pools
    for (std::size_t i = 0; i < kIds; ++i) {
        seen.insert(generator.next());
    }
    EXPECT_EQ(seen.size(), kIds);
    RequestIdGenerator other;
    EXPECT_FALSE(seen.contains(other.next()));
}

TEST(RequestId, HexIs32LowerCaseDigits) {
    RequestIdGenerator generator;
    std::array<char, 32> hex = {};
    generator.write_hex32(hex.data());
    for (const char c : hex) {
        EXPECT_NE(std::string_view("0123456789abcdef").find(c), std::string_view::npos) << c;
    }
}

TEST(IsoClock, AgreesWithTheCLibrary) {
    IsoClock clock;
    // Leap days, year ends, the epoch, before it, and steps within one second.
    for (const std::int64_t second :
         {0LL,
          951'782'399LL,
          951'782'400LL,
          1'513'245'600LL,
          1'709'164'800LL,
          1'735'689'599LL,
          4'107'542'400LL,
          -1LL,
          -86'400LL}) {
        for (const std::int64_t ms : {0, 7, 999}) {
            const time_t time = second;
            tm parts = {};
            ASSERT_NE(::gmtime_r(&time, &parts), nullptr);
            std::array<char, 32> text = {};
            ASSERT_GT(::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts), 0U);
            std::array<char, 8> fraction = {};
            (void)std::snprintf(fraction.data(), fraction.size(), ".%03dZ", static_cast<int>(ms));
            EXPECT_EQ(
                clock.format(second * 1'000'000 + ms * 1000 + 999),
                std::string(text.data()) + fraction.data()
            );
        }
    }
}

TEST(Date, ParsesWhatItWrites) {
    for (std::int64_t day = 0; day < 60'000; day += 7) {
        std::array<char, kDateBytes> text = {};
        write_date(text.data(), day, '-');
        ASSERT_EQ(parse_date({text.data(), text.size()}), day);
    }
    for (const char* bad :
         {"2017-02-29", "2017-13-01", "2017-00-10", "1969-12-31", "2017/12/14", "2017-12-1x", ""}) {
        EXPECT_EQ(parse_date(bad), -1) << bad;
    }
}

TEST(Crc32c, KnownAnswers) {
    const auto bytes_of = [](std::string_view text) { return std::as_bytes(std::span(text)); };
    EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283U);
    EXPECT_EQ(crc32c(bytes_of(std::string(32, '\0'))), 0x8a9136aaU);  // RFC 3720 B.4
    EXPECT_EQ(crc32c(bytes_of(std::string(32, '\xff'))), 0x62a8ab43U);
    std::string text;
    for (int i = 0; i < 300; ++i) {
        EXPECT_EQ(crc32c(bytes_of(text)), crc32c_table(bytes_of(text))) << i;
        text += static_cast<char>(i * 37);
    }
}

}  // namespace
}  // namespace hako::meter
