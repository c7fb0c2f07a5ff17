#include "tools/hako/deploy/template.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include "tools/hako/deploy/function_properties.h"
#include "tools/hako/json.h"

namespace hako::cli::deploy {
namespace {

constexpr std::string_view kFunctionType = "AWS::Serverless::Function";
constexpr std::string_view kLayerType = "AWS::Serverless::LayerVersion";
constexpr std::string_view kApiType = "AWS::Serverless::Api";
constexpr std::string_view kHttpApiType = "AWS::Serverless::HttpApi";
constexpr std::string_view kTransform = "AWS::Serverless-2016-10-31";

struct Resource {
    std::string id;
    std::string type;
    Place place;
    std::optional<Place> properties;
};

class Reader {
public:
    Reader(const Source& source, const Surroundings& surroundings)
        : source_(source), surroundings_(surroundings) {}

    Stack read() {
        split_sections();
        read_parameters();
        name_surroundings();
        read_resources();
        for (const Resource& resource : resources_) {
            name_resource(resource);
        }
        for (const Resource& resource : resources_) {
            read_resource(resource);
        }
        add_implicit_apis();
        read_outputs();
        return std::move(stack_);
    }

private:
    void split_sections();
    void read_parameters();
    void name_surroundings();
    void read_resources();
    void name_resource(const Resource& resource);
    void read_resource(const Resource& resource);
    void read_layer(const Resource& resource);
    void read_api(const Resource& resource);
    void add_implicit_apis();
    void read_outputs();
    [[nodiscard]] std::string parameter_value(const MemberPlace& parameter) const;
    [[nodiscard]] std::string name_in(
        const Resource& resource, const std::string& member, const std::string& fallback
    ) const;
    [[nodiscard]] std::string api_url(const std::string& name, const std::string& stage) const;
    [[nodiscard]] std::string implicit_api(bool is_v1) const {
        return stack_.name + (is_v1 ? "-rest" : "-http");
    }

    const Source& source_;
    const Surroundings& surroundings_;
    Names names_;
    Values values_{names_};
    std::map<std::string, Place> sections_;
    std::vector<Resource> resources_;
    std::set<std::string> own_parameters_;
    Stack stack_;
};

void Reader::split_sections() {
    static const std::set<std::string> kKnown = {
        "AWSTemplateFormatVersion",
        "Transform",
        "Description",
        "Metadata",
        "Parameters",
        "Globals",
        "Resources",
        "Outputs",
    };
    for (const MemberPlace& section : members_of(source_.root())) {
        if (!kKnown.contains(section.key)) {
            section.value.fail(
                fmt::format("this section is not supported; known are {}", fmt::join(kKnown, ", "))
            );
        }
        sections_.emplace(section.key, section.value);
    }
    if (const auto found = sections_.find("Transform");
        found != sections_.end() && values_.text(found->second) != kTransform) {
        found->second.fail(fmt::format("the only transform here is {}", kTransform));
    }
    if (!sections_.contains("Resources")) {
        source_.root().fail("a template needs Resources");
    }
    stack_.name = surroundings_.stack_name;
}

std::string Reader::parameter_value(const MemberPlace& parameter) const {
    std::optional<std::string> value;
    std::vector<std::string> allowed;
    for (const MemberPlace& member : members_of(parameter.value)) {
        if (member.key == "Default") {
            value = values_.text(member.value);
        } else if (member.key == "AllowedValues") {
            allowed = values_.texts(member.value);
        } else if (member.key != "Type" && member.key != "Description" && member.key != "NoEcho") {
            member.value.fail("not supported of a parameter");
        }
    }
    for (const auto& [name, given] : surroundings_.parameters) {
        if (name == parameter.key) {
            value = given;
        }
    }
    if (!value) {
        parameter.value.fail(fmt::format("has no Default: give --parameter {}=VALUE", parameter.key)
        );
    }
    if (!allowed.empty() && std::ranges::find(allowed, *value) == allowed.end()) {
        parameter.value.fail(fmt::format("'{}' is none of {}", *value, fmt::join(allowed, ", ")));
    }
    return *value;
}

void Reader::read_parameters() {
    if (const auto found = sections_.find("Parameters"); found != sections_.end()) {
        for (const MemberPlace& parameter : members_of(found->second)) {
            names_.add(parameter.key, parameter_value(parameter));
            own_parameters_.insert(parameter.key);
        }
    }
    for (const auto& [name, value] : surroundings_.parameters) {
        if (!own_parameters_.contains(name)) {
            throw Failure(
                Exit::kUsage,
                fmt::format("--parameter {}: {} has no such parameter", name, source_.path())
            );
        }
    }
}

void Reader::name_surroundings() {
    names_.add("AWS::AccountId", surroundings_.account);
    names_.add("AWS::Region", surroundings_.region);
    names_.add("AWS::StackName", stack_.name);
    names_.add("AWS::Partition", "aws");
    names_.add("AWS::URLSuffix", "amazonaws.com");
}

void Reader::read_resources() {
    for (const MemberPlace& member : members_of(sections_.at("Resources"))) {
        Resource resource{.id = member.key, .type = {}, .place = member.value, .properties = {}};
        for (const MemberPlace& part : members_of(member.value)) {
            if (part.key == "Type") {
                resource.type = values_.text(part.value).value_or("");
            } else if (part.key == "Properties") {
                resource.properties = part.value;
            } else if (part.key != "Metadata" && part.key != "DependsOn") {
                part.value.fail("not supported of a resource");
            }
        }
        if (resource.type != kFunctionType && resource.type != kLayerType &&
            resource.type != kApiType && resource.type != kHttpApiType) {
            member.value.fail(fmt::format(
                "resources of type '{}' do not exist here; known are {}, {}, {} and {}",
                resource.type,
                kFunctionType,
                kLayerType,
                kApiType,
                kHttpApiType
            ));
        }
        if (own_parameters_.contains(resource.id)) {
            member.value.fail("a parameter has the same name");
        }
        resources_.push_back(std::move(resource));
    }
}

std::string Reader::name_in(
    const Resource& resource, const std::string& member, const std::string& fallback
) const {
    if (resource.properties) {
        for (const MemberPlace& property : members_of(*resource.properties)) {
            if (property.key == member) {
                return values_.text(property.value).value_or(fallback);
            }
        }
    }
    return fallback;
}

/// As the front door serves it. Without `url_base` in the engine's settings, only the path.
std::string Reader::api_url(const std::string& name, const std::string& stage) const {
    const std::string last = stage == "$default" ? "" : "/" + stage;
    return fmt::format("{}/{}{}", surroundings_.api_base_url, name, last);
}

/// Names must stand before any property is read: functions refer to each other both ways.
void Reader::name_resource(const Resource& resource) {
    const std::string own = fmt::format("{}-{}", stack_.name, resource.id);
    if (resource.type == kFunctionType) {
        const std::string name = name_in(resource, "FunctionName", own);
        names_.add(resource.id, name);
        names_.add_attribute(
            resource.id,
            "Arn",
            fmt::format(
                "arn:aws:lambda:{}:{}:function:{}",
                surroundings_.region,
                surroundings_.account,
                name
            )
        );
    } else if (resource.type == kLayerType) {
        names_.add(resource.id, "layer:" + resource.id);
    } else {
        names_.add(resource.id, name_in(resource, "Name", own));
    }
}

void Reader::read_layer(const Resource& resource) {
    LayerSpec layer{.id = resource.id, .name = resource.id, .content = {}, .members = {}};
    if (!resource.properties) {
        resource.place.fail("needs Properties with ContentUri");
    }
    for (const MemberPlace& property : members_of(*resource.properties)) {
        const Place& value = property.value;
        if (property.key == "LayerName") {
            layer.name = values_.text(value).value_or(layer.name);
        } else if (property.key == "ContentUri") {
            layer.content = read_content(values_, value, source_.directory());
        } else if (property.key == "Description" || property.key == "LicenseInfo") {
            layer.members[property.key] = values_.json(value);
        } else if (property.key == "CompatibleRuntimes" ||
                   property.key == "CompatibleArchitectures") {
            layer.members[property.key] = values_.json(value);
        } else if (property.key == "RetentionPolicy") {
            stack_.notes.push_back(
                fmt::format("{}: has no effect, versions of a layer are kept", value.path)
            );
        } else {
            value.fail("hako does not know this property of a layer");
        }
    }
    if (layer.content.path.empty() && layer.content.bucket.empty()) {
        resource.place.fail("needs ContentUri");
    }
    stack_.layers.push_back(std::move(layer));
}

void Reader::read_api(const Resource& resource) {
    ApiSpec api{.name = *names_.ref(resource.id), .stage = {}, .is_v1 = resource.type == kApiType};
    api.stage = api.is_v1 ? "" : "$default";
    if (resource.properties) {
        for (const MemberPlace& property : members_of(*resource.properties)) {
            if (property.key == "StageName") {
                api.stage = values_.text(property.value).value_or(api.stage);
            } else if (property.key != "Name" && property.key != "Description") {
                property.value.fail("hako does not know this property of an API");
            }
        }
    }
    if (api.stage.empty()) {
        resource.place.fail("needs StageName");
    }
    stack_.apis.push_back(std::move(api));
}

void Reader::read_resource(const Resource& resource) {
    if (resource.type == kLayerType) {
        read_layer(resource);
    } else if (resource.type == kApiType || resource.type == kHttpApiType) {
        read_api(resource);
    } else {
        std::optional<Place> globals;
        if (const auto found = sections_.find("Globals"); found != sections_.end()) {
            for (const MemberPlace& part : members_of(found->second)) {
                if (part.key != "Function") {
                    part.value.fail("only Function is known of Globals");
                }
                globals = part.value;
            }
        }
        FunctionReader reader(
            values_,
            {.directory = source_.directory(),
             .rest_api = implicit_api(true),
             .http_api = implicit_api(false)}
        );
        stack_.functions.push_back(reader.read(
            resource.id, *names_.ref(resource.id), resource.place, globals, resource.properties
        ));
        const std::vector<std::string>& notes = reader.notes();
        stack_.notes.insert(stack_.notes.end(), notes.begin(), notes.end());
    }
}

void Reader::add_implicit_apis() {
    const auto add = [this](bool is_v1) {
        const ApiSpec api{
            .name = implicit_api(is_v1), .stage = is_v1 ? "Prod" : "$default", .is_v1 = is_v1
        };
        for (const FunctionSpec& function : stack_.functions) {
            if (std::ranges::find(function.routes, api.name, &Route::api) !=
                function.routes.end()) {
                stack_.apis.push_back(api);
                break;
            }
        }
        // `Ref ServerlessRestApi` is how SAM templates build the URL they show.
        names_.add(is_v1 ? "ServerlessRestApi" : "ServerlessHttpApi", api.name);
    };
    add(true);
    add(false);
    for (const ApiSpec& api : stack_.apis) {
        names_.add_attribute(api.name, "Url", api_url(api.name, api.stage));
    }
    for (const Resource& resource : resources_) {
        for (const ApiSpec& api : stack_.apis) {
            if ((resource.type == kApiType || resource.type == kHttpApiType) &&
                *names_.ref(resource.id) == api.name) {
                names_.add_attribute(resource.id, "ApiEndpoint", api_url(api.name, api.stage));
            }
        }
    }
    names_.add_attribute(
        "ServerlessHttpApi", "ApiEndpoint", api_url(implicit_api(false), "$default")
    );
    for (const FunctionSpec& function : stack_.functions) {
        for (const Route& route : function.routes) {
            if (std::ranges::find(stack_.apis, route.api, &ApiSpec::name) == stack_.apis.end()) {
                throw Failure(
                    Exit::kUsage,
                    fmt::format(
                        "{}: Resources.{}: no API here is named '{}'",
                        source_.path(),
                        function.id,
                        route.api
                    )
                );
            }
        }
    }
}

void Reader::read_outputs() {
    const auto found = sections_.find("Outputs");
    if (found == sections_.end()) {
        return;
    }
    for (const MemberPlace& output : members_of(found->second)) {
        for (const MemberPlace& part : members_of(output.value)) {
            if (part.key == "Value") {
                stack_.outputs.emplace_back(output.key, values_.text(part.value).value_or(""));
            } else if (part.key != "Description" && part.key != "Export") {
                part.value.fail("not supported of an output");
            }
        }
    }
}

}  // namespace

Stack read_template(const Source& source, const Surroundings& surroundings) {
    return Reader(source, surroundings).read();
}

}  // namespace hako::cli::deploy
