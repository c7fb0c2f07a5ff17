#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "engine/gateway/auth/key_operations.h"
#include "engine/observe/engine_log.h"
#include "engine/registry/json_reader.h"
#include "tests/unit/auth/fixture.h"

namespace hako::gateway::auth {
namespace {

using registry::ControlAnswer;
using registry::SecretBox;
using testing::HasSubstr;
using testing::Not;

mode_t mode_of(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777U;
}

void write_file(const std::string& path, std::string_view text, mode_t mode) {
    std::ofstream(path, std::ios::binary) << text;
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
}

// ---- the box ----

TEST(SecretBox, OpensWhatItSealedAndNothingElse) {
    const SecretBox box = test_box();
    for (const std::string& plain : {std::string(), std::string("x"), std::string(100'000, 'y')}) {
        const std::string sealed = box.seal("purpose", "context", plain);
        EXPECT_EQ(sealed.size(), plain.size() + SecretBox::kOverheadBytes);
        EXPECT_EQ(box.unseal("purpose", "context", sealed), plain);
        EXPECT_NE(box.seal("purpose", "context", plain), sealed) << "each with a nonce of its own";
        EXPECT_FALSE(box.unseal("other", "context", sealed));
        EXPECT_FALSE(box.unseal("purpose", "", sealed));
        EXPECT_FALSE(test_box(8).unseal("purpose", "context", sealed));
    }
    const std::string sealed = box.seal("p", "", "a secret");
    for (std::size_t at = 0; at < sealed.size(); ++at) {
        std::string changed = sealed;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        EXPECT_FALSE(box.unseal("p", "", changed)) << at;
        EXPECT_FALSE(box.unseal("p", "", sealed.substr(0, at))) << at;
    }
}

TEST(SecretBox, MakesItsKeyFileOnce) {
    const TempDir dir;
    const std::string path = dir.path("secret.key");
    EXPECT_FALSE(SecretBox::open(path, false)) << "a named file that is missing is a mistake";
    const auto made = SecretBox::open(path, true);
    ASSERT_TRUE(made) << made.error().text;
    EXPECT_EQ(mode_of(path), mode_t{0600});
    const std::string text = read_file(path);
    EXPECT_EQ(text.size(), 65U);
    const auto again = SecretBox::open(path, true);
    ASSERT_TRUE(again);
    EXPECT_EQ(read_file(path), text);
    EXPECT_EQ(again->unseal("p", "", made->seal("p", "", "x")), "x");
    EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST(SecretBox, RefusesUnfitKeyFilesWithoutShowingThem) {
    const TempDir dir;
    const std::string path = dir.path("secret.key");
    const std::string digits(64, 'a');
    const auto error = [&path] {
        const auto box = SecretBox::open(path, true);
        return box ? std::string() : box.error().text;
    };
    write_file(path, digits + "\n", 0640);
    EXPECT_THAT(error(), HasSubstr("is open to others (mode 0640)"));
    for (const std::string& text :
         {digits.substr(1), digits + "b\n", digits.substr(1) + "g", digits + "\n\n", std::string()
         }) {
        write_file(path, text, 0600);
        EXPECT_THAT(error(), HasSubstr("is not 64 hexadecimal digits")) << text;
        EXPECT_THAT(error(), Not(HasSubstr("aaaa")));
    }
    write_file(path, "AB" + digits.substr(2), 0400);
    EXPECT_EQ(error(), "");
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
    EXPECT_THAT(error(), HasSubstr("is not a regular file"));
}

// ---- the store ----

TEST(KeyStore, KeepsEverythingSealedOnDisk) {
    const TempDir dir;
    const std::string path = dir.path("keys");
    AccessKey key =
        test_key("AKHK1", {.rights = Rights(Right::kControl), .functions = {"img-*", "b"}});
    key.expires_s = kNow_s + 9;
    key.is_enabled = false;
    {
        KeyStore store(test_box(), path);
        ASSERT_TRUE(store.load()) << "no file yet";
        store.put(key);
        store.put(test_key("AKHK2"));
        ASSERT_TRUE(KeyStore::save(path, store.sealed()));
    }
    EXPECT_EQ(mode_of(path), mode_t{0600});
    EXPECT_FALSE(std::filesystem::exists(path + ".new"));
    const std::string bytes = read_file(path);
    for (const std::string_view readable :
         {kSecret, std::string_view("AKHK1"), std::string_view("tester")}) {
        EXPECT_THAT(bytes, Not(HasSubstr(std::string(readable))));
    }
    KeyStore store(test_box(), path);
    const auto loaded = store.load();
    ASSERT_TRUE(loaded) << loaded.error().text;
    EXPECT_EQ(store.count(), 2U);
    const AccessKey& back = store.find("AKHK1")->key;
    EXPECT_EQ(back.secret, key.secret);
    EXPECT_EQ(back.arn, key.arn);
    EXPECT_EQ(back.expires_s, key.expires_s);
    EXPECT_FALSE(back.is_enabled);
    EXPECT_EQ(back.grant->functions, key.grant->functions);
    EXPECT_EQ(back.grant->rights, key.grant->rights);
    EXPECT_EQ(store.find("AKHK2")->key.grant->rights, Rights::all());
    EXPECT_EQ(store.find("AKHK3"), nullptr);
}

TEST(KeyStore, RefusesAFileItCannotOpen) {
    const TempDir dir;
    const std::string path = dir.path("keys");
    KeyStore writer(test_box(), path);
    writer.put(test_key());
    ASSERT_TRUE(KeyStore::save(path, writer.sealed()));
    KeyStore stranger(test_box(8), path);
    const auto loaded = stranger.load();
    ASSERT_FALSE(loaded);
    EXPECT_THAT(loaded.error().text, HasSubstr("damaged, or sealed with another secret key file"));
    write_file(path, "", 0600);
    EXPECT_FALSE(KeyStore(test_box(), path).load());
    std::filesystem::remove(path);
    std::filesystem::create_symlink("/etc/passwd", path);
    EXPECT_FALSE(KeyStore(test_box(), path).load());
}

// ---- the operations ----

class Operations : public testing::Test {
protected:
    Operations() : path(dir.path("keys")), keys(test_box(), path), operations(keys, runner, {}, 3) {
        operations.clock_s = [this] { return now_s; };
    }

    ControlAnswer call(std::string_view operation, std::string_view json) {
        return operations.handle(caller, operation, json);
    }
    simdjson::dom::object parse(const ControlAnswer& answer) {
        auto object = document.parse(answer.json);
        EXPECT_TRUE(object) << answer.json;
        return *object;
    }
    std::string member(const ControlAnswer& answer, std::string_view name) {
        std::string_view text;
        EXPECT_EQ(parse(answer)["AccessKey"][name].get(text), simdjson::SUCCESS) << answer.json;
        return std::string(text);
    }
    std::string create(std::string_view json = R"({"UserName":"amy"})") {
        const ControlAnswer answer = call("CreateAccessKey", json);
        EXPECT_EQ(answer.status, 201) << answer.json;
        return member(answer, "AccessKeyId");
    }

    TempDir dir;
    std::string path;
    DirectRunner runner;
    KeyStore keys;
    KeyOperations operations;
    http::Caller caller{.kind = http::Caller::Kind::kKnown, .arn = "arn:aws:iam::1:user/unix/0"};
    std::int64_t now_s = kNow_s;
    registry::JsonDocument document;
};

TEST_F(Operations, ShowASecretOnceAndNeverAgain) {
    const ControlAnswer made = call(
        "CreateAccessKey",
        R"({"UserName":"amy","Rights":["invoke","control"],"Functions":["img-*"]})"
    );
    ASSERT_EQ(made.status, 201) << made.json;
    const std::string secret = member(made, "SecretAccessKey");
    const std::string id = member(made, "AccessKeyId");
    EXPECT_EQ(secret.size(), 40U);
    EXPECT_EQ(id.size(), 20U);
    EXPECT_TRUE(id.starts_with("AKHK"));
    EXPECT_EQ(member(made, "Arn"), "arn:aws:iam::123456789012:user/amy");
    EXPECT_EQ(keys.find(id)->key.secret, secret);
    EXPECT_TRUE(keys.find(id)->key.grant->rights.has(Right::kControl));
    const ControlAnswer listed = call("ListAccessKeys", "{}");
    EXPECT_EQ(
        listed.json,
        fmt::format(
            R"({{"AccessKeys":[{{"UserName":"amy","AccessKeyId":"{}","Status":"Active",)"
            R"("Arn":"arn:aws:iam::123456789012:user/amy","Rights":["invoke","control"],)"
            R"("Functions":["img-*"],"CreateDate":"2015-08-30T12:36:00.000+0000"}}]}})",
            id
        )
    );
    const ControlAnswer updated =
        call("UpdateAccessKey", fmt::format(R"({{"AccessKeyId":"{}","Status":"Inactive"}})", id));
    EXPECT_EQ(updated.status, 200);
    EXPECT_THAT(updated.json, Not(HasSubstr(secret)));
    KeyStore again(test_box(), path);
    ASSERT_TRUE(again.load());
    EXPECT_EQ(again.find(id)->key.secret, secret);
    EXPECT_FALSE(again.find(id)->key.is_enabled);
}

TEST_F(Operations, GrantInvokingOnlyUnlessAsked) {
    const auto& rights = keys.find(create())->key.grant->rights;
    EXPECT_EQ(rights.names(), std::vector<std::string_view>{"invoke"});
    EXPECT_TRUE(keys.find(create(R"({"UserName":"b","Rights":[]})"))->key.grant->rights.empty());
}

TEST_F(Operations, RotateLeavesTheOldKeyItsGrace) {
    const std::string old = create(R"({"UserName":"amy","Functions":["f"]})");
    const ControlAnswer rotated =
        call("RotateAccessKey", fmt::format(R"({{"AccessKeyId":"{}","GraceSeconds":60}})", old));
    ASSERT_EQ(rotated.status, 201) << rotated.json;
    const std::string next = member(rotated, "AccessKeyId");
    EXPECT_NE(next, old);
    EXPECT_NE(keys.find(next)->key.secret, keys.find(old)->key.secret);
    EXPECT_EQ(keys.find(next)->key.grant->functions, std::vector<std::string>{"f"});
    EXPECT_EQ(keys.find(old)->key.expires_s, kNow_s + 60);
    EXPECT_EQ(keys.find(next)->key.expires_s, 0);
    now_s += 61;
    EXPECT_THAT(call("ListAccessKeys", "{}").json, HasSubstr(R"("Status":"Expired")"));
    now_s += 31 * 86'400;
    (void)create();
    EXPECT_EQ(keys.find(old), nullptr) << "forgotten a month after its end";
}

TEST_F(Operations, DeleteAndTheLimit) {
    const std::string first = create();
    (void)create();
    (void)create();
    const ControlAnswer full = call("CreateAccessKey", R"({"UserName":"amy"})");
    EXPECT_EQ(full.status, 409);
    EXPECT_EQ(full.error_code, "LimitExceededException");
    const std::string json = fmt::format(R"({{"AccessKeyId":"{}"}})", first);
    EXPECT_EQ(call("DeleteAccessKey", json).status, 204);
    EXPECT_EQ(keys.find(first), nullptr);
    EXPECT_EQ(call("DeleteAccessKey", json).status, 404);
    (void)create();
}

TEST_F(Operations, ChangeNothingIfTheDiskRefuses) {
    const std::string id = create();
    std::filesystem::create_directory(path + ".new");  // nobody can write the draft, not even root
    EXPECT_EQ(call("CreateAccessKey", R"({"UserName":"b"})").status, 500);
    EXPECT_EQ(keys.count(), 1U);
    const std::string json = fmt::format(R"({{"AccessKeyId":"{}"}})", id);
    EXPECT_EQ(call("DeleteAccessKey", json).status, 500);
    ASSERT_NE(keys.find(id), nullptr);
    EXPECT_EQ(call("RotateAccessKey", json).status, 500);
    EXPECT_EQ(keys.count(), 1U);
    EXPECT_EQ(keys.find(id)->key.expires_s, 0);
    EXPECT_EQ(
        call("UpdateAccessKey", fmt::format(R"({{"AccessKeyId":"{}","Status":"Inactive"}})", id))
            .status,
        500
    );
    EXPECT_TRUE(keys.find(id)->key.is_enabled);
}

TEST_F(Operations, RefuseBadRequests) {
    const std::vector<std::pair<const char*, const char*>> cases = {
        {"CreateAccessKey", "{}"},
        {"CreateAccessKey", R"({"UserName":""})"},
        {"CreateAccessKey", R"({"UserName":"a b"})"},
        {"CreateAccessKey", R"({"UserName":"a/b"})"},
        {"CreateAccessKey", R"({"UserName":1})"},
        {"CreateAccessKey", R"({"UserName":"a","Account":"12"})"},
        {"CreateAccessKey", R"({"UserName":"a","Rights":["root"]})"},
        {"CreateAccessKey", R"({"UserName":"a","Rights":"invoke"})"},
        {"CreateAccessKey", R"({"UserName":"a","Functions":["a/b"]})"},
        {"CreateAccessKey", R"({"UserName":"a","Functions":[""]})"},
        {"CreateAccessKey", R"({"UserName":"a","ExpiresInSeconds":-1})"},
        {"CreateAccessKey", R"({"UserName":"a","Secret":"x"})"},
        {"CreateAccessKey", R"({"UserName":"a","AccessKeyId":"x"})"},
        {"UpdateAccessKey", R"({"Status":"Active"})"},
        {"UpdateAccessKey", R"({"AccessKeyId":"x","Status":"active"})"},
        {"CreateAccessKey", "[]"},
        {"CreateAccessKey", "{"},
    };
    for (const auto& [operation, json] : cases) {
        EXPECT_EQ(call(operation, json).status, 400) << operation << json;
    }
    EXPECT_EQ(keys.count(), 0U);
    EXPECT_TRUE(KeyOperations::knows("RotateAccessKey"));
    EXPECT_FALSE(KeyOperations::knows("CreateFunction"));
}

TEST_F(Operations, LogWhoChangedWhatAndNoSecret) {
    const std::string log_path = dir.path("log");
    const UniqueFd log(::open(log_path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    observe::set_log_fd(log.get(), false, false);
    const std::string id = create();
    (void)call("RotateAccessKey", fmt::format(R"({{"AccessKeyId":"{}"}})", id));
    (void)call("DeleteAccessKey", fmt::format(R"({{"AccessKeyId":"{}"}})", id));
    observe::set_log_fd(STDERR_FILENO, false, false);
    const std::string text = read_file(log_path);
    EXPECT_THAT(
        text, HasSubstr(fmt::format("operation=CreateAccessKey key={} user=amy by=arn", id))
    );
    EXPECT_THAT(text, HasSubstr("operation=DeleteAccessKey"));
    for (const AccessKey* key : keys.list()) {
        EXPECT_THAT(text, Not(HasSubstr(key->secret)));
    }
}

}  // namespace
}  // namespace hako::gateway::auth
