#include "tools/hako/deploy/function_properties.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "tools/hako/json.h"

namespace hako::cli::deploy {
namespace {

/// Later pairs win over earlier ones of the same name, in the place of the first.
void merge(Pairs& into, Pairs pairs) {
    for (auto& [key, value] : pairs) {
        const auto same = std::ranges::find(into, key, &Pairs::value_type::first);
        if (same != into.end()) {
            same->second = std::move(value);
        } else {
            into.emplace_back(std::move(key), std::move(value));
        }
    }
}

std::string upper(std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) {
        return static_cast<char>(std::toupper(c));
    });
    return text;
}

}  // namespace

struct FunctionReader::Property {
    enum class How : std::uint8_t {
        kText,     ///< a text member of CreateFunction of the same name
        kInteger,  ///< a whole number
        kJson,     ///< handed on as it is
        kOwn,      ///< `take`
        kNoted,    ///< SAM has it, here it has no effect
        kRefused,  ///< SAM has it, and without it the function would not do what it says
    };
    std::string_view name;
    How how;
    Take take = nullptr;
};

const FunctionReader::Property* FunctionReader::find(std::string_view name) {
    using F = FunctionReader;
    using How = Property::How;
    static constexpr std::array kProperties = {
        Property{"FunctionName", How::kNoted},  // read ahead, with the names
        Property{"Runtime", How::kText},
        Property{"Handler", How::kText},
        Property{"Description", How::kText},
        Property{"Role", How::kText},
        Property{"KmsKeyArn", How::kNoted},
        Property{"PackageType", How::kText},
        Property{"MemorySize", How::kInteger},
        Property{"Timeout", How::kInteger},
        Property{"EphemeralStorage", How::kJson},
        Property{"Architectures", How::kJson},
        Property{"VpcConfig", How::kJson},
        Property{"FileSystemConfigs", How::kJson},
        Property{"LoggingConfig", How::kJson},
        Property{"SnapStart", How::kJson},
        Property{"ImageConfig", How::kJson},
        Property{"CodeUri", How::kOwn, &F::take_code},
        Property{"Environment", How::kOwn, &F::take_environment},
        Property{"Tags", How::kOwn, &F::take_tags},
        Property{"Layers", How::kOwn, &F::take_layers},
        Property{"AutoPublishAlias", How::kOwn, &F::take_alias},
        Property{"VersionDescription", How::kOwn, &F::take_version_description},
        Property{"ProvisionedConcurrencyConfig", How::kOwn, &F::take_provisioned},
        Property{"ReservedConcurrentExecutions", How::kOwn, &F::take_reserved},
        Property{"FunctionUrlConfig", How::kOwn, &F::take_url},
        Property{"EventInvokeConfig", How::kOwn, &F::take_event_config},
        Property{"DeadLetterQueue", How::kOwn, &F::take_dead_letters},
        Property{"Tracing", How::kOwn, &F::take_tracing},
        Property{"Events", How::kOwn, &F::take_events},
        Property{"Policies", How::kNoted},
        Property{"PermissionsBoundary", How::kNoted},
        Property{"AutoPublishCodeSha256", How::kNoted},
        Property{"AutoPublishAliasAllProperties", How::kNoted},
        Property{"RolePath", How::kNoted},
        Property{"PropagateTags", How::kNoted},
        Property{"RuntimeManagementConfig", How::kNoted},
        Property{"InlineCode", How::kRefused},
        Property{"ImageUri", How::kRefused},
        Property{"DeploymentPreference", How::kRefused},
        Property{"CodeSigningConfigArn", How::kRefused},
    };
    const auto found = std::ranges::find(kProperties, name, &Property::name);
    return found == kProperties.end() ? nullptr : &*found;
}

FunctionSpec FunctionReader::read(
    const std::string& id,
    const std::string& name,
    const Place& resource,
    const std::optional<Place>& globals,
    const std::optional<Place>& properties
) {
    FunctionSpec function;
    function.id = id;
    function.name = name;
    for (const auto& part : {globals, properties}) {
        if (part) {
            for (const MemberPlace& property : members_of(*part)) {
                take(property, function);
            }
        }
    }
    for (const char* needed : {"Runtime", "Handler"}) {
        if (!function.members.contains(needed)) {
            resource.fail(fmt::format("needs {}", needed));
        }
    }
    if (function.code.path.empty() && function.code.bucket.empty()) {
        resource.fail("needs CodeUri");
    }
    if (function.provisioned && function.alias.empty()) {
        resource.fail("ProvisionedConcurrencyConfig needs AutoPublishAlias");
    }
    return function;
}

void FunctionReader::take(const MemberPlace& property, FunctionSpec& function) {
    const Property* known = find(property.key);
    if (known == nullptr) {
        property.value.fail("hako does not know this property of a function");
    }
    switch (known->how) {
        case Property::How::kText:
            return take_text(property, function);
        case Property::How::kInteger:
            return take_integer(property, function);
        case Property::How::kJson:
            return take_json(property, function);
        case Property::How::kOwn:
            return (this->*known->take)(property.value, function);
        case Property::How::kNoted:
            if (property.key != "FunctionName") {
                notes_.push_back(fmt::format("{}: has no effect here", property.value.path));
            }
            return;
        case Property::How::kRefused:
            property.value.fail("hako does not have this");
    }
}

void FunctionReader::take_text(const MemberPlace& property, FunctionSpec& function) {
    if (const auto text = values_.text(property.value)) {
        function.members[property.key] = JsonWriter().text(*text).str();
    }
}

void FunctionReader::take_integer(const MemberPlace& property, FunctionSpec& function) {
    if (const auto number = values_.integer(property.value)) {
        function.members[property.key] = fmt::format("{}", *number);
    }
}

void FunctionReader::take_json(const MemberPlace& property, FunctionSpec& function) {
    function.members[property.key] = values_.json(property.value);
}

Content read_content(const Values& values, const Place& place, const std::string& directory) {
    Content content;
    if (place.node.IsMap() && !Values::is_function(place)) {
        for (const MemberPlace& member : members_of(place)) {
            const std::string text = values.text(member.value).value_or("");
            if (member.key == "Bucket") {
                content.bucket = text;
            } else if (member.key == "Key") {
                content.key = text;
            } else if (member.key == "Version") {
                content.version = text;
            } else {
                member.value.fail("only Bucket, Key and Version are known here");
            }
        }
    } else {
        const std::string text = values.text(place).value_or("");
        if (text.starts_with("s3://")) {
            const std::size_t slash = text.find('/', 5);
            content.bucket = text.substr(5, slash - 5);
            content.key = slash == std::string::npos ? "" : text.substr(slash + 1);
        } else {
            const std::filesystem::path path = text;
            content.path = (path.is_absolute() ? path : directory / path).lexically_normal();
            if (!std::filesystem::exists(content.path)) {
                place.fail(fmt::format("there is no {}", content.path));
            }
            return content;
        }
    }
    if (content.bucket.empty() || content.key.empty()) {
        place.fail("needs a bucket and a key");
    }
    return content;
}

void FunctionReader::take_code(const Place& value, FunctionSpec& function) {
    function.code = read_content(values_, value, surroundings_.directory);
}

void FunctionReader::take_environment(const Place& value, FunctionSpec& function) {
    for (const MemberPlace& member : members_of(value)) {
        if (member.key != "Variables") {
            member.value.fail("only Variables is known of Environment");
        }
        merge(function.environment, values_.pairs(member.value));
    }
}

void FunctionReader::take_tags(const Place& value, FunctionSpec& function) {
    merge(function.tags, values_.pairs(value));
}

void FunctionReader::take_layers(const Place& value, FunctionSpec& function) {
    for (std::string& layer : values_.texts(value)) {
        function.layers.push_back(std::move(layer));
    }
}

void FunctionReader::take_alias(const Place& value, FunctionSpec& function) {
    function.alias = values_.text(value).value_or("");
}

void FunctionReader::take_version_description(const Place& value, FunctionSpec& function) {
    function.version_description = values_.text(value).value_or("");
}

void FunctionReader::take_provisioned(const Place& value, FunctionSpec& function) {
    for (const MemberPlace& member : members_of(value)) {
        if (member.key != "ProvisionedConcurrentExecutions") {
            member.value.fail("only ProvisionedConcurrentExecutions is known here");
        }
        function.provisioned = values_.integer(member.value);
    }
}

void FunctionReader::take_reserved(const Place& value, FunctionSpec& function) {
    function.reserved = values_.integer(value);
}

void FunctionReader::take_url(const Place& value, FunctionSpec& function) {
    for (const MemberPlace& member : members_of(value)) {
        if (member.key != "AuthType" && member.key != "Cors" && member.key != "InvokeMode") {
            member.value.fail("only AuthType, Cors and InvokeMode are known here");
        }
    }
    function.url_config = values_.json(value);
}

void FunctionReader::take_event_config(const Place& value, FunctionSpec& function) {
    for (const MemberPlace& member : members_of(value)) {
        if (member.key != "MaximumEventAgeInSeconds" && member.key != "MaximumRetryAttempts") {
            member.value.fail(
                "only MaximumEventAgeInSeconds and MaximumRetryAttempts are known here"
            );
        }
    }
    function.event_config = values_.json(value);
}

void FunctionReader::take_dead_letters(const Place& value, FunctionSpec& function) {
    for (const MemberPlace& member : members_of(value)) {
        if (member.key == "TargetArn") {
            JsonWriter out;
            out.begin_object().key("TargetArn").text(values_.text(member.value).value_or(""));
            function.members["DeadLetterConfig"] = out.end_object().str();
        } else if (member.key != "Type") {
            member.value.fail("only Type and TargetArn are known here");
        }
    }
}

void FunctionReader::take_tracing(const Place& value, FunctionSpec& function) {
    JsonWriter out;
    out.begin_object().key("Mode").text(values_.text(value).value_or("PassThrough"));
    function.members["TracingConfig"] = out.end_object().str();
}

void FunctionReader::take_events(const Place& value, FunctionSpec& function) {
    for (const MemberPlace& event : members_of(value)) {
        take_event(event, function);
    }
}

void FunctionReader::take_event(const MemberPlace& event, FunctionSpec& function) {
    std::string type;
    std::optional<Place> properties;
    for (const MemberPlace& part : members_of(event.value)) {
        if (part.key == "Type") {
            type = values_.text(part.value).value_or("");
        } else if (part.key == "Properties") {
            properties = part.value;
        } else {
            part.value.fail("only Type and Properties are known of an event");
        }
    }
    if (type == "HttpApi" && !properties) {
        function.routes.push_back(
            {.api = surroundings_.http_api, .method = "ANY", .path = "$default"}
        );
    } else if ((type == "Api" || type == "HttpApi" || type == "Schedule") && !properties) {
        event.value.fail("needs Properties");
    } else if (type == "Api" || type == "HttpApi") {
        take_route(type, *properties, function);
    } else if (type == "Schedule") {
        take_schedule(event.key, *properties, function);
    } else {
        event.value.fail(
            fmt::format("events of type '{}' are not here; Api, HttpApi and Schedule are", type)
        );
    }
}

void FunctionReader::take_route(
    const std::string& kind, const Place& properties, FunctionSpec& function
) {
    const bool is_rest = kind == "Api";
    Route route{
        .api = is_rest ? surroundings_.rest_api : surroundings_.http_api,
        .method = "ANY",
        .path = is_rest ? "" : "$default",
        .is_v1 = is_rest,
    };
    for (const MemberPlace& member : members_of(properties)) {
        const auto text = [&] { return values_.text(member.value).value_or(""); };
        if (member.key == "Path") {
            route.path = text();
        } else if (member.key == "Method") {
            route.method = upper(text());
        } else if (member.key == (is_rest ? "RestApiId" : "ApiId")) {
            route.api = text();
        } else if (member.key == "PayloadFormatVersion" && !is_rest) {
            const std::string version = text();
            if (version != "1.0" && version != "2.0") {
                member.value.fail("must be '1.0' or '2.0'");
            }
            route.is_v1 = version == "1.0";
        } else {
            member.value.fail(fmt::format("hako does not know this property of {} events", kind));
        }
    }
    route.method = route.method == "*" || route.method == "X-AMAZON-APIGATEWAY-ANY-METHOD"
                       ? "ANY"
                       : route.method;
    if (!route.path.starts_with('/') && route.path != "$default") {
        properties.fail("Path must begin with '/'");
    }
    function.routes.push_back(std::move(route));
}

void FunctionReader::take_schedule(
    const std::string& id, const Place& properties, FunctionSpec& function
) {
    Schedule schedule{.name = fmt::format("{}-{}", function.name, id)};
    for (const MemberPlace& member : members_of(properties)) {
        const auto text = [&] { return values_.text(member.value).value_or(""); };
        if (member.key == "Schedule") {
            schedule.expression = text();
        } else if (member.key == "Name") {
            schedule.name = text();
        } else if (member.key == "Input") {
            schedule.input = text();
        } else if (member.key == "Description") {
            schedule.description = text();
        } else if (member.key == "Enabled") {
            schedule.is_enabled = values_.boolean(member.value).value_or(true);
        } else if (member.key == "State") {
            schedule.is_enabled = text() != "DISABLED";
        } else {
            member.value.fail("hako does not know this property of Schedule events");
        }
    }
    if (schedule.expression.empty()) {
        properties.fail("needs Schedule, for example rate(5 minutes)");
    }
    function.schedules.push_back(std::move(schedule));
}

}  // namespace hako::cli::deploy
