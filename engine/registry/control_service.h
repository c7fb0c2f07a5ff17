#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>

#include "engine/registry/api_error.h"
#include "engine/registry/code_store.h"
#include "engine/registry/function_version.h"
#include "engine/registry/registry.h"
#include "engine/registry/request.h"
#include "engine/registry/store.h"

namespace hako::registry {

/// Runs what blocks. In the engine it parks the fiber while an offload thread works; returns when
/// the work is done.
struct BlockingRunner {
    virtual ~BlockingRunner() = default;
    virtual void run(std::move_only_function<void()>&& work) = 0;
};

/// Called on the loop after a change is durable and in the registry. Old null: created; new null:
/// deleted; same id: only concurrency settings changed. Must not park.
using ChangeHook = std::function<void(const FunctionRef& before, const FunctionRef& after)>;
/// How many provisioned instances of a version are ready now; for GetProvisionedConcurrencyConfig.
using ProvisionedReady = std::function<std::uint32_t(const FunctionVersion&)>;

class SiteService;

struct ControlOptions {
    std::uint32_t concurrency_max = 1000;            // of the account
    std::uint32_t unreserved_concurrency_min = 100;  // Lambda keeps that many for the others
    ChangeHook on_change;
    ProvisionedReady provisioned_ready;
    SiteService* sites = nullptr;  // answers what is about function URLs and HTTP APIs
};

struct ControlAnswer {
    int status = 500;
    std::string error_code;  // empty if status < 400
    std::string json;        // empty with 204
};

/// What `load` found.
struct LoadReport {
    std::size_t functions_count = 0;
    CodeStore::SweepReport code;
};

/// Fills `registry` from the database and clears the code store of what a crash left. Blocks; at
/// start only.
[[nodiscard]] std::expected<LoadReport, Failure> load(
    Store& store, CodeStore& code_store, Registry& registry
);

/// Lambda's control operations: those of engine/model that are served, but for invoking. Lives on
/// the loop; everything given to it outlives it.
class ControlService {
public:
    ControlService(
        Registry& registry,
        Store& store,
        CodeStore& code_store,
        BlockingRunner& runner,
        ControlOptions options
    );
    ControlService(const ControlService&) = delete;
    ControlService& operator=(const ControlService&) = delete;

    /// Answers one operation; parks in the runner. `given` are the members that came outside of
    /// the body (model::collect_given), `json` is the body and may hold any member that is not in
    /// `given`. `blob` is the zip, in place of Code.ZipFile (base64). All must outlive the call.
    [[nodiscard]] ControlAnswer handle(
        const model::Operation& operation,
        std::span<const model::Given> given,
        std::string_view json,
        std::span<const std::byte> blob
    );
    /// The same by name, all members in `json`.
    [[nodiscard]] ControlAnswer handle(
        std::string_view operation, std::string_view json, std::span<const std::byte> blob
    );
    /// What reads requests; const, for whoever else must check some (invoke's headers).
    [[nodiscard]] const RequestReader& reader() const noexcept { return reader_; }

    /// Removes code nobody uses any more (call it after the last instance of an old version went).
    void collect_code();

private:
    struct Call;
    struct Route;
    class BusyMark;
    using Outcome = std::expected<ControlAnswer, ApiError>;

    // control_service.cc
    [[nodiscard]] static const Route* find_route(std::string_view operation);
    [[nodiscard]] Outcome dispatch(const Route& route, Call& call);
    [[nodiscard]] std::expected<FunctionName, ApiError> name_of(const Call& call, NameShape shape)
        const;
    [[nodiscard]] std::expected<FunctionRef, ApiError> target(const FunctionName& name) const;
    [[nodiscard]] std::expected<BusyMark, ApiError> mark_busy(std::string_view name);
    void announce(const FunctionRef& before, const FunctionRef& after) const;

    // control_functions.cc
    [[nodiscard]] Outcome create_function(Call& call);
    [[nodiscard]] Outcome update_code(Call& call);
    [[nodiscard]] Outcome update_configuration(Call& call);
    [[nodiscard]] Outcome delete_function(Call& call);
    [[nodiscard]] Outcome install(Call& call, FunctionVersion next, int status);

    // control_reads.cc
    [[nodiscard]] Outcome get_function(Call& call);
    [[nodiscard]] Outcome get_configuration(Call& call);
    [[nodiscard]] Outcome list_functions(Call& call);
    [[nodiscard]] Outcome get_account_settings(Call& call);

    // control_concurrency.cc
    [[nodiscard]] Outcome put_concurrency(Call& call);
    [[nodiscard]] Outcome get_concurrency(Call& call);
    [[nodiscard]] Outcome delete_concurrency(Call& call);
    [[nodiscard]] Outcome put_provisioned(Call& call);
    [[nodiscard]] Outcome get_provisioned(Call& call);
    [[nodiscard]] Outcome delete_provisioned(Call& call);
    [[nodiscard]] std::expected<FunctionRef, ApiError> whole_function(Call& call) const;
    [[nodiscard]] std::optional<ApiError> change_reserved(
        const FunctionRef& before, std::optional<std::uint32_t> count
    );
    [[nodiscard]] std::optional<ApiError> change_provisioned(
        const FunctionRef& before, std::uint32_t count
    );
    [[nodiscard]] std::optional<ApiError> check_provisioned(
        const FunctionVersion& function, std::int64_t count
    ) const;

    Registry& registry_;
    Store& store_;
    CodeStore& code_store_;
    BlockingRunner& runner_;
    ControlOptions options_;
    RequestReader reader_;
    std::unordered_set<std::string> busy_names_;  // functions that are being changed
    std::uint64_t reserved_pending_ = 0;  // asked for by operations that wait for the database
};

}  // namespace hako::registry
