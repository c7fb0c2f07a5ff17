#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "engine/registry/api_error.h"

namespace hako::registry {

/// While it lives nobody else may change what has that name.
class BusyMark {
public:
    BusyMark(std::unordered_set<std::string>& names, std::string name)
        : names_(&names), name_(std::move(name)) {
        names_->insert(name_);
    }
    BusyMark(BusyMark&& other) noexcept
        : names_(std::exchange(other.names_, nullptr)), name_(std::move(other.name_)) {}
    BusyMark& operator=(BusyMark&&) = delete;
    BusyMark(const BusyMark&) = delete;
    BusyMark& operator=(const BusyMark&) = delete;
    ~BusyMark() {
        if (names_ != nullptr) {
            names_->erase(name_);
        }
    }

private:
    std::unordered_set<std::string>* names_;
    std::string name_;
};

/// What operations that wait for the database are changing. Outlives its marks.
class BusyNames {
public:
    /// Errors: 409, as Lambda words it, if `name` has a mark; `resource` is for the text.
    [[nodiscard]] std::expected<BusyMark, ApiError> mark(
        std::string name, std::string_view resource
    ) {
        if (names_.contains(name)) {
            return std::unexpected(conflict(
                "The operation cannot be performed at this time. An update is in progress for "
                "resource: " +
                std::string(resource)
            ));
        }
        return BusyMark(names_, std::move(name));
    }

private:
    std::unordered_set<std::string> names_;
};

}  // namespace hako::registry
