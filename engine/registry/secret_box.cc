#include "engine/registry/secret_box.h"

#include <cerrno>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "engine/base/ensure.h"
#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace hako::registry {

namespace {

constexpr char kVersion = 1;
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kHexBytes = 2 * SecretBox::kKeyBytes;

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

std::unexpected<Failure> refuse(const std::string& path, std::string_view what) {
    return std::unexpected(Failure{fmt::format("secret key file '{}' {}", path, what)});
}

std::unexpected<Failure> refuse_errno(const std::string& path, std::string_view what, int error) {
    return refuse(path, fmt::format("{}: {}", what, std::strerror(error)));
}

void fill_random(std::uint8_t* into, std::size_t bytes) {
    const ssize_t got = getrandom(into, bytes, 0);
    ENSURE(got == static_cast<ssize_t>(bytes), "getrandom gives up to 256 bytes without failing");
}

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* bytes_of(std::string& text) {
    return reinterpret_cast<unsigned char*>(text.data());
}

/// Nothing unless it is 64 digits, in either case, and perhaps a newline.
std::optional<SecretBox::Key> parse_key(std::string_view text) {
    if (text.ends_with('\n')) {
        text.remove_suffix(1);
    }
    if (text.size() != kHexBytes) {
        return std::nullopt;
    }
    SecretBox::Key key;
    for (std::size_t at = 0; at < key.size(); ++at) {
        std::uint8_t byte = 0;
        for (const char digit : text.substr(2 * at, 2)) {
            const char lower = static_cast<char>(digit | 0x20);
            if (digit >= '0' && digit <= '9') {
                byte = static_cast<std::uint8_t>(byte << 4U | (digit - '0'));
            } else if (lower >= 'a' && lower <= 'f') {
                byte = static_cast<std::uint8_t>(byte << 4U | (lower - 'a' + 10));
            } else {
                return std::nullopt;
            }
        }
        key[at] = byte;
    }
    return key;
}

std::expected<void, Failure> create(const std::string& path) {
    // Under another name first: a key file is whole or not there.
    const std::string draft = path + ".new";
    UniqueFd file(::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600)
    );
    if (!file) {
        return refuse_errno(path, "cannot be made", errno);
    }
    SecretBox::Key key;
    fill_random(key.data(), key.size());
    std::string text;
    for (const std::uint8_t byte : key) {
        text += fmt::format("{:02x}", byte);
    }
    text += '\n';
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    const int error = errno;
    OPENSSL_cleanse(key.data(), key.size());
    wipe(text);
    if (written != static_cast<ssize_t>(kHexBytes + 1)) {
        return refuse_errno(path, "cannot be written", written < 0 ? error : ENOSPC);
    }
    if (::fsync(file.get()) != 0 || ::rename(draft.c_str(), path.c_str()) != 0) {
        return refuse_errno(path, "cannot be made durable", errno);
    }
    return {};
}

}  // namespace

std::expected<SecretBox, Failure> SecretBox::open(const std::string& path, bool may_create) {
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC));
    if (!file && errno == ENOENT && may_create) {
        TRY(create(path));
        file.reset(::open(path.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC));
    }
    if (!file) {
        return refuse_errno(path, "cannot be opened", errno);
    }
    struct stat status{};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return refuse(path, "is not a regular file");
    }
    if ((status.st_mode & 077U) != 0) {
        return refuse(
            path, fmt::format("is open to others (mode {:04o}): chmod 600", status.st_mode & 0777U)
        );
    }
    std::string text(kHexBytes + 2, '\0');
    const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
    if (got < 0) {
        return refuse_errno(path, "cannot be read", errno);
    }
    text.resize(static_cast<std::size_t>(got));
    auto key = parse_key(text);
    wipe(text);
    if (!key) {
        return refuse(path, "is not 64 hexadecimal digits");
    }
    SecretBox box(*key);
    OPENSSL_cleanse(key->data(), key->size());
    return box;
}

SecretBox::~SecretBox() {
    OPENSSL_cleanse(key_.data(), key_.size());
}

SecretBox::Key SecretBox::derive(std::string_view purpose) const {
    const std::string label = fmt::format("hako secret box 1: {}", purpose);
    Key derived;
    unsigned int derived_bytes = 0;
    const unsigned char* done = HMAC(
        EVP_sha256(),
        key_.data(),
        static_cast<int>(key_.size()),
        bytes_of(label),
        label.size(),
        derived.data(),
        &derived_bytes
    );
    ENSURE(done != nullptr && derived_bytes == derived.size(), "HMAC cannot fail on memory");
    return derived;
}

std::string SecretBox::seal(
    std::string_view purpose, std::string_view context, std::string_view plain
) const {
    std::string sealed(plain.size() + kOverheadBytes, '\0');
    sealed[0] = kVersion;
    unsigned char* const nonce = bytes_of(sealed) + 1;
    unsigned char* const text = nonce + kNonceBytes;
    unsigned char* const tag = text + plain.size();
    fill_random(nonce, kNonceBytes);
    Key key = derive(purpose);
    const Cipher cipher(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
    int bytes = 0;
    const bool ok =
        EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce) == 1 &&
        EVP_EncryptUpdate(
            cipher.get(), nullptr, &bytes, bytes_of(context), static_cast<int>(context.size())
        ) == 1 &&
        EVP_EncryptUpdate(
            cipher.get(), text, &bytes, bytes_of(plain), static_cast<int>(plain.size())
        ) == 1 &&
        EVP_EncryptFinal_ex(cipher.get(), tag, &bytes) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, tag) == 1;
    OPENSSL_cleanse(key.data(), key.size());
    ENSURE(ok, "AES-GCM cannot fail on memory");
    return sealed;
}

std::optional<std::string> SecretBox::unseal(
    std::string_view purpose, std::string_view context, std::string_view sealed
) const {
    if (sealed.size() < kOverheadBytes || sealed[0] != kVersion) {
        return std::nullopt;
    }
    const unsigned char* const nonce = bytes_of(sealed) + 1;
    const std::string_view text = sealed.substr(1 + kNonceBytes, sealed.size() - kOverheadBytes);
    std::array<unsigned char, kTagBytes> tag;
    std::memcpy(tag.data(), text.data() + text.size(), tag.size());
    std::string plain(text.size(), '\0');
    Key key = derive(purpose);
    const Cipher cipher(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
    int bytes = 0;
    const bool ok =
        EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce) == 1 &&
        EVP_DecryptUpdate(
            cipher.get(), nullptr, &bytes, bytes_of(context), static_cast<int>(context.size())
        ) == 1 &&
        EVP_DecryptUpdate(
            cipher.get(), bytes_of(plain), &bytes, bytes_of(text), static_cast<int>(text.size())
        ) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
        EVP_DecryptFinal_ex(cipher.get(), tag.data(), &bytes) == 1;
    OPENSSL_cleanse(key.data(), key.size());
    if (!ok) {
        wipe(plain);
        return std::nullopt;
    }
    return plain;
}

void wipe(std::string& secret) noexcept {
    OPENSSL_cleanse(secret.data(), secret.size());
    secret.clear();
}

}  // namespace hako::registry
