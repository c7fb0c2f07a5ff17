#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/hako/deploy/source.h"
#include "tools/hako/deploy/values.h"

// What an AWS SAM template asks for, of the part that exists here.
namespace hako::cli::deploy {

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// Where code or a layer's content comes from: a path beside the template, or a bucket's object.
struct Content {
    std::string path;
    std::string bucket, key, version;
};

/// A request to the web that calls a function.
struct Route {
    std::string api;     ///< name of the HTTP API
    std::string method;  ///< upper case, or ANY
    std::string path;    ///< /items/{id}, /{proxy+} or $default
    bool is_v1 = false;  ///< payload format: REST (v1) or HTTP API (v2)
};

struct Schedule {
    std::string name;
    std::string expression;  ///< rate(5 minutes), cron(...)
    std::string input;       ///< empty: the usual scheduled event
    std::string description;
    bool is_enabled = true;
};

struct FunctionSpec {
    std::string id;  ///< logical
    std::string name;
    Content code;
    /// Members of CreateFunction that are plain text or numbers, by their name there, as JSON.
    std::map<std::string, std::string> members;
    Pairs environment;
    std::vector<std::string> layers;  ///< ARNs; `layer:ID` for one of this template
    Pairs tags;
    std::optional<std::int64_t> reserved;
    std::optional<std::int64_t> provisioned;
    std::string alias;  ///< AutoPublishAlias
    std::string version_description;
    std::string url_config;    ///< JSON of FunctionUrlConfig; empty: none
    std::string event_config;  ///< JSON members of EventInvokeConfig; empty: none
    std::vector<Route> routes;
    std::vector<Schedule> schedules;
};

struct LayerSpec {
    std::string id;
    std::string name;
    Content content;
    std::map<std::string, std::string> members;  ///< of PublishLayerVersion, as JSON
};

struct ApiSpec {
    std::string name;
    std::string stage;
    bool is_v1 = false;
};

struct Stack {
    std::string name;
    std::vector<LayerSpec> layers;
    std::vector<FunctionSpec> functions;
    std::vector<ApiSpec> apis;
    Pairs outputs;
    std::vector<std::string> notes;  ///< what is accepted and has no effect here
};

/// What a template cannot know by itself.
struct Surroundings {
    std::string stack_name;
    std::string account = "123456789012";
    std::string region = "us-east-1";
    std::string api_base_url;  ///< in front of /NAME[/STAGE]
    Pairs parameters;          ///< given on the command line
};

/// Reads a template. Failure (usage) for whatever is not known, with file, line and path.
[[nodiscard]] Stack read_template(const Source& source, const Surroundings& surroundings);

}  // namespace hako::cli::deploy
