#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/hako/deploy/template.h"

namespace hako::cli::deploy {

/// `CodeUri` and `ContentUri`: a path, `s3://BUCKET/KEY`, or {Bucket, Key, Version}.
[[nodiscard]] Content read_content(
    const Values& values, const Place& place, const std::string& directory
);

/// Reads the properties of one AWS::Serverless::Function, those of Globals first.
class FunctionReader {
public:
    struct Surroundings {
        std::string directory;  ///< where relative paths start
        std::string rest_api;   ///< of events that name none
        std::string http_api;
    };
    FunctionReader(const Values& values, Surroundings surroundings)
        : values_(values), surroundings_(std::move(surroundings)) {}

    [[nodiscard]] FunctionSpec read(
        const std::string& id,
        const std::string& name,
        const Place& resource,
        const std::optional<Place>& globals,
        const std::optional<Place>& properties
    );
    /// What was given and has no effect here.
    [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

private:
    struct Property;
    using Take = void (FunctionReader::*)(const Place& value, FunctionSpec& function);

    static const Property* find(std::string_view name);
    void take(const MemberPlace& property, FunctionSpec& function);
    void take_text(const MemberPlace& property, FunctionSpec& function);
    void take_integer(const MemberPlace& property, FunctionSpec& function);
    void take_json(const MemberPlace& property, FunctionSpec& function);
    void take_code(const Place& value, FunctionSpec& function);
    void take_environment(const Place& value, FunctionSpec& function);
    void take_tags(const Place& value, FunctionSpec& function);
    void take_layers(const Place& value, FunctionSpec& function);
    void take_alias(const Place& value, FunctionSpec& function);
    void take_version_description(const Place& value, FunctionSpec& function);
    void take_provisioned(const Place& value, FunctionSpec& function);
    void take_reserved(const Place& value, FunctionSpec& function);
    void take_url(const Place& value, FunctionSpec& function);
    void take_event_config(const Place& value, FunctionSpec& function);
    void take_dead_letters(const Place& value, FunctionSpec& function);
    void take_tracing(const Place& value, FunctionSpec& function);
    void take_events(const Place& value, FunctionSpec& function);
    void take_event(const MemberPlace& event, FunctionSpec& function);
    void take_route(const std::string& kind, const Place& properties, FunctionSpec& function);
    void take_schedule(const std::string& id, const Place& properties, FunctionSpec& function);

    const Values& values_;
    Surroundings surroundings_;
    std::vector<std::string> notes_;
};

}  // namespace hako::cli::deploy
