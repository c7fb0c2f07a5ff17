#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/registry/api_error.h"
#include "engine/registry/code_fetcher.h"
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
/// Where a client can fetch the zip of a version (GetFunction's Code.Location).
using CodeLocation = std::function<std::string(const FunctionVersion&)>;

struct ControlOptions {
    std::uint32_t concurrency_max = 1000;            // of the account
    std::uint32_t unreserved_concurrency_min = 100;  // Lambda keeps that many for the others
    ChangeHook on_change;
    ProvisionedReady provisioned_ready;
    SiteService* sites = nullptr;  // answers what is about function URLs and HTTP APIs
    CodeLocation code_location;    // unset: a file:// URL of the zip in the store
    CodeFetcher* code = nullptr;   // for S3Bucket and S3Key; null: there are no buckets
};

struct ControlParts;
struct ControlRoute;

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
    ~ControlService();
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
    [[nodiscard]] const RequestReader& reader() const noexcept;

    /// Removes code nobody uses any more (call it after the last instance of an old version went).
    void collect_code();

private:
    struct Input {
        std::span<const model::Given> given;
        std::string_view json;
        std::span<const std::byte> blob;
        bool is_native = false;
    };
    [[nodiscard]] ControlAnswer answer_call(const model::Operation& operation, const Input& input);

    std::unique_ptr<ControlParts> parts_;
    std::vector<const ControlRoute*> routes_;  // by the index of the operation; null: not served
};

}  // namespace hako::registry
