#include "engine/registry/function_url.h"

#include <utility>

namespace hako::registry {

FunctionUrlRef UrlTable::find(std::string_view id) const {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
}

FunctionUrlRef UrlTable::find(std::string_view function_name, std::string_view qualifier) const {
    const auto found = by_function_.find(function_name);
    if (found == by_function_.end()) {
        return nullptr;
    }
    const auto url = found->second.find(qualifier);
    return url == found->second.end() ? nullptr : url->second;
}

std::vector<FunctionUrlRef> UrlTable::list(std::string_view function_name) const {
    std::vector<FunctionUrlRef> urls;
    if (const auto found = by_function_.find(function_name); found != by_function_.end()) {
        for (const auto& [qualifier, url] : found->second) {
            urls.push_back(url);
        }
    }
    return urls;
}

void UrlTable::put(FunctionUrlRef url) {
    FunctionUrlRef& place = by_function_[url->function_name][url->qualifier];
    if (place != nullptr) {
        by_id_.erase(place->id);
    }
    by_id_[url->id] = url;
    place = std::move(url);
}

void UrlTable::remove(const FunctionUrlRef& url) {
    const auto found = by_function_.find(url->function_name);
    if (found == by_function_.end() || found->second.erase(url->qualifier) == 0) {
        return;
    }
    by_id_.erase(url->id);
    if (found->second.empty()) {
        by_function_.erase(found);
    }
}

void UrlTable::remove_function(std::string_view function_name) {
    const auto found = by_function_.find(function_name);
    if (found == by_function_.end()) {
        return;
    }
    for (const auto& [qualifier, url] : found->second) {
        by_id_.erase(url->id);
    }
    by_function_.erase(found);
}

}  // namespace hako::registry
