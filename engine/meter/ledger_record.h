#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "engine/meter/request_id.h"

namespace hako::meter {

/// How an invocation ended. The numbers are in ledger files: append only.
enum class Outcome : std::uint8_t {
    kOk = 0,
    kFunctionError = 1,     ///< the handler raised or reported an error
    kTimeout = 2,           ///< the function's own timeout passed
    kCrash = 3,             ///< the runtime process exited or died by a signal
    kOutOfMemory = 4,       ///< the cgroup's memory limit killed it
    kResponseTooLarge = 5,  ///< over 6 MiB
    kProtocolError = 6,     ///< the shim sent garbage
    kClientGone = 7,        ///< the caller left in mid-call
    kInitError = 8,         ///< the function's init failed or took too long
    kKilled = 9,            ///< the engine ended it (drain deadline, function deleted)
};
inline constexpr std::size_t kOutcomeCount = 10;

/// Stable lower-case name (`function_error`); `unknown` for a number of a later version.
[[nodiscard]] std::string_view outcome_name(Outcome outcome) noexcept;

inline constexpr std::size_t kLedgerFunctionBytes = 64;

/// One invocation. Stored as it is: little-endian, self-contained, crc over everything behind it.
struct LedgerRecord {
    std::uint32_t crc32c = 0;  // set by append
    Outcome outcome = Outcome::kOk;
    std::uint8_t cold = 0;             // 1: this invocation had an init phase
    std::uint8_t invocation_type = 0;  // wire::InvocationType
    std::uint8_t attempt = 0;          // 0: first, 1 and 2: retries of an asynchronous event
    std::uint64_t sequence = 0;        // set by append; from 1, without holes
    std::int64_t start_wall_us = 0;
    RequestId request_id;
    std::uint64_t function_version_id = 0;  // the registry's number
    std::uint64_t sandbox_id = 0;
    std::uint64_t duration_us = 0;
    std::uint64_t billed_us = 0;
    std::uint64_t init_us = 0;
    std::uint64_t cpu_us = 0;
    std::uint64_t wait_us = 0;  // queueing before the instance had it
    std::uint64_t memory_peak_bytes = 0;
    std::uint32_t memory_mib = 0;
    std::uint32_t version = 0;  // 0: $LATEST
    std::uint32_t increment_ms = 0;
    std::uint32_t event_bytes = 0;
    std::uint32_t response_bytes = 0;
    std::uint32_t reserved0 = 0;
    std::array<char, kLedgerFunctionBytes> function = {};  // padded with zeros
    std::array<std::byte, 64> reserved = {};

    [[nodiscard]] std::string_view function_name() const noexcept;
    /// Names of over 64 bytes are cut (Lambda's limit is 64).
    void set_function_name(std::string_view name) noexcept;
    /// The crc these contents should carry.
    [[nodiscard]] std::uint32_t compute_crc() const noexcept;
};
static_assert(sizeof(LedgerRecord) == 256 && std::is_trivially_copyable_v<LedgerRecord>);
static_assert(
    std::has_unique_object_representations_v<LedgerRecord>, "padding would reach the disk"
);
static_assert(std::endian::native == std::endian::little, "records are stored as they are");

/// True for everything an operator counts as an error of the function or of hako.
[[nodiscard]] constexpr bool is_error(Outcome outcome) noexcept {
    return outcome != Outcome::kOk && outcome != Outcome::kClientGone;
}

}  // namespace hako::meter
