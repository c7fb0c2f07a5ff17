#include "engine/registry/control_service.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "engine/base/ensure.h"
#include "engine/base/result.h"
#include "engine/registry/control_call.h"
#include "engine/registry/runtimes.h"
#include "engine/registry/site_service.h"
#include "engine/registry/validation.h"

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

}  // namespace

std::expected<LoadReport, Failure> load(Store& store, CodeStore& code_store, Registry& registry) {
    TRY_ASSIGN(std::vector<FunctionVersion> functions, store.load());
    for (FunctionVersion& function : functions) {
        const auto kind = runtime_kind(function.runtime);
        if (!kind) {
            return std::unexpected(Failure{fmt::format(
                "registry database: function '{}' has runtime '{}', which this hako does not have",
                function.name,
                function.runtime
            )});
        }
        function.kind = *kind;
        function.arn = function_arn(registry.identity(), function.name);
        function.code = code_store.lease(function.code_id);
        (void)registry.put(std::make_shared<const FunctionVersion>(std::move(function)));
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
    : registry_(registry),
      store_(store),
      code_store_(code_store),
      runner_(runner),
      options_(std::move(options)) {}

const ControlService::Route* ControlService::find_route(std::string_view operation) {
    using S = ControlService;
    static constexpr std::array kRoutes = {
        Route{"CreateFunction", &S::create_function},
        Route{"UpdateFunctionCode", &S::update_code},
        Route{"UpdateFunctionConfiguration", &S::update_configuration},
        Route{"GetFunction", &S::get_function},
        Route{"GetFunctionConfiguration", &S::get_configuration},
        Route{"ListFunctions", &S::list_functions},
        Route{"DeleteFunction", &S::delete_function},
        Route{"PutFunctionConcurrency", &S::put_concurrency},
        Route{"GetFunctionConcurrency", &S::get_concurrency},
        Route{"DeleteFunctionConcurrency", &S::delete_concurrency},
        Route{"PutProvisionedConcurrencyConfig", &S::put_provisioned},
        Route{"GetProvisionedConcurrencyConfig", &S::get_provisioned},
        Route{"DeleteProvisionedConcurrencyConfig", &S::delete_provisioned},
        Route{"GetAccountSettings", &S::get_account_settings},
    };
    const auto found = std::ranges::find(kRoutes, operation, &Route::name);
    return found == kRoutes.end() ? nullptr : &*found;
}

ControlAnswer ControlService::handle(
    std::string_view operation, std::string_view json, std::span<const std::byte> blob
) {
    const model::Operation* known = model::find_operation(operation);
    if (known == nullptr) {
        return refusal(unknown_operation(operation));
    }
    return handle(*known, {}, json, blob);
}

ControlAnswer ControlService::handle(
    const model::Operation& operation,
    std::span<const model::Given> given,
    std::string_view json,
    std::span<const std::byte> blob
) {
    const Route* route = find_route(operation.name);
    const bool is_site = options_.sites != nullptr && SiteService::has(operation.name);
    if (route == nullptr && !is_site) {
        return refusal(unknown_operation(operation.name));
    }
    if (json.size() > kRequestBytesMax) {
        return refusal(too_large(fmt::format(
            "Request must be smaller than {} bytes for the {} operation",
            kRequestBytesMax,
            operation.name
        )));
    }
    std::expected<Request, ApiError> request;
    const auto read = [this, &request, &operation, given, json] {
        request = reader_.read(operation, given, json);
    };
    if (json.size() > kParseInlineBytesMax) {
        runner_.run(read);
    } else {
        read();
    }
    if (!request) {
        return refusal(request.error());
    }
    if (is_site) {
        Outcome done = options_.sites->handle(*request);
        return done ? *std::move(done) : refusal(done.error());
    }
    Call call{.request = *request, .blob = blob};
    Outcome outcome = dispatch(*route, call);
    if (call.code_released) {
        collect_code();
    }
    return outcome ? std::move(*outcome) : refusal(outcome.error());
}

ControlService::Outcome ControlService::dispatch(const Route& route, Call& call) {
    const bool takes_code = route.name == "CreateFunction" || route.name == "UpdateFunctionCode";
    if (!call.blob.empty() && !takes_code) {
        return std::unexpected(
            invalid_parameter(fmt::format("{} takes no code package.", route.name))
        );
    }
    if (!call.blob.empty() && call.request.blob()) {
        return std::unexpected(invalid_parameter(
            "The code package was given twice: as the frame's payload and as ZipFile."
        ));
    }
    return (this->*route.handle)(call);
}

std::expected<FunctionName, ApiError> ControlService::name_of(const Call& call, NameShape shape)
    const {
    const bool has_qualifier = call.request.operation().find_member("Qualifier") != nullptr;
    const std::string_view qualifier =
        has_qualifier ? call.request["Qualifier"].text_or("") : std::string_view();
    return resolve_function_name(
        call.request["FunctionName"].text(), qualifier, shape, registry_.identity()
    );
}

std::expected<FunctionRef, ApiError> ControlService::target(const FunctionName& name) const {
    FunctionRef function = registry_.get(name.name);
    if (function == nullptr || !(name.qualifier.empty() || name.qualifier == "$LATEST")) {
        return std::unexpected(function_not_found(registry_.identity(), name.name, name.qualifier));
    }
    return function;
}

std::expected<ControlService::BusyMark, ApiError> ControlService::mark_busy(std::string_view name) {
    std::string key(name);
    if (busy_names_.contains(key)) {
        return std::unexpected(conflict(fmt::format(
            "The operation cannot be performed at this time. An update is in progress for "
            "resource: {}",
            function_arn(registry_.identity(), name)
        )));
    }
    return BusyMark(busy_names_, std::move(key));
}

void ControlService::announce(const FunctionRef& before, const FunctionRef& after) const {
    ENSURE(before != nullptr || after != nullptr, "a change has a before or an after");
    if (options_.on_change) {
        options_.on_change(before, after);
    }
}

void ControlService::collect_code() {
    runner_.run([this] { (void)code_store_.collect(); });
}

}  // namespace hako::registry
