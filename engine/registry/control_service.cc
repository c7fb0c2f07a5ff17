#include "engine/registry/control_service.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "engine/base/ensure.h"
#include "engine/base/result.h"
#include "engine/registry/control_parts.h"
#include "engine/registry/runtimes.h"
#include "engine/registry/site_service.h"

namespace hako::registry {

namespace {

// Lambda's bound of a CreateFunction request: 50 MB as base64 and some room.
constexpr std::size_t kRequestBytesMax = 70167211;
// Longer requests are parsed on an offload thread: a base64 package takes tens of milliseconds.
constexpr std::size_t kParseInlineBytesMax = 16384;

ApiError unknown_operation(std::string_view operation) {
    return {
        .status = 404,
        .code = "UnknownOperationException",
        .message = fmt::format("hako does not know the operation '{}'.", operation),
    };
}

ControlAnswer refusal(const ApiError& error) {
    return {.status = error.status, .error_code = error.code, .json = error.to_json()};
}

/// The versions, $LATEST of a function before its others, as the database gives them.
std::expected<void, Failure> enter_versions(
    std::vector<FunctionVersion>& versions, CodeStore& code_store, Registry& registry
) {
    for (FunctionVersion& version : versions) {
        const auto kind = runtime_kind(version.runtime);
        if (!kind) {
            return std::unexpected(Failure{fmt::format(
                "registry database: function '{}' has runtime '{}', which this hako does not have",
                version.name,
                version.runtime
            )});
        }
        version.kind = *kind;
        version.arn = function_arn(registry.identity(), version.name);
        version.code = code_store.lease(version.code_id);
        (void)registry.put(std::make_shared<const FunctionVersion>(std::move(version)));
    }
    return {};
}

}  // namespace

std::expected<LoadReport, Failure> load(Store& store, CodeStore& code_store, Registry& registry) {
    TRY_ASSIGN(Store::Contents contents, store.load());
    TRY(enter_versions(contents.versions, code_store, registry));
    for (const auto& [name, number] : contents.last_numbers) {
        registry.set_last_number(name, number);
    }
    for (Store::StoredAlias& stored : contents.aliases) {
        registry.put_alias(stored.function_name, std::move(stored.alias));
    }
    for (const Store::StoredAlias& stored : contents.aliases) {
        (void)registry.share_provisioned(stored.function_name);
    }
    for (Store::StoredPolicy& stored : contents.policies) {
        registry.put_policy(stored.function_name, stored.qualifier, std::move(stored.policy));
    }
    TRY_ASSIGN(const CodeStore::SweepReport swept, code_store.sweep());
    return LoadReport{.functions_count = registry.functions_count(), .code = swept};
}

ControlService::ControlService(
    Registry& registry,
    Store& store,
    CodeStore& code_store,
    BlockingRunner& runner,
    ControlOptions options
)
    : parts_(new ControlParts{
          .registry = registry,
          .store = store,
          .code_store = code_store,
          .runner = runner,
          .options = std::move(options),
      }),
      routes_(model::operations().size()) {
    const std::array families = {
        function_routes(),
        read_routes(),
        version_routes(),
        alias_routes(),
        policy_routes(),
        concurrency_routes(),
        provisioned_routes(),
        tag_routes(),
    };
    for (const std::span<const ControlRoute> family : families) {
        for (const ControlRoute& route : family) {
            const model::Operation* operation = model::find_operation(route.name);
            ENSURE(operation != nullptr && operation->is_served, "what is served is in the model");
            ENSURE(routes_[operation->index()] == nullptr, "an operation has one handler");
            routes_[operation->index()] = &route;
        }
    }
}

ControlService::~ControlService() = default;

const RequestReader& ControlService::reader() const noexcept {
    return parts_->reader;
}

ControlAnswer ControlService::handle(
    std::string_view operation, std::string_view json, std::span<const std::byte> blob
) {
    const model::Operation* known = model::find_operation(operation);
    return known == nullptr ? refusal(unknown_operation(operation))
                            : answer_call(*known, {.json = json, .blob = blob, .is_native = true});
}

ControlAnswer ControlService::handle(
    const model::Operation& operation,
    std::span<const model::Given> given,
    std::string_view json,
    std::span<const std::byte> blob
) {
    return answer_call(operation, {.given = given, .json = json, .blob = blob});
}

ControlAnswer ControlService::answer_call(const model::Operation& operation, const Input& input) {
    const ControlRoute* route = routes_[operation.index()];
    SiteService* sites = parts_->options.sites;
    const bool is_site = sites != nullptr && SiteService::has(operation.name);
    if (route == nullptr && !is_site) {
        return refusal(unknown_operation(operation.name));
    }
    if (input.json.size() > kRequestBytesMax) {
        return refusal(too_large(fmt::format(
            "Request must be smaller than {} bytes for the {} operation",
            kRequestBytesMax,
            operation.name
        )));
    }
    std::expected<Request, ApiError> request;
    const auto read = [this, &request, &operation, &input] {
        request = parts_->reader.read(operation, input.given, input.json);
    };
    if (input.json.size() > kParseInlineBytesMax) {
        parts_->runner.run(read);
    } else {
        read();
    }
    if (!request) {
        return refusal(request.error());
    }
    if (is_site) {
        Outcome done = sites->handle(*request);
        return done ? *std::move(done) : refusal(done.error());
    }
    if (!input.blob.empty() && !route->takes_code) {
        return refusal(invalid_parameter(fmt::format("{} takes no code package.", route->name)));
    }
    if (!input.blob.empty() && request->blob()) {
        return refusal(invalid_parameter(
            "The code package was given twice: as the frame's payload and as ZipFile."
        ));
    }
    ControlCall call{.request = *request, .blob = input.blob, .is_native = input.is_native};
    Outcome outcome = route->handle(*parts_, call);
    if (call.code_released) {
        collect_code();
    }
    return outcome ? std::move(*outcome) : refusal(outcome.error());
}

void ControlService::collect_code() {
    parts_->runner.run([this] { (void)parts_->code_store.collect(); });
}

// ---- what the families share ----

std::expected<FunctionName, ApiError> ControlParts::name_of(
    const ControlCall& call, NameShape shape
) const {
    const bool has_qualifier = call.request.operation().find_member("Qualifier") != nullptr;
    const std::string_view qualifier =
        has_qualifier ? call.request["Qualifier"].text_or("") : std::string_view();
    return resolve_function_name(
        call.request["FunctionName"].text(), qualifier, shape, registry.identity()
    );
}

std::expected<ControlTarget, ApiError> ControlParts::target(
    const ControlCall& call, NameShape shape
) const {
    TRY_ASSIGN(const FunctionName name, name_of(call, shape));
    const Function* function = registry.function(name.name);
    if (function != nullptr) {
        Function::Meaning meaning = function->resolve(name.qualifier);
        if (meaning.version != nullptr) {
            return ControlTarget{
                .function = function,
                .version = std::move(meaning.version),
                .alias = meaning.alias,
                .qualifier = name.qualifier,
            };
        }
    }
    return std::unexpected(function_not_found(registry.identity(), name.name, name.qualifier));
}

std::expected<ControlTarget, ApiError> ControlParts::whole_function(
    const ControlCall& call, NameShape shape
) const {
    TRY_ASSIGN(const FunctionName name, name_of(call, shape));
    if (!name.qualifier.empty()) {
        return std::unexpected(functions_only());
    }
    return target(call, shape);
}

std::expected<BusyMark, ApiError> ControlParts::mark_busy(std::string_view name) {
    return busy_names.mark(std::string(name), function_arn(registry.identity(), name));
}

void ControlParts::announce(const FunctionRef& before, const FunctionRef& after) const {
    ENSURE(before != nullptr || after != nullptr, "a change has a before or an after");
    if (options.on_change) {
        options.on_change(before, after);
    }
}

void ControlParts::share_provisioned(std::string_view name) {
    for (const Registry::Replaced& replaced : registry.share_provisioned(name)) {
        announce(replaced.before, replaced.after);
    }
}

std::string ControlParts::arn(std::string_view name, std::string_view qualifier) const {
    return fmt::format(
        "{}{}{}", function_arn(registry.identity(), name), qualifier.empty() ? "" : ":", qualifier
    );
}

Status check_revision(const Request& request, std::string_view revision_id, std::string_view api) {
    if (request["RevisionId"].text_or(revision_id) == revision_id) {
        return {};
    }
    return std::unexpected(ApiError{
        .status = 412,
        .code = "PreconditionFailedException",
        .message = fmt::format(
            "The Revision Id provided does not match the latest Revision Id. Call the {} API to "
            "retrieve the latest Revision Id",
            api
        ),
    });
}

ApiError functions_only() {
    return invalid_parameter(
        "This operation is permitted on Lambda functions only. Aliases and versions do not support "
        "this operation. Please specify either a function name or an unqualified function ARN."
    );
}

std::size_t page_items(const Request& request) {
    return std::min(
        kPageItems, static_cast<std::size_t>(request["MaxItems"].integer_or(kPageItems))
    );
}

}  // namespace hako::registry
