#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "engine/registry/busy_names.h"
#include "engine/registry/control_service.h"
#include "engine/registry/function.h"
#include "engine/registry/request.h"

// Inside of ControlService: what the families of operations (control_*.cc, one file each) share.
namespace hako::registry {

using Outcome = std::expected<ControlAnswer, ApiError>;
using Status = std::expected<void, ApiError>;

/// One operation that is being answered.
struct ControlCall {
    const Request& request;
    std::span<const std::byte> blob;
    bool is_native = false;      // of hako's own clients, not Lambda's HTTP API
    bool code_released = false;  // the operation let go of a package: collect when it is done

    [[nodiscard]] bool has_zip() const noexcept { return request.blob() || !blob.empty(); }
    /// The uploaded zip, whichever way it came; empty if none did.
    [[nodiscard]] std::span<const std::byte> zip() const noexcept {
        return request.blob() ? std::span<const std::byte>(*request.blob()) : blob;
    }
};

/// What a request names. `function` stays valid over a park only under the function's BusyMark.
struct ControlTarget {
    const Function* function = nullptr;
    FunctionRef version;
    const Alias* alias = nullptr;
    std::string_view qualifier;  // as asked for; empty if none

    /// Of the function; lives as long as this, whatever becomes of the function.
    [[nodiscard]] const std::string& name() const noexcept { return version->name; }
};

struct ControlParts {
    Registry& registry;
    Store& store;
    CodeStore& code_store;
    BlockingRunner& runner;
    ControlOptions options;
    RequestReader reader;
    BusyNames busy_names;  // functions that are being changed
    std::uint64_t reserved_pending = 0;  // asked for by operations that wait for the database

    [[nodiscard]] std::expected<FunctionName, ApiError> name_of(
        const ControlCall& call, NameShape shape
    ) const;
    /// The version or alias named by FunctionName and Qualifier. Errors: 404.
    [[nodiscard]] std::expected<ControlTarget, ApiError> target(
        const ControlCall& call, NameShape shape
    ) const;
    /// The function of an operation that takes no version. Errors: 404; 400 with a qualifier.
    [[nodiscard]] std::expected<ControlTarget, ApiError> whole_function(
        const ControlCall& call, NameShape shape = NameShape::kFunctionName
    ) const;
    /// Errors: 409, another operation is at it.
    [[nodiscard]] std::expected<BusyMark, ApiError> mark_busy(std::string_view name);
    void announce(const FunctionRef& before, const FunctionRef& after) const;
    /// Counts provisioned instances again and announces what changed.
    void share_provisioned(std::string_view name);
    /// The ARN of a function with a qualifier, if there is one.
    [[nodiscard]] std::string arn(std::string_view name, std::string_view qualifier) const;

    /// Runs a call of the Store off the loop; its failure becomes a ServiceException.
    template <typename Work>
    [[nodiscard]] Status store_blocking(Work&& work) {
        std::expected<void, Failure> done;
        runner.run([&done, &work] { done = work(); });
        if (!done) {
            return std::unexpected(service_error(done.error().text));
        }
        return {};
    }
};

struct ControlRoute {
    std::string_view name;  // of the operation
    Outcome (*handle)(ControlParts& parts, ControlCall& call);
    bool takes_code = false;
};

// The families; each in the file of its name.
[[nodiscard]] std::span<const ControlRoute> function_routes();
[[nodiscard]] std::span<const ControlRoute> read_routes();
[[nodiscard]] std::span<const ControlRoute> version_routes();
[[nodiscard]] std::span<const ControlRoute> alias_routes();
[[nodiscard]] std::span<const ControlRoute> policy_routes();
[[nodiscard]] std::span<const ControlRoute> concurrency_routes();
[[nodiscard]] std::span<const ControlRoute> provisioned_routes();
[[nodiscard]] std::span<const ControlRoute> tag_routes();

[[nodiscard]] inline ControlAnswer answer(int status, std::string json) {
    return {.status = status, .error_code = {}, .json = std::move(json)};
}
[[nodiscard]] inline ControlAnswer no_content() {
    return {.status = 204, .error_code = {}, .json = {}};
}

/// 412 unless the request names no revision or this one. `api` is where Lambda sends the caller.
[[nodiscard]] Status check_revision(
    const Request& request,
    std::string_view revision_id,
    std::string_view api = "GetFunction/GetAlias"
);
/// `This operation is permitted on Lambda functions only. ...`
[[nodiscard]] ApiError functions_only();

/// Lambda takes larger pages in `MaxItems` and still gives 50 at a time.
inline constexpr std::size_t kPageItems = 50;
[[nodiscard]] std::size_t page_items(const Request& request);

}  // namespace hako::registry
