#include "tools/hako/deploy/values.h"

#include <array>
#include <charconv>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "tools/hako/json.h"

namespace hako::cli::deploy {
namespace {

constexpr std::string_view kNoValue = "AWS::NoValue";

/// `Ref` of `!Ref X` and of `{Ref: X}`; empty if the value is no function.
struct Function {
    std::string name;
    Place argument;
};

std::optional<Function> function_of(const Place& place) {
    const std::string& tag = place.node.Tag();
    if (tag.size() > 1 && tag.front() == '!' && tag[1] != '!') {
        return Function{tag.substr(1), place};
    }
    if (!place.node.IsMap() || place.node.size() != 1) {
        return std::nullopt;
    }
    const auto member = *place.node.begin();
    if (!member.first.IsScalar()) {
        return std::nullopt;
    }
    const std::string& key = member.first.Scalar();
    Place argument{.node = member.second, .path = place.path + "." + key, .file = place.file};
    if (key == "Ref" || key == "Condition") {
        return Function{key, std::move(argument)};
    }
    if (key.starts_with("Fn::")) {
        return Function{key.substr(4), std::move(argument)};
    }
    return std::nullopt;
}

}  // namespace

const std::string* Names::ref(const std::string& name) const {
    const auto found = refs_.find(name);
    return found == refs_.end() ? nullptr : &found->second;
}

const std::string* Names::attribute(const std::string& dotted) const {
    const auto found = attributes_.find(dotted);
    return found == attributes_.end() ? nullptr : &found->second;
}

bool Names::has_resource_attributes(const std::string& name) const {
    const auto found = attributes_.lower_bound(name + ".");
    return found != attributes_.end() && found->first.starts_with(name + ".");
}

bool Values::is_function(const Place& place) {
    return function_of(place).has_value();
}

std::optional<std::string> Values::text(const Place& place) const {
    if (const auto function = function_of(place)) {
        return call(place, function->name, function->argument);
    }
    if (!place.node.IsScalar()) {
        place.fail("must be text");
    }
    return place.node.Scalar();
}

std::optional<std::string> Values::call(
    const Place& place, std::string_view function, const Place& argument
) const {
    if (function == "Ref") {
        if (!argument.node.IsScalar()) {
            place.fail("Ref takes a name");
        }
        if (argument.node.Scalar() == kNoValue) {
            return std::nullopt;
        }
        return lookup(place, argument.node.Scalar());
    }
    if (function == "Sub") {
        return substitute(place, argument);
    }
    if (function == "GetAtt") {
        return get_attribute(place, argument);
    }
    if (function == "Join") {
        return join(place, argument);
    }
    place.fail(fmt::format(
        "the function {} is not supported here: Ref, Sub, GetAtt and Join are", function
    ));
}

std::string Values::lookup(const Place& place, const std::string& name) const {
    const bool is_dotted = name.find('.') != std::string::npos;
    const std::string* text = is_dotted ? names_.attribute(name) : names_.ref(name);
    if (text != nullptr) {
        return *text;
    }
    if (!is_dotted) {
        place.fail(fmt::format("nothing here is named '{}'", name));
    }
    const std::string resource = name.substr(0, name.find('.'));
    if (!names_.has_resource_attributes(resource)) {
        place.fail(fmt::format("no resource with attributes is named '{}'", resource));
    }
    place.fail(
        fmt::format("'{}' has no attribute '{}' here", resource, name.substr(resource.size() + 1))
    );
}

std::string Values::get_attribute(const Place& place, const Place& argument) const {
    if (argument.node.IsSequence()) {
        const std::vector<std::string> parts =
            texts(Place{.node = argument.node, .path = place.path, .file = place.file});
        if (parts.size() != 2) {
            place.fail("GetAtt takes a resource and an attribute");
        }
        return lookup(place, parts[0] + "." + parts[1]);
    }
    if (!argument.node.IsScalar() || argument.node.Scalar().find('.') == std::string::npos) {
        place.fail("GetAtt takes RESOURCE.ATTRIBUTE");
    }
    return lookup(place, argument.node.Scalar());
}

std::string Values::join(const Place& place, const Place& argument) const {
    const std::vector<Place> parts = items_of(argument);
    if (parts.size() != 2) {
        place.fail("Join takes a separator and a list");
    }
    const std::string separator = text(parts[0]).value_or("");
    std::string joined;
    bool is_first = true;
    for (const std::string& part : texts(parts[1])) {
        joined += (is_first ? "" : separator) + part;
        is_first = false;
    }
    return joined;
}

std::string Values::substitute(const Place& place, const Place& argument) const {
    std::map<std::string, std::string> own;
    std::string pattern;
    if (argument.node.IsSequence()) {
        const std::vector<Place> parts = items_of(argument);
        if (parts.size() != 2 || !parts[0].node.IsScalar()) {
            place.fail("Sub takes a text, or a text and a mapping");
        }
        pattern = parts[0].node.Scalar();
        for (auto& [key, value] : pairs(parts[1])) {
            own[key] = value;
        }
    } else if (argument.node.IsScalar()) {
        pattern = argument.node.Scalar();
    } else {
        place.fail("Sub takes a text, or a text and a mapping");
    }
    std::string result;
    std::size_t at = 0;
    for (;;) {
        const std::size_t open = pattern.find("${", at);
        if (open == std::string::npos) {
            return result + pattern.substr(at);
        }
        const std::size_t close = pattern.find('}', open);
        if (close == std::string::npos) {
            place.fail("a '${' in Sub is not closed");
        }
        result += pattern.substr(at, open - at);
        const std::string name = pattern.substr(open + 2, close - open - 2);
        if (name.starts_with('!')) {
            result += "${" + name.substr(1) + "}";
        } else if (const auto found = own.find(name); found != own.end()) {
            result += found->second;
        } else {
            result += lookup(place, name);
        }
        at = close + 1;
    }
}

std::optional<std::int64_t> Values::integer(const Place& place) const {
    const auto found = text(place);
    if (!found) {
        return std::nullopt;
    }
    std::int64_t number = 0;
    const char* const end = found->data() + found->size();
    const auto [read, error] = std::from_chars(found->data(), end, number);
    if (error != std::errc{} || read != end) {
        place.fail(fmt::format("must be a whole number, not '{}'", *found));
    }
    return number;
}

std::optional<bool> Values::boolean(const Place& place) const {
    const auto found = text(place);
    if (!found) {
        return std::nullopt;
    }
    for (const std::string_view yes : {"true", "True", "TRUE", "yes"}) {
        if (*found == yes) {
            return true;
        }
    }
    for (const std::string_view no : {"false", "False", "FALSE", "no"}) {
        if (*found == no) {
            return false;
        }
    }
    place.fail(fmt::format("must be true or false, not '{}'", *found));
}

std::vector<std::string> Values::texts(const Place& place) const {
    std::vector<std::string> found;
    for (const Place& item : items_of(place)) {
        if (auto value = text(item)) {
            found.push_back(*std::move(value));
        }
    }
    return found;
}

std::vector<std::pair<std::string, std::string>> Values::pairs(const Place& place) const {
    std::vector<std::pair<std::string, std::string>> found;
    for (const MemberPlace& member : members_of(place)) {
        if (auto value = text(member.value)) {
            found.emplace_back(member.key, *std::move(value));
        }
    }
    return found;
}

std::string Values::json(const Place& place) const {
    JsonWriter out;
    if (is_function(place)) {
        return out.text(text(place).value_or("")).str();
    }
    if (place.node.IsMap()) {
        out.begin_object();
        for (const MemberPlace& member : members_of(place)) {
            out.key(member.key).raw(json(member.value));
        }
        return out.end_object().str();
    }
    if (place.node.IsSequence()) {
        std::string list;
        for (const Place& item : items_of(place)) {
            list += (list.empty() ? "" : ",") + json(item);
        }
        return "[" + list + "]";
    }
    if (place.node.IsNull()) {
        return "null";
    }
    const std::string& scalar = place.node.Scalar();
    // A quoted scalar has the tag "!": it is text whatever it looks like.
    const bool is_plain = place.node.Tag() != "!";
    if (is_plain && (scalar == "true" || scalar == "false")) {
        return scalar;
    }
    double number = 0;
    const char* const end = scalar.data() + scalar.size();
    const auto [read, error] = std::from_chars(scalar.data(), end, number);
    if (is_plain && error == std::errc{} && read == end && JsonDocument::parse(scalar)) {
        return scalar;
    }
    return out.text(scalar).str();
}

}  // namespace hako::cli::deploy
