#include "engine/registry/control_request.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include <fmt/format.h>

#include "engine/base/result.h"
#include "engine/registry/digest.h"

namespace hako::registry {

namespace {

using simdjson::dom::element;
using simdjson::dom::object;
using Status = std::expected<void, ApiError>;

/// Reads one member; `name` is its full path, for texts.
using Reader = Status (*)(element value, std::string_view name, ControlRequest& into);

struct Member {
    std::string_view name;
    std::uint32_t operations;
    Reader read;
};

std::unexpected<ApiError> wrong_type(std::string_view name, std::string_view type) {
    return std::unexpected(bad_json(fmt::format("'{}' must be {}", name, type)));
}

template <auto Field>
Status read_string(element value, std::string_view name, ControlRequest& into) {
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS) {
        return wrong_type(name, "a string");
    }
    into.*Field = std::string(text);
    return {};
}

template <auto Field>
Status read_integer(element value, std::string_view name, ControlRequest& into) {
    std::int64_t number = 0;
    if (value.get(number) != simdjson::SUCCESS) {
        return wrong_type(name, "an integer");
    }
    into.*Field = number;
    return {};
}

template <auto Field>
Status read_bool(element value, std::string_view name, ControlRequest& into) {
    bool flag = false;
    if (value.get(flag) != simdjson::SUCCESS) {
        return wrong_type(name, "true or false");
    }
    into.*Field = flag;
    return {};
}

template <auto Field>
Status read_map(element value, std::string_view name, ControlRequest& into) {
    object members;
    if (value.get(members) != simdjson::SUCCESS) {
        return wrong_type(name, "an object");
    }
    auto pairs = read_string_map(members, name);
    if (!pairs) {
        return std::unexpected(bad_json(pairs.error()));
    }
    into.*Field = std::move(*pairs);
    return {};
}

Status read_zip(element value, std::string_view name, ControlRequest& into) {
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS) {
        return wrong_type(name, "a string");
    }
    into.zip = from_base64(text);
    if (!into.zip) {
        return wrong_type(name, "base64");
    }
    return {};
}

Status read_s3(element, std::string_view, ControlRequest& into) {
    into.s3_given = true;
    return {};
}

Status read_architectures(element value, std::string_view name, ControlRequest& into) {
    simdjson::dom::array list;
    if (value.get(list) != simdjson::SUCCESS || list.size() != 1) {
        return wrong_type(name, "a list of one string");
    }
    return read_string<&ControlRequest::architecture>(*list.begin(), name, into);
}

/// Lambda's member that changes nothing here, whatever its value.
Status accept_any(element, std::string_view, ControlRequest&) {
    return {};
}

/// null, false, "", [], {}, and objects of nothing else: asks for nothing.
bool asks_for_nothing(element value) {
    switch (value.type()) {
        case simdjson::dom::element_type::NULL_VALUE:
            return true;
        case simdjson::dom::element_type::BOOL:
            return !value.get_bool().value_unsafe();
        case simdjson::dom::element_type::STRING:
            return value.get_string().value_unsafe().empty();
        case simdjson::dom::element_type::ARRAY:
            return value.get_array().value_unsafe().size() == 0;
        case simdjson::dom::element_type::OBJECT: {
            const object members = value.get_object().value_unsafe();
            return std::all_of(members.begin(), members.end(), [](const auto& member) {
                return asks_for_nothing(member.value);
            });
        }
        default:
            return false;
    }
}

/// A Lambda feature hako does not have: only a value that asks for nothing is let through.
Status only_nothing(element value, std::string_view name, ControlRequest&) {
    if (asks_for_nothing(value)) {
        return {};
    }
    return std::unexpected(invalid_parameter(
        fmt::format("Member '{}' is not supported by hako: leave it out or empty.", name)
    ));
}

std::unexpected<ApiError> unknown_member(std::string_view name, std::string_view operation) {
    return std::unexpected(invalid_parameter(fmt::format(
        "Member '{}' is not known to {}: hako does not ignore what it does not know.",
        name,
        operation
    )));
}

/// The members of `members` by `table`; `prefix` leads their names in texts.
template <std::size_t N>
Status read_members(
    object members,
    const std::array<Member, N>& table,
    std::uint32_t operation,
    std::string_view context,
    ControlRequest& into
) {
    std::uint64_t seen = 0;
    static_assert(N <= 64);
    for (const auto& [key, value] : members) {
        const auto found = std::ranges::find_if(table, [&key, operation](const Member& member) {
            return member.name == key && (member.operations & operation) != 0;
        });
        if (found == table.end()) {
            return unknown_member(key, context);
        }
        const std::uint64_t bit = 1ULL << static_cast<std::size_t>(found - table.begin());
        if ((seen & bit) != 0) {
            return std::unexpected(bad_json(fmt::format("'{}' is there twice", key)));
        }
        seen |= bit;
        if (!value.is_null()) {
            TRY(found->read(value, key, into));
        }
    }
    return {};
}

constexpr std::uint32_t kEvery = UINT32_MAX;

constexpr std::array kEnvironmentMembers = {
    Member{"Variables", kEvery, read_map<&ControlRequest::environment>},
};
constexpr std::array kEphemeralStorageMembers = {
    Member{"Size", kEvery, read_integer<&ControlRequest::ephemeral_size>},
};
constexpr std::array kTracingMembers = {
    Member{"Mode", kEvery, read_string<&ControlRequest::tracing_mode>},
};
constexpr std::array kSnapStartMembers = {
    Member{"ApplyOn", kEvery, read_string<&ControlRequest::snap_start>},
};
constexpr std::array kLoggingMembers = {
    Member{"LogFormat", kEvery, read_string<&ControlRequest::log_format>},
    Member{"LogGroup", kEvery, read_string<&ControlRequest::log_group>},
    Member{"ApplicationLogLevel", kEvery, only_nothing},
    Member{"SystemLogLevel", kEvery, only_nothing},
};
constexpr std::array kCodeMembers = {
    Member{"ZipFile", kEvery, read_zip},
    Member{"S3Bucket", kEvery, read_s3},
    Member{"S3Key", kEvery, read_s3},
    Member{"S3ObjectVersion", kEvery, read_s3},
    Member{"S3ObjectStorageMode", kEvery, read_s3},
    Member{"ImageUri", kEvery, only_nothing},
    Member{"SourceKMSKeyArn", kEvery, only_nothing},
};

template <const auto& Table>
Status read_object(element value, std::string_view name, ControlRequest& into) {
    object members;
    if (value.get(members) != simdjson::SUCCESS) {
        return wrong_type(name, "an object");
    }
    return read_members(members, Table, kEvery, name, into);
}

Status read_environment(element value, std::string_view name, ControlRequest& into) {
    into.environment.emplace();  // `Environment: {}` means no variables
    return read_object<kEnvironmentMembers>(value, name, into);
}

Status read_code(element value, std::string_view name, ControlRequest& into) {
    into.code_given = true;
    return read_object<kCodeMembers>(value, name, into);
}

constexpr std::uint32_t kConfiguring = kCreateFunction | kUpdateFunctionConfiguration;
constexpr std::uint32_t kCoding = kCreateFunction | kUpdateFunctionCode;
constexpr std::uint32_t kUpdating = kUpdateFunctionCode | kUpdateFunctionConfiguration;
constexpr std::uint32_t kNamed = ~(kListFunctions | kGetAccountSettings);
// FunctionName:qualifier is a way to say it too, so operations on the whole function do not list
// Qualifier.
constexpr std::uint32_t kQualified =
    kGetFunction | kGetFunctionConfiguration | kDeleteFunction | kPutProvisionedConcurrencyConfig |
    kGetProvisionedConcurrencyConfig | kDeleteProvisionedConcurrencyConfig;

// Every member an operation may carry. What is read with accept_any or stored only to be shown
// again (TracingConfig, Tags) is harmless; what is read with only_nothing is Lambda's, not hako's.
constexpr std::array kMembers = {
    Member{"FunctionName", kNamed, read_string<&ControlRequest::function_name>},
    Member{"Qualifier", kQualified, read_string<&ControlRequest::qualifier>},
    Member{"Runtime", kConfiguring, read_string<&ControlRequest::runtime>},
    Member{"Role", kConfiguring, read_string<&ControlRequest::role>},
    Member{"Handler", kConfiguring, read_string<&ControlRequest::handler>},
    Member{"Description", kConfiguring, read_string<&ControlRequest::description>},
    Member{"Timeout", kConfiguring, read_integer<&ControlRequest::timeout>},
    Member{"MemorySize", kConfiguring, read_integer<&ControlRequest::memory_size>},
    Member{"Environment", kConfiguring, read_environment},
    Member{"EphemeralStorage", kConfiguring, read_object<kEphemeralStorageMembers>},
    Member{"TracingConfig", kConfiguring, read_object<kTracingMembers>},
    Member{"LoggingConfig", kConfiguring, read_object<kLoggingMembers>},
    Member{"SnapStart", kConfiguring, read_object<kSnapStartMembers>},
    Member{"Tags", kCreateFunction, read_map<&ControlRequest::tags>},
    Member{"Code", kCreateFunction, read_code},
    Member{"ZipFile", kUpdateFunctionCode, read_zip},
    Member{"S3Bucket", kUpdateFunctionCode, read_s3},
    Member{"S3Key", kUpdateFunctionCode, read_s3},
    Member{"S3ObjectVersion", kUpdateFunctionCode, read_s3},
    Member{"S3ObjectStorageMode", kUpdateFunctionCode, read_s3},
    Member{"DryRun", kUpdateFunctionCode, read_bool<&ControlRequest::dry_run>},
    Member{"RevisionId", kUpdating, read_string<&ControlRequest::revision_id>},
    Member{"Architectures", kCoding, read_architectures},
    Member{"PackageType", kCreateFunction, read_string<&ControlRequest::package_type>},
    Member{"ReservedConcurrentExecutions", kPutFunctionConcurrency,
           read_integer<&ControlRequest::reserved>},
    Member{"ProvisionedConcurrentExecutions", kPutProvisionedConcurrencyConfig,
           read_integer<&ControlRequest::provisioned>},
    Member{"Marker", kListFunctions, read_string<&ControlRequest::marker>},
    Member{"MaxItems", kListFunctions, read_integer<&ControlRequest::max_items>},
    Member{"FunctionVersion", kListFunctions, read_string<&ControlRequest::function_version>},
    Member{"MasterRegion", kListFunctions, accept_any},  // Lambda@Edge's; there is one region
    Member{"Publish", kCoding, only_nothing},
    Member{"PublishTo", kCoding, only_nothing},
    Member{"ImageUri", kUpdateFunctionCode, only_nothing},
    Member{"SourceKMSKeyArn", kUpdateFunctionCode, only_nothing},
    Member{"VpcConfig", kConfiguring, only_nothing},
    Member{"DeadLetterConfig", kConfiguring, only_nothing},
    Member{"KMSKeyArn", kConfiguring, only_nothing},
    Member{"Layers", kConfiguring, only_nothing},
    Member{"FileSystemConfigs", kConfiguring, only_nothing},
    Member{"CodeSigningConfigArn", kCreateFunction, only_nothing},
    Member{"ImageConfig", kConfiguring, only_nothing},
    Member{"TenancyConfig", kCreateFunction, only_nothing},
    Member{"CapacityProviderConfig", kConfiguring, only_nothing},
    Member{"DurableConfig", kConfiguring, only_nothing},
};

}  // namespace

std::expected<ControlRequest, ApiError> read_request(
    Operation operation, std::string_view operation_name, std::string_view json
) {
    JsonDocument document;
    const auto members = document.parse(json);
    if (!members) {
        return std::unexpected(bad_json(members.error()));
    }
    ControlRequest request;
    TRY(read_members(*members, kMembers, operation, operation_name, request));
    return request;
}

}  // namespace hako::registry
