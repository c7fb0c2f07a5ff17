#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "engine/base/result.h"
#include "engine/registry/control_call.h"
#include "engine/registry/digest.h"
#include "engine/registry/json_writer.h"

namespace hako::registry {

namespace {

std::string reserved_json(std::optional<std::uint32_t> count) {
    JsonWriter json;
    json.open_object();
    if (count) {
        json.member("ReservedConcurrentExecutions", std::uint64_t{*count});
    }
    json.close_object();
    return json.take();
}

std::string provisioned_json(const FunctionVersion& function, std::uint32_t ready_count) {
    const std::uint64_t ready = std::min(ready_count, function.provisioned_count);
    JsonWriter json;
    json.open_object();
    json.member(
        "RequestedProvisionedConcurrentExecutions", std::uint64_t{function.provisioned_count}
    );
    json.member("AvailableProvisionedConcurrentExecutions", ready);
    json.member("AllocatedProvisionedConcurrentExecutions", ready);
    json.member("Status", ready == function.provisioned_count ? "READY" : "IN_PROGRESS");
    json.member("LastModified", function.provisioned_modified);
    json.close_object();
    return json.take();
}

}  // namespace

/// The function of an operation that takes no version.
std::expected<FunctionRef, ApiError> ControlService::whole_function(Call& call) const {
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kFunctionName));
    if (!name.qualifier.empty()) {
        return std::unexpected(invalid_parameter(
            "This operation is permitted on Lambda functions only. Aliases and versions do not "
            "support this operation. Please specify either a function name or an unqualified "
            "function ARN."
        ));
    }
    return target(name);
}

/// Under the function's mark.
std::optional<ApiError> ControlService::change_reserved(
    const FunctionRef& before, std::optional<std::uint32_t> count
) {
    // Counted before the database is asked: another function's operation may run meanwhile.
    const std::uint64_t held = before->reserved_concurrency.value_or(0);
    const std::uint64_t more = count.value_or(0) > held ? *count - held : 0;
    reserved_pending_ += more;
    std::expected<void, Failure> done;
    runner_.run([this, &done, &before, count] { done = store_.set_reserved(before->name, count); });
    ENSURE(reserved_pending_ >= more, "what was added is taken off once");
    reserved_pending_ -= more;
    if (!done) {
        return service_error(done.error().text);
    }
    auto after = std::make_shared<FunctionVersion>(*before);
    after->reserved_concurrency = count;
    (void)registry_.put(after);
    announce(before, after);
    return std::nullopt;
}

ControlService::Outcome ControlService::put_concurrency(Call& call) {
    TRY_ASSIGN(const FunctionRef before, whole_function(call));
    TRY_ASSIGN(const BusyMark mark, mark_busy(before->name));
    const auto count = static_cast<std::uint32_t>(
        std::min<std::int64_t>(call.request["ReservedConcurrentExecutions"].integer(), INT32_MAX)
    );
    const std::uint64_t others =
        registry_.reserved_total() + reserved_pending_ - before->reserved_concurrency.value_or(0);
    if (count > 0 &&
        others + count + options_.unreserved_concurrency_min > options_.concurrency_max) {
        return std::unexpected(invalid_parameter(fmt::format(
            "Specified ReservedConcurrentExecutions for function decreases account's "
            "UnreservedConcurrentExecution below its minimum value of [{}].",
            options_.unreserved_concurrency_min
        )));
    }
    if (before->provisioned_count > count) {
        return std::unexpected(invalid_parameter(fmt::format(
            "ReservedConcurrentExecutions  {} should not be lower than function's total "
            "provisioned concurrency [{}].",
            count,
            before->provisioned_count
        )));
    }
    if (auto fault = change_reserved(before, count)) {
        return std::unexpected(std::move(*fault));
    }
    return ControlAnswer{.status = 200, .error_code = {}, .json = reserved_json(count)};
}

ControlService::Outcome ControlService::get_concurrency(Call& call) {
    TRY_ASSIGN(const FunctionRef function, whole_function(call));
    return ControlAnswer{
        .status = 200, .error_code = {}, .json = reserved_json(function->reserved_concurrency)
    };
}

ControlService::Outcome ControlService::delete_concurrency(Call& call) {
    TRY_ASSIGN(const FunctionRef before, whole_function(call));
    TRY_ASSIGN(const BusyMark mark, mark_busy(before->name));
    if (auto fault = change_reserved(before, std::nullopt)) {
        return std::unexpected(std::move(*fault));
    }
    return ControlAnswer{.status = 204, .error_code = {}, .json = {}};
}

/// Under the function's mark; 0 clears.
std::optional<ApiError> ControlService::change_provisioned(
    const FunctionRef& before, std::uint32_t count
) {
    auto after = std::make_shared<FunctionVersion>(*before);
    after->provisioned_count = count;
    after->provisioned_modified = count == 0 ? std::string() : lambda_time(wall_us());
    std::expected<void, Failure> done;
    runner_.run([this, &done, &after] {
        done = store_.set_provisioned(
            after->id, after->provisioned_count, after->provisioned_modified
        );
    });
    if (!done) {
        return service_error(done.error().text);
    }
    (void)registry_.put(after);
    announce(before, after);
    return std::nullopt;
}

std::optional<ApiError> ControlService::check_provisioned(
    const FunctionVersion& function, std::int64_t count
) const {
    if (function.reserved_concurrency) {
        if (count > *function.reserved_concurrency) {
            return invalid_parameter(
                "Requested Provisioned Concurrency should not be greater than the "
                "reservedConcurrentExecution for function"
            );
        }
        return std::nullopt;
    }
    const std::uint64_t taken = registry_.reserved_total() + reserved_pending_;
    const std::uint64_t unreserved =
        options_.concurrency_max - std::min<std::uint64_t>(taken, options_.concurrency_max);
    if (static_cast<std::uint64_t>(count) > unreserved) {
        return invalid_parameter(fmt::format(
            "Specified ConcurrentExecutions for function is greater than account's unreserved "
            "concurrency [{}].",
            unreserved
        ));
    }
    return std::nullopt;
}

ControlService::Outcome ControlService::put_provisioned(Call& call) {
    // Lambda refuses $LATEST here; hako has it, because it has no other version yet.
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kFunctionName));
    TRY_ASSIGN(const FunctionRef before, target(name));
    TRY_ASSIGN(const BusyMark mark, mark_busy(before->name));
    const auto count = static_cast<std::uint32_t>(
        std::min<std::int64_t>(call.request["ProvisionedConcurrentExecutions"].integer(), INT32_MAX)
    );
    if (auto fault = check_provisioned(*before, count)) {
        return std::unexpected(std::move(*fault));
    }
    if (auto fault = change_provisioned(before, count)) {
        return std::unexpected(std::move(*fault));
    }
    const FunctionRef after = registry_.get(before->name);
    ENSURE(after != nullptr, "the mark keeps the function from being deleted");
    return ControlAnswer{.status = 202, .error_code = {}, .json = provisioned_json(*after, 0)};
}

ControlService::Outcome ControlService::get_provisioned(Call& call) {
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kFunctionName));
    TRY_ASSIGN(const FunctionRef function, target(name));
    if (function->provisioned_count == 0) {
        return std::unexpected(ApiError{
            .status = 404,
            .code = "ProvisionedConcurrencyConfigNotFoundException",
            .message = "No Provisioned Concurrency Config found for this function",
        });
    }
    const std::uint32_t ready =
        options_.provisioned_ready ? options_.provisioned_ready(*function) : 0;
    return ControlAnswer{
        .status = 200, .error_code = {}, .json = provisioned_json(*function, ready)
    };
}

ControlService::Outcome ControlService::delete_provisioned(Call& call) {
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kFunctionName));
    TRY_ASSIGN(const FunctionRef before, target(name));
    TRY_ASSIGN(const BusyMark mark, mark_busy(before->name));
    if (before->provisioned_count != 0) {
        if (auto fault = change_provisioned(before, 0)) {
            return std::unexpected(std::move(*fault));
        }
    }
    return ControlAnswer{.status = 204, .error_code = {}, .json = {}};
}

}  // namespace hako::registry
