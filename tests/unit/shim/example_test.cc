#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "runtime-shim/native/native_runtime.h"
#include "tests/unit/shim/python_double.h"

// Each example answers its event.json with exactly its expected.json.
namespace hako::shim::test {
namespace {

std::string read_source(const std::string& example, const std::string& file) {
    std::ifstream in(std::string(HAKO_EXAMPLES_SOURCE) + "/" + example + "/" + file);
    std::stringstream text;
    text << in.rdbuf();
    EXPECT_TRUE(in) << example << "/" << file;
    std::string content = text.str();
    while (!content.empty() && content.back() == '\n') {
        content.pop_back();
    }
    return content;
}

void expect_expected(EngineDouble& engine, const std::string& example) {
    const std::string event = read_source(example, "event.json");
    for (int i = 0; i < 2; ++i) {  // the second finds what the first has left behind
        const Answer answer = engine.invoke({.event = event, .timeout_ms = 10'000});
        EXPECT_EQ(answer.kind, HAKO_RESPONSE_RESULT);
        EXPECT_EQ(answer.payload, read_source(example, "expected.json"));
        EXPECT_NE(answer.payload, "");
    }
}

class PythonExample : public PythonFunction {
protected:
    void expect_example(const std::string& example) {
        root = std::string(HAKO_EXAMPLES_SOURCE) + "/" + example;
        const Answer answer = init("app.handler");
        root.clear();  // not ours to remove
        ASSERT_EQ(answer.kind, HAKO_RESPONSE_READY) << answer.payload;
        expect_expected(engine, example);
    }
};

TEST_F(PythonExample, TextStats) {
    expect_example("text-stats");
    const Answer other = engine.invoke({.event = R"({"text": "One two. One!", "top": 1})"});
    EXPECT_NE(other.payload.find(R"("top": [["one", 2]])"), std::string::npos) << other.payload;
    EXPECT_EQ(engine.invoke({.event = R"({"text": ""})"}).kind, HAKO_RESPONSE_ERROR);
}

TEST_F(PythonExample, Thumbnail) {
    expect_example("thumbnail");
    // What it makes it can read: the thumbnail of a thumbnail.
    const Answer first = engine.invoke({.event = R"({"width": 60})", .timeout_ms = 10'000});
    const std::size_t start = first.payload.find(R"("png": ")");
    ASSERT_NE(start, std::string::npos) << first.payload;
    const std::string image = first.payload.substr(start + 8, first.payload.size() - start - 10);
    const Answer second =
        engine.invoke({.event = R"({"width": 30, "inline": false, "image": ")" + image + "\"}"});
    EXPECT_NE(second.payload.find(R"("from": [60, 40], "to": [30, 20])"), std::string::npos)
        << second.payload;
}

TEST(NativeExample, GroupBy) {
    EngineDouble engine;
    engine.start([] { return run_native_worker(spawner::RuntimeKind::kNative); });
    const auto environment = environment_for("libgroup_by.so", HAKO_EXAMPLES_BUILD);
    ASSERT_EQ(engine.init(environment).kind, HAKO_RESPONSE_READY);
    expect_expected(engine, "group-by");
    const Answer wrong = engine.invoke({.event = R"({"records": 5})"});
    EXPECT_EQ(wrong.kind, HAKO_RESPONSE_ERROR);
    EXPECT_NE(wrong.payload.find("records must be an array"), std::string::npos) << wrong.payload;
}

TEST(NativeExample, Primes) {
    EngineDouble engine;
    engine.start([] { return run_native_worker(spawner::RuntimeKind::kExecutable); });
    ASSERT_EQ(
        engine.init(environment_for("primes", HAKO_EXAMPLES_BUILD)).kind, HAKO_RESPONSE_READY
    );
    expect_expected(engine, "primes");
    const std::pair<const char*, const char*> cases[] = {
        {R"({"limit":0})", R"({"limit":0,"count":0,"last":[]})"},
        {R"({"limit":2})", R"({"limit":2,"count":1,"last":[2]})"},
        {R"({"limit":10})", R"({"limit":10,"count":4,"last":[2,3,5,7]})"},
        {R"({"limit":262144})",
         R"({"limit":262144,"count":23000,"last":[262111,262121,262127,262133,262139]})"},
    };
    for (const auto& [event, expected] : cases) {
        EXPECT_EQ(engine.invoke({.event = event}).payload, expected);
    }
    EXPECT_EQ(engine.invoke({.event = R"({"limit":"x"})"}).kind, HAKO_RESPONSE_ERROR);
    EXPECT_EQ(engine.invoke({.event = R"({"limit":2000000001})"}).kind, HAKO_RESPONSE_ERROR);
}

}  // namespace
}  // namespace hako::shim::test
