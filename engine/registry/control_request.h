#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/registry/api_error.h"
#include "engine/registry/json_reader.h"

namespace hako::registry {

/// One bit each: the table of members says which operations know which member.
enum Operation : std::uint32_t {
    kCreateFunction = 1U << 0U,
    kUpdateFunctionCode = 1U << 1U,
    kUpdateFunctionConfiguration = 1U << 2U,
    kGetFunction = 1U << 3U,
    kGetFunctionConfiguration = 1U << 4U,
    kListFunctions = 1U << 5U,
    kDeleteFunction = 1U << 6U,
    kPutFunctionConcurrency = 1U << 7U,
    kGetFunctionConcurrency = 1U << 8U,
    kDeleteFunctionConcurrency = 1U << 9U,
    kPutProvisionedConcurrencyConfig = 1U << 10U,
    kGetProvisionedConcurrencyConfig = 1U << 11U,
    kDeleteProvisionedConcurrencyConfig = 1U << 12U,
    kGetAccountSettings = 1U << 13U,
};

/// The members of a request, as given; null counts as absent. Types are checked, values not.
struct ControlRequest {
    std::optional<std::string> function_name;
    std::optional<std::string> qualifier;
    std::optional<std::string> runtime;
    std::optional<std::string> role;
    std::optional<std::string> handler;
    std::optional<std::string> description;
    std::optional<std::string> revision_id;
    std::optional<std::string> marker;
    std::optional<std::string> function_version;
    std::optional<std::string> package_type;
    std::optional<std::string> tracing_mode;
    std::optional<std::string> log_format;
    std::optional<std::string> log_group;
    std::optional<std::string> snap_start;
    std::optional<std::string> architecture;
    std::optional<std::int64_t> timeout;
    std::optional<std::int64_t> memory_size;
    std::optional<std::int64_t> ephemeral_size;
    std::optional<std::int64_t> reserved;
    std::optional<std::int64_t> provisioned;
    std::optional<std::int64_t> max_items;
    std::optional<bool> dry_run;
    std::optional<StringPairs> environment;
    std::optional<StringPairs> tags;
    std::optional<std::vector<std::byte>> zip;
    bool code_given = false;
    bool s3_given = false;
};

/// Reads the request of `operation` (its name only for texts). A member the operation does not have
/// is refused, not ignored. Errors: InvalidRequestContentException, InvalidParameterValueException.
[[nodiscard]] std::expected<ControlRequest, ApiError> read_request(
    Operation operation, std::string_view operation_name, std::string_view json
);

}  // namespace hako::registry
