#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/hako/deploy/source.h"

// What a template's values come to once Ref, Sub, GetAtt and Join are worked out.
namespace hako::cli::deploy {

/// What names stand for: parameters, pseudo parameters and resources.
class Names {
public:
    /// `Ref NAME` and `${NAME}` give `text`.
    void add(const std::string& name, std::string text) { refs_[name] = std::move(text); }
    /// `GetAtt NAME.ATTRIBUTE` and `${NAME.ATTRIBUTE}` give `text`.
    void add_attribute(const std::string& name, const std::string& attribute, std::string text) {
        attributes_[name + "." + attribute] = std::move(text);
    }
    [[nodiscard]] const std::string* ref(const std::string& name) const;
    [[nodiscard]] const std::string* attribute(const std::string& dotted) const;
    [[nodiscard]] bool has_resource_attributes(const std::string& name) const;

private:
    std::map<std::string, std::string> refs_;
    std::map<std::string, std::string> attributes_;
};

/// Reads values; each failure names line and path. Nothing stands for `AWS::NoValue`.
class Values {
public:
    explicit Values(const Names& names) : names_(names) {}

    [[nodiscard]] std::optional<std::string> text(const Place& place) const;
    [[nodiscard]] std::optional<std::int64_t> integer(const Place& place) const;
    [[nodiscard]] std::optional<bool> boolean(const Place& place) const;
    [[nodiscard]] std::vector<std::string> texts(const Place& place) const;
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> pairs(const Place& place) const;
    /// Any value as JSON, with the functions worked out: for parts that are handed on as they are.
    [[nodiscard]] std::string json(const Place& place) const;
    /// The value is a function (`!Ref X`, `Fn::Sub: ...`).
    [[nodiscard]] static bool is_function(const Place& place);

private:
    [[nodiscard]] std::optional<std::string> call(
        const Place& place, std::string_view function, const Place& argument
    ) const;
    [[nodiscard]] std::string substitute(const Place& place, const Place& argument) const;
    [[nodiscard]] std::string lookup(const Place& place, const std::string& name) const;
    [[nodiscard]] std::string get_attribute(const Place& place, const Place& argument) const;
    [[nodiscard]] std::string join(const Place& place, const Place& argument) const;

    const Names& names_;
};

}  // namespace hako::cli::deploy
