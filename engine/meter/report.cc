#include "engine/meter/report.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "engine/base/ensure.h"

namespace hako::meter {
namespace {

/// Appends to a LineBuffer. The longest line there is fits (checked by the test with every field at
/// its largest), so running over is our mistake.
class LineWriter {
public:
    explicit LineWriter(LineBuffer& out) noexcept : out_(out) {}

    LineWriter& text(std::string_view text) noexcept {
        ENSURE(text.size() <= out_.size() - used_bytes_, "log line over its buffer");
        std::memcpy(out_.data() + used_bytes_, text.data(), text.size());
        used_bytes_ += text.size();
        return *this;
    }
    LineWriter& id(const RequestId& id) noexcept {
        const auto characters = id.text();
        return text({characters.data(), characters.size()});
    }
    LineWriter& number(std::uint64_t value) noexcept {
        const auto [end, error] =
            std::to_chars(out_.data() + used_bytes_, out_.data() + out_.size(), value);
        ENSURE(error == std::errc(), "log line over its buffer");
        used_bytes_ = static_cast<std::size_t>(end - out_.data());
        return *this;
    }
    /// `hundredths` / 100 with two decimals.
    LineWriter& fixed2(std::uint64_t hundredths) noexcept {
        number(hundredths / 100);
        const std::uint64_t rest = hundredths % 100;
        const char decimals[] = {
            '.', static_cast<char>('0' + rest / 10), static_cast<char>('0' + rest % 10)
        };
        return text({decimals, sizeof decimals});
    }
    LineWriter& milliseconds(std::uint64_t us) noexcept { return fixed2(us / 10 + (us % 10 != 0)); }
    /// Text that a function chose: cut, and without anything that could start a field or a line.
    LineWriter& foreign(std::string_view foreign_text) noexcept {
        const std::size_t start = used_bytes_;
        text(foreign_text.substr(0, kErrorTypeBytesMax));
        std::replace_if(
            out_.data() + start,
            out_.data() + used_bytes_,
            [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; },
            '?'
        );
        return *this;
    }
    [[nodiscard]] std::string_view view() const noexcept { return {out_.data(), used_bytes_}; }

private:
    LineBuffer& out_;
    std::size_t used_bytes_ = 0;
};

constexpr std::uint64_t kMib = 1024 * 1024;

}  // namespace

std::string_view format_start(
    LineBuffer& out, const RequestId& id, std::uint32_t version
) noexcept {
    LineWriter line(out);
    line.text("START RequestId: ").id(id).text(" Version: ");
    if (version == 0) {
        line.text("$LATEST");
    } else {
        line.number(version);
    }
    return line.text("\n").view();
}

std::string_view format_end(LineBuffer& out, const RequestId& id) noexcept {
    return LineWriter(out).text("END RequestId: ").id(id).text("\n").view();
}

std::string_view format_report(LineBuffer& out, const ReportLine& report) noexcept {
    LineWriter line(out);
    line.text("REPORT RequestId: ").id(report.request_id);
    line.text("\tDuration: ").milliseconds(report.duration_us);
    line.text(" ms\tBilled Duration: ").number(report.billed_us / 1000);
    line.text(" ms\tMemory Size: ").number(report.memory_mib);
    const std::uint64_t peak_mib =
        report.memory_peak_bytes / kMib + (report.memory_peak_bytes % kMib != 0);
    line.text(" MB\tMax Memory Used: ").number(peak_mib).text(" MB\t");
    if (report.cold) {
        line.text("Init Duration: ").milliseconds(report.init_us).text(" ms\t");
    }
    switch (report.status) {
        case ReportStatus::kOk:
            break;
        case ReportStatus::kTimeout:
            line.text("Status: timeout");
            break;
        case ReportStatus::kError:
            line.text("Status: error");
            if (!report.error_type.empty()) {
                line.text("\tError Type: ").foreign(report.error_type);
            }
            break;
    }
    return line.text("\n").view();
}

std::string_view format_timeout(
    LineBuffer& out, std::string_view iso, const RequestId& id, std::uint64_t timeout_us
) noexcept {
    LineWriter line(out);
    line.text(iso).text(" ").id(id).text(" Task timed out after ");
    return line.fixed2(timeout_us / 10'000).text(" seconds\n\n").view();
}

std::string_view format_exit(
    LineBuffer& out, const RequestId& id, std::string_view reason, std::string_view error_type
) noexcept {
    LineWriter line(out);
    line.text("RequestId: ").id(id).text(" Error: ").foreign(reason).text("\n");
    return line.foreign(error_type).text("\n").view();
}

}  // namespace hako::meter
