#include <set>

#include <gtest/gtest.h>

#include "engine/registry/digest.h"
#include "engine/registry/json_reader.h"
#include "engine/registry/json_writer.h"
#include "tests/unit/registry/fixture.h"

namespace hako::registry {
namespace {

std::string base64_of(std::string_view text) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
    return to_base64({bytes, text.size()});
}

TEST(Digest, KnowsTheVectorsOfFips180) {
    EXPECT_EQ(
        to_hex(sha256(bytes_of("abc"))),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    EXPECT_EQ(
        to_hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

TEST(Digest, HexGoesBothWays) {
    const Sha256 digest = sha256(bytes_of("x"));
    EXPECT_EQ(from_hex(to_hex(digest)), digest);
    EXPECT_FALSE(from_hex(to_hex(digest).substr(1)));
    EXPECT_FALSE(from_hex(std::string(64, 'G')));
    EXPECT_FALSE(from_hex(std::string(64, 'A')));
}

TEST(Base64, KnowsTheVectorsOfRfc4648) {
    const std::pair<std::string, std::string> vectors[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (const auto& [plain, coded] : vectors) {
        EXPECT_EQ(base64_of(plain), coded);
        const auto decoded = from_base64(coded);
        ASSERT_TRUE(decoded) << coded;
        EXPECT_EQ(
            std::string(reinterpret_cast<const char*>(decoded->data()), decoded->size()), plain
        );
    }
    for (const char* bad : {"Z", "Zg=", "Zg", "Z===", "Zm=v", "Zm9 ", "Zm9v\n", "====", "Zm-_"}) {
        EXPECT_FALSE(from_base64(bad)) << bad;
    }
}

TEST(LambdaTime, HasMillisecondsAndZone) {
    EXPECT_EQ(lambda_time(1513245600123456), "2017-12-14T10:00:00.123+0000");
    EXPECT_EQ(lambda_time(0), "1970-01-01T00:00:00.000+0000");
}

TEST(Uuid, IsVersionFourAndNeverTheSame) {
    std::set<std::string> seen;
    for (int i = 0; i < 1000; ++i) {
        const std::string uuid = make_uuid();
        EXPECT_EQ(uuid.size(), 36U);
        EXPECT_EQ(uuid[14], '4');
        EXPECT_NE(std::string("89ab").find(uuid[19]), std::string::npos);
        EXPECT_TRUE(seen.insert(uuid).second);
    }
}

TEST(JsonWriter, EscapesWhatMustBe) {
    JsonWriter json;
    json.open_object()
        .member("a\"b", std::string_view("\x00\x1f\n\t\r\\\" \xc3\xa9 \x7f", 12))
        .member("n", std::uint64_t{18446744073709551615U})
        .key("list")
        .open_array()
        .value("x")
        .value(std::uint64_t{1})
        .open_object()
        .close_object()
        .close_array()
        .key("empty")
        .open_object()
        .close_object()
        .member("bad", "\xff ok")
        .close_object();
    const std::string text = json.take();
    EXPECT_EQ(
        text,
        "{\"a\\\"b\":\"\\u0000\\u001f\\n\\t\\r\\\\\\\" \xc3\xa9 \x7f\",\"n\":18446744073709551615,"
        "\"list\":[\"x\",1,{}],\"empty\":{},\"bad\":\"\xef\xbf\xbd ok\"}"
    );
    JsonDocument document;
    EXPECT_TRUE(document.parse(text));
}

TEST(JsonReader, CapsDepthAndWantsAnObject) {
    JsonDocument document;
    EXPECT_TRUE(document.parse(""));
    EXPECT_TRUE(document.parse("{}"));
    EXPECT_FALSE(document.parse("[]"));
    EXPECT_FALSE(document.parse("{"));
    EXPECT_FALSE(document.parse("{} x"));
    EXPECT_FALSE(document.parse("{\"a\":\"\xff\"}"));
    const auto nested = [](std::size_t depth) {
        return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
    };
    EXPECT_TRUE(document.parse(nested(kJsonDepthMax - 2)));
    EXPECT_FALSE(document.parse(nested(kJsonDepthMax)));
    EXPECT_FALSE(document.parse(nested(100000)));
}

TEST(ApiError, SpellsMessageAsEachErrorDoes) {
    EXPECT_EQ(not_found("x").to_json(), R"({"Type":"User","Message":"x"})");
    EXPECT_EQ(conflict("x").to_json(), R"({"Type":"User","message":"x"})");
    EXPECT_EQ(service_error("x").to_json(), R"({"Type":"Service","Message":"x"})");
    EXPECT_EQ(validation_error("x").to_json(), R"({"message":"x"})");
}

}  // namespace
}  // namespace hako::registry
