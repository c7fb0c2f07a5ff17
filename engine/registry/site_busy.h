#pragma once

#include <string>
#include <unordered_set>
#include <utility>

#include "engine/registry/site_service.h"

// Inside of SiteService, shared by its source files.
namespace hako::registry {

/// While it lives nobody else may change what has that name.
class SiteService::BusyMark {
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

}  // namespace hako::registry
