#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "engine/base/ensure.h"
#include "engine/base/result.h"
#include "engine/registry/control_parts.h"
#include "engine/registry/json_writer.h"

// Put, Get and DeleteFunctionConcurrency: what is reserved for a function.
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

std::uint64_t provisioned_total(const Function& function) {
    std::uint64_t total = function.latest->provisioned_own;
    for (const auto& [number, version] : function.versions) {
        total += version->provisioned_own;
    }
    for (const auto& [name, alias] : function.aliases) {
        total += alias.provisioned_count;
    }
    return total;
}

/// Durable, then visible. Under the function's mark.
Status change_reserved(
    ControlParts& parts, const ControlTarget& target, std::optional<std::uint32_t> count
) {
    // Counted before the database is asked: another function's operation may run meanwhile.
    const std::uint64_t held = target.version->common->reserved_concurrency.value_or(0);
    const std::uint64_t more = count.value_or(0) > held ? *count - held : 0;
    parts.reserved_pending += more;
    const Status done =
        parts.store_blocking([&] { return parts.store.set_reserved(target.name(), count); });
    ENSURE(parts.reserved_pending >= more, "what was added is taken off once");
    parts.reserved_pending -= more;
    TRY(done);
    parts.registry.set_reserved(target.name(), count);
    parts.announce(target.function->latest, target.function->latest);
    for (const auto& [number, version] : target.function->versions) {
        parts.announce(version, version);
    }
    return {};
}

Outcome put_concurrency(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.whole_function(call));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    const auto count = static_cast<std::uint32_t>(
        std::min<std::int64_t>(call.request["ReservedConcurrentExecutions"].integer(), INT32_MAX)
    );
    const std::uint64_t others = parts.registry.reserved_total() + parts.reserved_pending -
                                 target.version->common->reserved_concurrency.value_or(0);
    const ControlOptions& options = parts.options;
    if (count > 0 &&
        others + count + options.unreserved_concurrency_min > options.concurrency_max) {
        return std::unexpected(invalid_parameter(fmt::format(
            "Specified ReservedConcurrentExecutions for function decreases account's "
            "UnreservedConcurrentExecution below its minimum value of [{}].",
            options.unreserved_concurrency_min
        )));
    }
    const std::uint64_t provisioned = provisioned_total(*target.function);
    if (provisioned > count) {
        return std::unexpected(invalid_parameter(fmt::format(
            "ReservedConcurrentExecutions  {} should not be lower than function's total "
            "provisioned concurrency [{}].",
            count,
            provisioned
        )));
    }
    TRY(change_reserved(parts, target, count));
    return answer(200, reserved_json(count));
}

Outcome get_concurrency(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.whole_function(call));
    return answer(200, reserved_json(target.version->common->reserved_concurrency));
}

Outcome delete_concurrency(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.whole_function(call));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    TRY(change_reserved(parts, target, std::nullopt));
    return no_content();
}

constexpr std::array kRoutes = {
    ControlRoute{"PutFunctionConcurrency", put_concurrency},
    ControlRoute{"GetFunctionConcurrency", get_concurrency},
    ControlRoute{"DeleteFunctionConcurrency", delete_concurrency},
};

}  // namespace

std::span<const ControlRoute> concurrency_routes() {
    return kRoutes;
}

}  // namespace hako::registry
