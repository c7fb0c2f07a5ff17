#include "engine/gateway/auth/key_store.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <openssl/crypto.h>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/registry/json_reader.h"
#include "engine/registry/json_writer.h"

namespace hako::gateway::auth {

namespace {

using registry::Failure;

constexpr std::string_view kPurpose = "access keys";
// A key is less than 6 KB of JSON; a file over this is not one of ours.
constexpr std::size_t kFileBytesMax = 1ULL << 30U;

std::unexpected<Failure> refuse(const std::string& path, std::string_view what) {
    return std::unexpected(Failure{fmt::format("access keys '{}': {}", path, what)});
}

std::unexpected<Failure> refuse_errno(const std::string& path, std::string_view what, int error) {
    return refuse(path, fmt::format("{}: {}", what, std::strerror(error)));
}

std::expected<std::string, Failure> read_all(const std::string& path, int fd) {
    struct stat status{};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return refuse(path, "is not a regular file");
    }
    if (static_cast<std::size_t>(status.st_size) > kFileBytesMax) {
        return refuse(path, "is too large");
    }
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    std::size_t got_bytes = 0;
    while (got_bytes < text.size()) {
        const ssize_t got = ::read(fd, text.data() + got_bytes, text.size() - got_bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return refuse_errno(path, "cannot be read", got < 0 ? errno : EIO);
        }
        got_bytes += static_cast<std::size_t>(got);
    }
    return text;
}

std::string_view text_of(simdjson::dom::element object, std::string_view name) {
    std::string_view text;
    return object[name].get(text) == simdjson::SUCCESS ? text : std::string_view();
}

std::int64_t number_of(simdjson::dom::element object, std::string_view name) {
    std::int64_t number = 0;
    return object[name].get(number) == simdjson::SUCCESS ? number : 0;
}

AccessKey read_key(simdjson::dom::element object) {
    AccessKey key;
    key.id = text_of(object, "Id");
    key.secret = text_of(object, "Secret");
    key.user = text_of(object, "User");
    key.account = text_of(object, "Account");
    key.arn = fmt::format("arn:aws:iam::{}:user/{}", key.account, key.user);
    key.created_s = number_of(object, "Created");
    key.expires_s = number_of(object, "Expires");
    key.is_enabled = number_of(object, "Enabled") != 0;
    auto grant = std::make_shared<Grant>();
    simdjson::dom::array items;
    if (object["Rights"].get(items) == simdjson::SUCCESS) {
        for (const simdjson::dom::element item : items) {
            std::string_view name;
            if (item.get(name) != simdjson::SUCCESS) {
                continue;
            }
            if (const auto right = right_named(name)) {
                grant->rights.add(*right);
            }
        }
    }
    if (object["Functions"].get(items) == simdjson::SUCCESS) {
        for (const simdjson::dom::element item : items) {
            std::string_view pattern;
            if (item.get(pattern) == simdjson::SUCCESS) {
                grant->functions.emplace_back(pattern);
            }
        }
    }
    key.grant = std::move(grant);
    return key;
}

void write_key(registry::JsonWriter& json, const AccessKey& key) {
    json.open_object()
        .member("Id", key.id)
        .member("Secret", key.secret)
        .member("User", key.user)
        .member("Account", key.account)
        .member("Created", static_cast<std::uint64_t>(key.created_s))
        .member("Expires", static_cast<std::uint64_t>(key.expires_s))
        .member("Enabled", std::uint64_t{key.is_enabled ? 1U : 0U});
    json.key("Rights").open_array();
    for (const std::string_view name : key.grant->rights.names()) {
        json.value(name);
    }
    json.close_array().key("Functions").open_array();
    for (const std::string& pattern : key.grant->functions) {
        json.value(pattern);
    }
    json.close_array().close_object();
}

}  // namespace

KeyStore::~KeyStore() {
    for (auto& [id, entry] : entries_) {
        registry::wipe(entry->key.secret);
        OPENSSL_cleanse(entry->signing.key.data(), entry->signing.key.size());
    }
}

std::expected<void, Failure> KeyStore::load() {
    const UniqueFd file(::open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC));
    if (!file) {
        if (errno == ENOENT) {
            return {};
        }
        return refuse_errno(path_, "cannot be opened", errno);
    }
    TRY_ASSIGN(const std::string sealed, read_all(path_, file.get()));
    auto plain = box_.unseal(kPurpose, {}, sealed);
    if (!plain) {
        return refuse(path_, "damaged, or sealed with another secret key file");
    }
    simdjson::dom::parser parser;
    simdjson::dom::element root;
    simdjson::dom::array keys;
    const bool is_ours = parser.parse(*plain).get(root) == simdjson::SUCCESS &&
                         number_of(root, "Version") == 1 &&
                         root["Keys"].get(keys) == simdjson::SUCCESS;
    if (is_ours) {
        for (const simdjson::dom::element key : keys) {
            put(read_key(key));
        }
    }
    registry::wipe(*plain);
    if (!is_ours) {
        return refuse(path_, "was written by a newer hako");
    }
    return {};
}

KeyStore::Entry* KeyStore::find(std::string_view id) noexcept {
    const auto found = entries_.find(id);
    return found == entries_.end() ? nullptr : found->second.get();
}

std::vector<const AccessKey*> KeyStore::list() const {
    std::vector<const AccessKey*> keys;
    keys.reserve(entries_.size());
    for (const auto& [id, entry] : entries_) {
        keys.push_back(&entry->key);
    }
    std::ranges::sort(keys, [](const AccessKey* a, const AccessKey* b) {
        return a->created_s != b->created_s ? a->created_s < b->created_s : a->id < b->id;
    });
    return keys;
}

void KeyStore::put(AccessKey key) {
    auto& entry = entries_[key.id];
    if (entry == nullptr) {
        entry = std::make_unique<Entry>();
    }
    entry->key = std::move(key);
    entry->signing = {};
}

void KeyStore::remove(std::string_view id) {
    const auto found = entries_.find(id);
    if (found != entries_.end()) {
        registry::wipe(found->second->key.secret);
        OPENSSL_cleanse(found->second->signing.key.data(), found->second->signing.key.size());
        entries_.erase(found);
    }
}

std::string KeyStore::sealed() const {
    registry::JsonWriter json;
    json.open_object().member("Version", std::uint64_t{1}).key("Keys").open_array();
    for (const AccessKey* key : list()) {
        write_key(json, *key);
    }
    json.close_array().close_object();
    std::string plain = json.take();
    std::string sealed = box_.seal(kPurpose, {}, plain);
    registry::wipe(plain);
    return sealed;
}

std::expected<void, Failure> KeyStore::save(const std::string& path, std::string_view sealed) {
    const std::string draft = path + ".new";
    UniqueFd file(::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600)
    );
    if (!file) {
        return refuse_errno(path, "cannot be written", errno);
    }
    while (!sealed.empty()) {
        const ssize_t wrote = ::write(file.get(), sealed.data(), sealed.size());
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            return refuse_errno(path, "cannot be written", wrote < 0 ? errno : ENOSPC);
        }
        sealed.remove_prefix(static_cast<std::size_t>(wrote));
    }
    if (::fsync(file.get()) != 0 || ::rename(draft.c_str(), path.c_str()) != 0) {
        return refuse_errno(path, "cannot be made durable", errno);
    }
    const std::string folder = std::filesystem::path(path).parent_path().string();
    const UniqueFd directory(
        ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    );
    if (!directory || ::fsync(directory.get()) != 0) {
        return refuse_errno(path, "cannot be made durable", errno);
    }
    return {};
}

}  // namespace hako::gateway::auth
