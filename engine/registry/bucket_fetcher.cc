#include "engine/registry/bucket_fetcher.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "engine/base/ensure.h"
#include "engine/base/result.h"
#include "engine/registry/code_store.h"
#include "engine/registry/file_tree.h"

namespace hako::registry {

namespace {

constexpr long kConnectTimeoutMs = 5'000;
constexpr long kTotalTimeoutS = 120;
// An error document is short; what is longer is not read for its code.
constexpr std::size_t kErrorBytesMax = 16 * 1024;
constexpr std::size_t kSecretFileBytesMax = 4096;
// S3 wants the hash of the body among the signed headers; libcurl before 8 does not send it. A GET
// has none: the SHA-256 of nothing.
constexpr const char* kNoBodyHeader =
    "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

ApiError no_bucket() {
    return s3_error("NoSuchBucket", "The specified bucket does not exist");
}
ApiError no_key() {
    return s3_error("NoSuchKey", "The specified key does not exist.");
}
ApiError too_big() {
    return too_large(fmt::format("Zipped size must be smaller than {} bytes", kZipBytesMax));
}

/// Reads at most `bytes_max`; nothing if it cannot be read or is longer.
template <typename Container>
bool read_file(int fd, std::size_t bytes_max, Container& into) {
    into.resize(bytes_max + 1);
    std::size_t got_bytes = 0;
    while (got_bytes < into.size()) {
        const ssize_t got = ::read(fd, into.data() + got_bytes, into.size() - got_bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return false;
        }
        if (got == 0) {
            break;
        }
        got_bytes += static_cast<std::size_t>(got);
    }
    into.resize(got_bytes);
    return got_bytes <= bytes_max;
}

/// `ACCESS_KEY:SECRET_KEY` of a credentials file; empty if it is not one.
std::string read_credentials(const std::string& path) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text;
    if (!file || !read_file(file.get(), kSecretFileBytesMax, text)) {
        return {};
    }
    const std::size_t line_end = text.find('\n');
    if (line_end == std::string::npos) {
        return {};
    }
    const std::string_view rest = std::string_view(text).substr(line_end + 1);
    const std::string_view secret = rest.substr(0, rest.find('\n'));
    return fmt::format("{}:{}", std::string_view(text).substr(0, line_end), secret);
}

struct Download {
    std::vector<std::byte> bytes;
    bool is_too_long = false;
};

std::size_t on_data(char* data, std::size_t, std::size_t bytes, void* owner) {
    auto& download = *static_cast<Download*>(owner);
    if (download.bytes.size() + bytes > kZipBytesMax) {
        download.is_too_long = true;
        return 0;  // ends the transfer
    }
    const auto* begin = reinterpret_cast<const std::byte*>(data);
    download.bytes.insert(download.bytes.end(), begin, begin + bytes);
    return bytes;
}

struct CurlFree {
    void operator()(CURL* handle) const noexcept { curl_easy_cleanup(handle); }
    void operator()(char* text) const noexcept { curl_free(text); }
    void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
using Curl = std::unique_ptr<CURL, CurlFree>;

std::string escaped(CURL* curl, std::string_view text) {
    const std::unique_ptr<char, CurlFree> result(
        curl_easy_escape(curl, text.data(), static_cast<int>(text.size()))
    );
    ENSURE(result != nullptr, "memory for a URL");
    return result.get();
}

std::string object_url(CURL* curl, const std::string& endpoint, const CodeObject& object) {
    std::string url = endpoint;
    while (url.ends_with('/')) {
        url.pop_back();
    }
    url += "/" + escaped(curl, object.bucket);
    for (std::string_view rest = object.key;;) {
        const std::size_t slash = rest.find('/');
        url += "/" + escaped(curl, rest.substr(0, slash));
        if (slash == std::string_view::npos) {
            break;
        }
        rest.remove_prefix(slash + 1);
    }
    if (!object.version.empty()) {
        url += "?versionId=" + escaped(curl, object.version);
    }
    return url;
}

/// The text between `<name>` and `</name>` of an error document.
std::string_view element(std::string_view xml, std::string_view name) {
    const std::size_t begin = xml.find(fmt::format("<{}>", name));
    if (begin == std::string_view::npos) {
        return {};
    }
    const std::string_view rest = xml.substr(begin + name.size() + 2);
    return rest.substr(0, rest.find('<'));
}

ApiError refused(long status, const std::vector<std::byte>& body) {
    const std::string_view xml(
        reinterpret_cast<const char*>(body.data()), std::min(body.size(), kErrorBytesMax)
    );
    const std::string_view code = element(xml, "Code");
    if (!code.empty()) {
        return s3_error(code, element(xml, "Message"));
    }
    return status == 404 ? no_key() : s3_error(fmt::format("{}", status), "The server refused.");
}

void prepare(CURL* curl, const std::string& url, Download& download) {
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);  // a key may have dots in it
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, kTotalTimeoutS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &download);
}

}  // namespace

BucketFetcher::BucketFetcher(BucketOptions options) : options_(std::move(options)) {
    if (!options_.endpoint.empty()) {
        ENSURE(curl_global_init(CURL_GLOBAL_DEFAULT) == 0, "libcurl can be initialised");
    }
}

BucketFetcher::~BucketFetcher() {
    if (!options_.endpoint.empty()) {
        curl_global_cleanup();
    }
}

std::expected<std::vector<std::byte>, ApiError> BucketFetcher::fetch(const CodeObject& object) {
    if (auto local = fetch_local(object)) {
        return std::move(*local);
    }
    if (options_.endpoint.empty()) {
        return std::unexpected(no_bucket());
    }
    const std::scoped_lock lock(mutex_);
    return fetch_remote(object);
}

std::optional<std::expected<std::vector<std::byte>, ApiError>> BucketFetcher::fetch_local(
    const CodeObject& object
) const {
    if (options_.directory.empty()) {
        return std::nullopt;
    }
    const UniqueFd root(::open(options_.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) {
        return std::nullopt;
    }
    // A bucket's name is one component: nothing in it may lead elsewhere.
    if (object.bucket == "." || object.bucket == ".." ||
        object.bucket.find('/') != std::string::npos) {
        return std::nullopt;
    }
    const auto bucket = open_beneath(root.get(), object.bucket, O_PATH | O_DIRECTORY);
    if (!bucket) {
        return std::nullopt;
    }
    if (!object.version.empty() && object.version != "null") {
        return std::unexpected(s3_error("NoSuchVersion", "The specified version does not exist."));
    }
    // Without waiting, should it be a pipe.
    const auto file = open_beneath(bucket->get(), object.key, O_RDONLY | O_NONBLOCK);
    struct stat status{};
    if (!file || ::fstat(file->get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return std::unexpected(no_key());
    }
    if (static_cast<std::uint64_t>(status.st_size) > kZipBytesMax) {
        return std::unexpected(too_big());
    }
    Bytes bytes;
    if (!read_file(file->get(), kZipBytesMax, bytes)) {
        return std::unexpected(s3_error("InternalError", "The object could not be read."));
    }
    return bytes;
}

std::expected<std::vector<std::byte>, ApiError> BucketFetcher::fetch_remote(const CodeObject& object
) const {
    const Curl curl(curl_easy_init());
    if (curl == nullptr) {
        return std::unexpected(service_error("No memory for a download."));
    }
    Download download;
    const std::string url = object_url(curl.get(), options_.endpoint, object);
    prepare(curl.get(), url, download);
    const std::unique_ptr<curl_slist, CurlFree> headers(curl_slist_append(nullptr, kNoBodyHeader));
    // libcurl copies the two texts, not the list.
    if (!options_.credentials.empty()) {
        const std::string keys = read_credentials(options_.credentials);
        if (keys.empty()) {
            return std::unexpected(service_error("code_s3_credentials cannot be read."));
        }
        const std::string signing = fmt::format("aws:amz:{}:s3", options_.region);
        curl_easy_setopt(curl.get(), CURLOPT_AWS_SIGV4, signing.c_str());
        curl_easy_setopt(curl.get(), CURLOPT_USERPWD, keys.c_str());
        curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
    }
    const CURLcode done = curl_easy_perform(curl.get());
    if (download.is_too_long) {
        return std::unexpected(too_big());
    }
    if (done != CURLE_OK) {
        return std::unexpected(s3_error("ServiceUnavailable", curl_easy_strerror(done)));
    }
    long status = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        return std::unexpected(refused(status, download.bytes));
    }
    return std::move(download.bytes);
}

}  // namespace hako::registry
