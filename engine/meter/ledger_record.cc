#include "engine/meter/ledger_record.h"

#include <algorithm>
#include <cstring>

#include "engine/meter/crc32c.h"

namespace hako::meter {

std::string_view outcome_name(Outcome outcome) noexcept {
    static constexpr std::array<std::string_view, kOutcomeCount> kNames = {
        "ok",
        "function_error",
        "timeout",
        "crash",
        "out_of_memory",
        "response_too_large",
        "protocol_error",
        "client_gone",
        "init_error",
        "killed",
    };
    const auto index = static_cast<std::size_t>(outcome);
    return index < kNames.size() ? kNames[index] : std::string_view("unknown");
}

std::string_view LedgerRecord::function_name() const noexcept {
    const auto end = std::find(function.begin(), function.end(), '\0');
    return {function.data(), static_cast<std::size_t>(end - function.begin())};
}

void LedgerRecord::set_function_name(std::string_view name) noexcept {
    const std::size_t bytes = std::min(name.size(), function.size());
    std::memcpy(function.data(), name.data(), bytes);
    std::fill(function.begin() + static_cast<std::ptrdiff_t>(bytes), function.end(), '\0');
}

std::uint32_t LedgerRecord::compute_crc() const noexcept {
    return meter::crc32c(std::as_bytes(std::span(this, 1)).subspan(sizeof crc32c));
}

}  // namespace hako::meter
