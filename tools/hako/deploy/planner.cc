#include "tools/hako/deploy/planner.h"

#include <openssl/evp.h>

#include <fmt/format.h>

#include "tools/hako/deploy/engine_state.h"

namespace hako::cli::deploy {
namespace {

constexpr std::string_view kLayerReference = "layer:";

}  // namespace

std::string base64_sha256(const std::string& bytes) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_bytes = 0;
    unsigned char text[EVP_MAX_MD_SIZE * 2];
    if (EVP_Digest(bytes.data(), bytes.size(), digest, &digest_bytes, EVP_sha256(), nullptr) != 1) {
        throw Failure(Exit::kUsage, "SHA-256 is not available");
    }
    const int text_bytes = EVP_EncodeBlock(text, digest, static_cast<int>(digest_bytes));
    return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(text_bytes)};
}

/// A JSON value in one spelling, so that two can be compared. Members keep their order: Lambda
/// answers them as they were sent.
std::string normal(const std::string& json) {
    const auto document = JsonDocument::parse(json);
    return document ? simdjson::minify(document->root()) : json;
}

std::string member_json(const JsonDocument& document, std::string_view name) {
    simdjson::dom::element member;
    return document.root()[name].get(member) == simdjson::SUCCESS ? simdjson::minify(member) : "";
}

std::string content_members(const Content& content) {
    JsonWriter out;
    out.begin_object().key("S3Bucket").text(content.bucket).key("S3Key").text(content.key);
    if (!content.version.empty()) {
        out.key("S3ObjectVersion").text(content.version);
    }
    return out.end_object().str();
}

Plan Planner::make() {
    for (const LayerSpec& layer : stack_.layers) {
        plan_layer(layer);
    }
    for (const FunctionSpec& function : stack_.functions) {
        plan_function(function);
    }
    for (const FunctionSpec& function : stack_.functions) {
        plan_alias(function);
    }
    for (const FunctionSpec& function : stack_.functions) {
        plan_url(function);
    }
    plan_apis();
    plan_schedules();
    plan_api_removals();
    plan_removals();
    return std::move(plan_);
}

void Planner::plan_layer(const LayerSpec& layer) {
    const auto arn = std::make_shared<std::string>();
    layer_arns_[layer.id] = arn;
    const auto package = std::make_shared<Package>(
        layer.content.path.empty() ? Package{} : make_package(layer.content.path, nullptr)
    );
    JsonWriter request;
    request.begin_object().key("LayerName").text(layer.name);
    const auto found = ask(client_, "ListLayerVersions", request.end_object().str());
    simdjson::dom::array versions;
    if (found && found->root()["LayerVersions"].get(versions) == simdjson::SUCCESS &&
        versions.size() > 0 && !package->zip.empty()) {
        const std::string latest = text_at(*versions.begin(), "LayerVersionArn");
        JsonWriter by_arn;
        by_arn.begin_object().key("Arn").text(latest).end_object();
        const auto content = ask(client_, "GetLayerVersionByArn", by_arn.str());
        if (content && text_at(content->root()["Content"].value_unsafe(), "CodeSha256") ==
                           base64_sha256(package->zip)) {
            *arn = latest;
            plan_.unchanged.push_back(fmt::format("layer {}", layer.name));
            return;
        }
    }
    add({
        .sign = '+',
        .title = fmt::format("layer {}: a new version", layer.name),
        .differences = {},
        .run =
            [this, &layer, arn, package] {
                JsonWriter publish;
                publish.begin_object().key("LayerName").text(layer.name);
                for (const auto& [name, json] : layer.members) {
                    publish.key(name).raw(json);
                }
                if (package->zip.empty()) {
                    publish.key("Content").raw(content_members(layer.content));
                }
                const auto answer = JsonDocument::parse(control(
                    client_, "PublishLayerVersion", publish.end_object().str(), package->zip
                ));
                *arn = answer ? text_at(answer->root(), "LayerVersionArn") : "";
            },
        .undo = {},
    });
}

/// Layers as `["arn", ...]`; those that are not published yet stand for themselves.
std::string Planner::layers_json(const FunctionSpec& function) const {
    std::string list;
    for (const std::string& layer : function.layers) {
        std::string arn = layer;
        if (layer.starts_with(kLayerReference)) {
            const std::string& published = *layer_arns_.at(layer.substr(kLayerReference.size()));
            arn = published.empty() ? layer : published;
        }
        list += (list.empty() ? "" : ",") + JsonWriter().text(arn).str();
    }
    return "[" + list + "]";
}

/// Functions that carry the stack's tag and are no longer in the template.
void Planner::plan_removals() {
    for (const std::string& json : list_all(client_, "ListFunctions", "", "Functions")) {
        const auto function = JsonDocument::parse(json);
        if (!function) {
            continue;
        }
        const std::string name = text_at(function->root(), "FunctionName");
        const auto tags = tags_of(client_, text_at(function->root(), "FunctionArn"));
        const auto stack = tags.find(kStackTag);
        if (stack == tags.end() || stack->second != stack_.name || progress_.contains(name)) {
            continue;
        }
        add({
            .sign = '-',
            .title = fmt::format("function {}", name),
            .differences = {"with its versions and aliases: it is not in the template any more"},
            .run = [this, name] { call("DeleteFunction", named(name)); },
            .undo = {},
        });
    }
}

Plan make_plan(Client& client, const Stack& stack) {
    const auto planner = std::make_shared<Planner>(client, stack);
    Plan plan = planner->make();
    plan.owner = planner;
    return plan;
}

}  // namespace hako::cli::deploy
