#include <array>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/registry/configuration_json.h"
#include "engine/registry/control_parts.h"
#include "engine/registry/digest.h"
#include "engine/registry/function_settings.h"
#include "engine/registry/publishing.h"

// CreateFunction, UpdateFunctionCode, UpdateFunctionConfiguration, DeleteFunction.
namespace hako::registry {

namespace {

constexpr std::size_t kTagsCountMax = 50;
constexpr std::uint64_t kCodeBytesTotalMax = 80530636800;

/// The package of a request: a zip that came along, or an object in a bucket.
struct CodeSource {
    std::span<const std::byte> zip;
    std::optional<CodeObject> object;

    [[nodiscard]] bool is_given() const noexcept { return zip.data() != nullptr || object; }
};

/// `where` holds S3Bucket, S3Key and S3ObjectVersion: `Code` of a create, the request of an update.
template <typename Where>
std::expected<CodeSource, ApiError> code_source(
    const ControlParts& parts, const ControlCall& call, const Where& where
) {
    const Value bucket = where["S3Bucket"];
    const Value key = where["S3Key"];
    if ((bucket || key) && call.has_zip()) {
        return std::unexpected(invalid_parameter(
            "Please do not provide other FunctionCode parameters when providing a ZipFile."
        ));
    }
    if (call.has_zip()) {
        // An empty zip is one that was given: the store refuses it.
        static constexpr std::byte kNothing{};
        const std::span<const std::byte> zip = call.zip();
        return CodeSource{.zip = zip.empty() ? std::span(&kNothing, 0) : zip};
    }
    if (!bucket || !key) {
        return std::unexpected(invalid_parameter("Please provide a source for function code."));
    }
    if (parts.options.code == nullptr) {
        return std::unexpected(s3_error(
            "NoSuchBucket",
            "The specified bucket does not exist. hako: there are no buckets here (settings "
            "code_bucket_dir, code_s3_endpoint), send the code as ZipFile."
        ));
    }
    return CodeSource{
        .object =
            CodeObject{
                .bucket = std::string(bucket.text()),
                .key = std::string(key.text()),
                .version = std::string(where["S3ObjectVersion"].text_or("")),
            },
    };
}

/// Fetches, checks and unpacks; on an offload thread.
Status add_code(ControlParts& parts, const CodeSource& source, FunctionVersion& next) {
    std::vector<std::byte> fetched;
    std::span<const std::byte> zip = source.zip;
    if (source.object) {
        TRY_ASSIGN(fetched, parts.options.code->fetch(*source.object));
        zip = fetched;
    }
    TRY_ASSIGN(next.code, parts.code_store.add(zip));
    next.code_id = next.code->id;
    next.code_sha256 = next.code->sha256;
    next.code_bytes = zip.size();
    return {};
}

bool flag(const Request& request, std::string_view member) {
    return request.operation().find_member(member) != nullptr && request[member].boolean_or(false);
}

/// Makes `next` the function's $LATEST, with its code if there is some, and publishes it if asked.
/// Durable, then visible. Under the function's mark.
Outcome install(
    ControlParts& parts, ControlCall& call, FunctionVersion next, const CodeSource& source
) {
    const bool is_dry_run = flag(call.request, "DryRun");
    const bool is_new = call.request.operation().status == 201;
    next.last_modified = lambda_time(wall_us());
    next.revision_id = make_uuid();
    Status prepared;
    std::expected<Publication, ApiError> publication = Publication{};
    const bool publish = flag(call.request, "Publish");
    const Function* function = parts.registry.function(next.name);
    const std::uint64_t last_number = function == nullptr ? 0 : function->last_number;
    const FunctionRef last = function == nullptr ? nullptr : last_published(*function);
    // The mark on the name keeps others from changing this function meanwhile; `next` is ours.
    parts.runner.run([&] {
        if (source.is_given()) {
            prepared = add_code(parts, source, next);
        }
        if (!prepared || is_dry_run) {
            return;
        }
        FunctionVersion version;
        const bool makes_version = publish && (last == nullptr || !is_same_content(next, *last));
        if (makes_version) {
            version = publication_of(next, last_number + 1);
        }
        const auto ids =
            parts.store.write({.latest = &next, .published = makes_version ? &version : nullptr});
        if (!ids) {
            prepared = std::unexpected(service_error(ids.error().text));
            return;
        }
        next.id = ids->latest;
        version.id = ids->published;
        if (makes_version) {
            publication->made = std::make_shared<const FunctionVersion>(std::move(version));
        } else if (publish) {
            publication->same = last;
        }
    });
    call.code_released = source.is_given();
    if (!prepared) {
        return std::unexpected(std::move(prepared.error()));
    }
    const auto after = std::make_shared<const FunctionVersion>(std::move(next));
    if (!is_dry_run) {
        const FunctionRef before = parts.registry.put(after);
        parts.announce(before, after);
        call.code_released = before != nullptr && source.is_given();
        if (publication->made != nullptr) {
            (void)parts.registry.put(publication->made);
            parts.announce(nullptr, publication->made);
        }
    }
    const FunctionRef shown = publication->shown() != nullptr ? publication->shown() : after;
    JsonWriter json;
    write_configuration(
        json,
        *shown,
        parts.registry.identity(),
        {.qualifier = shown->number == 0 ? "" : shown->version, .update_status = !is_new}
    );
    return answer(call.request.operation().status, json.take());
}

Outcome create_function(ControlParts& parts, ControlCall& call) {
    const Request& request = call.request;
    TRY_ASSIGN(const FunctionName name, parts.name_of(call, NameShape::kFunctionName));
    const Value code = request["Code"];
    if (!call.has_zip() && !code) {
        // The model does not ask for it, because the package may come beside the JSON.
        return std::unexpected(validation_error(
            "1 validation error detected: Value null at 'code' failed to satisfy constraint: "
            "Member must not be null"
        ));
    }
    if (!name.qualifier.empty() && name.qualifier != "$LATEST") {
        return std::unexpected(functions_only());
    }
    if (!request["Runtime"] || !request["Handler"]) {
        return std::unexpected(invalid_parameter(
            "Runtime and Handler are mandatory parameters for functions created with deployment "
            "packages."
        ));
    }
    TRY_ASSIGN(const CodeSource source, code_source(parts, call, code));
    FunctionVersion next;
    next.name = std::string(name.name);
    next.arn = function_arn(parts.registry.identity(), name.name);
    next.role = fmt::format("arn:aws:iam::{}:role/hako", parts.registry.identity().account);
    TRY(configure(request, next));
    if (request["Tags"]) {
        next.common->tags = request["Tags"].pairs();
    }
    if (next.common->tags.size() > kTagsCountMax) {
        return std::unexpected(invalid_parameter("Number of tags exceeds resource tag limit."));
    }
    if (parts.registry.get(name.name) != nullptr) {
        return std::unexpected(conflict(fmt::format("Function already exist: {}", name.name)));
    }
    if (parts.registry.code_bytes_total() + call.zip().size() > kCodeBytesTotalMax) {
        return std::unexpected(ApiError{
            .status = 400,
            .code = "CodeStorageExceededException",
            .message = "Code storage limit exceeded.",
        });
    }
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(name.name));
    return install(parts, call, std::move(next), source);
}

/// Updates are of $LATEST, whether or not its name is said.
std::expected<ControlTarget, ApiError> latest(ControlParts& parts, const ControlCall& call) {
    TRY_ASSIGN(ControlTarget target, parts.target(call, NameShape::kFunctionName));
    if (target.version->number != 0 || target.alias != nullptr) {
        return std::unexpected(functions_only());
    }
    return target;
}

Outcome update_code(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, latest(parts, call));
    TRY(check_features(call.request, target.name()));
    TRY_ASSIGN(const CodeSource source, code_source(parts, call, call.request));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    TRY(check_revision(call.request, target.version->revision_id));
    return install(parts, call, *target.version, source);
}

Outcome update_configuration(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, latest(parts, call));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    TRY(check_revision(call.request, target.version->revision_id));
    FunctionVersion next = *target.version;
    TRY(configure(call.request, next));
    return install(parts, call, std::move(next), {});
}

Outcome delete_function(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const FunctionName name, parts.name_of(call, NameShape::kNamespaced));
    if (!name.qualifier.empty()) {
        return delete_version(parts, call, name);
    }
    TRY_ASSIGN(const ControlTarget target, parts.target(call, NameShape::kNamespaced));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    const std::string plain_name = target.name();
    TRY(parts.store_blocking([&] { return parts.store.remove(plain_name); }));
    for (const FunctionRef& version : parts.registry.remove(plain_name)) {
        parts.announce(version, nullptr);
    }
    call.code_released = true;
    return no_content();
}

constexpr std::array kRoutes = {
    ControlRoute{"CreateFunction", create_function, true},
    ControlRoute{"UpdateFunctionCode", update_code, true},
    ControlRoute{"UpdateFunctionConfiguration", update_configuration},
    ControlRoute{"DeleteFunction", delete_function},
};

}  // namespace

std::span<const ControlRoute> function_routes() {
    return kRoutes;
}

}  // namespace hako::registry
