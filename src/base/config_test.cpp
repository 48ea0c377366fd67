#include "base/config.h"

#include "base/check.h"
#include "base/nearest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace tnl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

enum class Schedule { cosine, linear };
std::vector<std::pair<std::string_view, Schedule>> enum_names(Schedule) {
    return {{"cosine", Schedule::cosine}, {"linear", Schedule::linear}};
}

struct Inner {
    double lr = 3e-4;
    Schedule schedule = Schedule::cosine;
    template <class V> void fields(V&& visit) {
        visit("lr", lr, "peak learning rate");
        visit("schedule", schedule, "shape");
    }
};

struct Outer {
    int32_t steps = 10;
    uint64_t seed = 1;
    bool fast = false;
    std::string name = "run";
    std::filesystem::path out = "runs";
    std::vector<int64_t> lengths = {1, 2};
    std::vector<std::string> files;
    std::optional<double> clip;
    std::optional<std::string> note;
    Inner adam;
    template <class V> void fields(V&& visit) {
        visit("steps", steps, "steps of training");
        visit("seed", seed, "seed");
        visit("fast", fast, "a switch");
        visit("name", name, "a name");
        visit("out", out, "a folder");
        visit("lengths", lengths, "some lengths");
        visit("files", files, "some files");
        visit("clip", clip, "largest norm");
        visit("note", note, "a remark");
        visit("adam", adam, "the optimizer");
    }
};

std::string usage_error(const std::function<void()>& f) {
    try {
        f();
    } catch (const UsageError& e) {
        return e.what();
    }
    return "no UsageError";
}

TEST(Config, JsonSetsWhatItNamesAndKeepsTheRest) {
    Outer c;
    ConfigBinding binding(c);
    binding.load_json(R"({"steps": 7, "fast": true, "lengths": [4], "clip": 1,
                          "adam": {"schedule": "linear"}})",
                      "run.json");
    EXPECT_EQ(c.steps, 7);
    EXPECT_TRUE(c.fast);
    EXPECT_THAT(c.lengths, ElementsAre(4));
    EXPECT_EQ(c.clip, 1.0);
    EXPECT_EQ(c.adam.schedule, Schedule::linear);
    EXPECT_EQ(c.adam.lr, 3e-4);
    EXPECT_EQ(c.name, "run");
    EXPECT_TRUE(binding.given("adam.schedule"));
    EXPECT_FALSE(binding.given("adam.lr"));
}

TEST(Config, TomlSaysTheSameAsJson) {
    Outer a, b;
    ConfigBinding(a).load_toml("steps = 7\nfiles = ['a', 'b']\nout = 'x'\n[adam]\nlr = 1e-3\n",
                               "run.toml");
    ConfigBinding(b).load_json(
        R"({"steps": 7, "files": ["a", "b"], "out": "x", "adam": {"lr": 1e-3}})", "run.json");
    EXPECT_EQ(ConfigBinding(a).json(), ConfigBinding(b).json());
    EXPECT_EQ(a.adam.lr, 1e-3);
}

TEST(Config, WrittenJsonReadsBack) {
    Outer a, b;
    a.note = "quote \" and é";
    a.adam.lr = 0.1 + 0.2;
    a.seed = uint64_t{1} << 62;
    ConfigBinding(b).load_json(ConfigBinding(a).json(), "a.json");
    EXPECT_EQ(ConfigBinding(a).json(), ConfigBinding(b).json());
    EXPECT_EQ(b.adam.lr, a.adam.lr);
    EXPECT_EQ(b.seed, a.seed);
    EXPECT_EQ(nlohmann::json::parse(ConfigBinding(a).json())["adam"]["schedule"], "cosine");
}

TEST(Config, Assignments) {
    Outer c;
    ConfigBinding binding(c);
    for (const char* each : {"steps=1e3", "name=12", "adam.lr=6e-4", "adam.schedule=linear",
                             "lengths=3,4", "files=a.txt,b.txt", "clip=0.5", "note=a=b"})
        binding.set(each);
    EXPECT_EQ(c.steps, 1000);
    EXPECT_EQ(c.name, "12");
    EXPECT_EQ(c.adam.lr, 6e-4);
    EXPECT_EQ(c.adam.schedule, Schedule::linear);
    EXPECT_THAT(c.lengths, ElementsAre(3, 4));
    EXPECT_THAT(c.files, ElementsAre("a.txt", "b.txt"));
    EXPECT_EQ(c.clip, 0.5);
    EXPECT_EQ(c.note, "a=b");
    for (const char* each : {"lengths=[5]", "files=", "clip=null", "note=null"}) binding.set(each);
    EXPECT_THAT(c.lengths, ElementsAre(5));
    EXPECT_TRUE(c.files.empty());
    EXPECT_FALSE(c.clip);
    EXPECT_FALSE(c.note);
}

TEST(Config, UnknownKeysNameTheNearest) {
    Outer c;
    ConfigBinding binding(c);
    EXPECT_EQ(usage_error([&] { binding.load_json(R"({"adam": {"rl": 1}})", "run.json"); }),
              "run.json: adam.rl: unknown key; the nearest is adam.lr");
    EXPECT_EQ(usage_error([&] { binding.load_toml("[adma]\nlr = 1\n", "run.toml"); }),
              "run.toml: adma: unknown key; the nearest is adam");
    EXPECT_EQ(usage_error([&] { binding.set("lr=1"); }), "lr: unknown key; the nearest is adam.lr");
    EXPECT_THAT(usage_error([&] { binding.set("stepz=1"); }), HasSubstr("nearest is steps"));
}

TEST(Config, WrongKindsNameKeyValueAndWhatIsWanted) {
    Outer c;
    ConfigBinding binding(c);
    EXPECT_EQ(usage_error([&] { binding.load_json(R"({"steps": "ten"})", "run.json"); }),
              "run.json: steps = \"ten\": wanted a whole number");
    const std::vector<std::pair<std::string, std::string>> wrong = {
        {"steps=1.5", "a whole number"},
        {"steps=3000000000", "a whole number"},
        {"seed=-1", "0 or more"},
        {"fast=1", "true or false"},
        {"adam.lr=quick", "a finite number"},
        {"adam.lr=1e999", "a finite number"},
        {"adam.schedule=square", "one of cosine linear"},
        {"lengths=1,b", "a list, each a whole number"},
        {"clip=x", "a finite number, or null"},
        {"adam=1", "is a section; its keys are adam.lr"},
        {"steps", "wanted key=value"},
        {"=1", "wanted key=value"},
    };
    for (const auto& [text, message] : wrong)
        EXPECT_THAT(usage_error([&, &t = text] { binding.set(t); }), HasSubstr(message)) << text;
    EXPECT_THAT(usage_error([&] { binding.load_json(R"({"steps": {"a": 1}})", "r.json"); }),
                HasSubstr("wanted a whole number"));
    EXPECT_THAT(usage_error([&] { binding.load_json(R"({"adam": 3})", "r.json"); }),
                HasSubstr("is a section"));
    EXPECT_THAT(usage_error([&] { binding.load_json("[1]", "r.json"); }), HasSubstr("an object"));
    EXPECT_THAT(usage_error([&] { binding.load_toml("steps = 1\n[adam]\nlr = nan\n", "r.toml"); }),
                HasSubstr("r.toml: line 3"));
    EXPECT_EQ(c.steps, 10);
}

TEST(Config, FilesThatCannotBeRead) {
    Outer c;
    ConfigBinding binding(c);
    EXPECT_THROW(binding.load("/nonexistent/run.json"), Error);
    EXPECT_THAT(usage_error([&] { binding.load("run.yaml"); }), HasSubstr(".json or .toml"));
    try {
        binding.load_toml("steps = = 1\n", "run.toml");
        FAIL();
    } catch (const Error& e) {
        EXPECT_THAT(e.what(), HasSubstr("run.toml: line 1"));
    }
    std::string deep;
    for (int i = 0; i < 200000; ++i) deep += "a.";
    for (const std::string& text :
         {deep + "a = 1\n", "[" + deep + "a]\n", "a = 1\n" + deep, std::string("\n[\x02 a.\0]", 8),
          std::string("a = 1\n[a.\x7F]\n")})
        EXPECT_THROW(binding.load_toml(text, "run.toml"), Error);
    EXPECT_THAT(usage_error([&] { binding.set("steps=" + std::string(200000, '[')); }),
                HasSubstr("wanted a whole number"));
    EXPECT_THAT(usage_error([&] { binding.set("name=a\xff"); }),
                HasSubstr("name: the text is not valid UTF-8"));
    const std::filesystem::path path = std::filesystem::path(::testing::TempDir()) / "c.toml";
    std::ofstream(path) << "steps = 3\n";
    binding.load(path);
    EXPECT_EQ(c.steps, 3);
    std::filesystem::remove(path);
}

TEST(Config, HelpListsEveryKeyWithItsDefault) {
    Outer c;
    ConfigBinding binding(c);
    c.steps = 99; // after binding: no longer the default
    const std::string help = binding.help();
    for (const std::string& key : binding.keys()) EXPECT_THAT(help, HasSubstr(key + "="));
    EXPECT_THAT(help, HasSubstr("steps=10"));
    EXPECT_THAT(help, HasSubstr("peak learning rate"));
    EXPECT_EQ(binding.keys().size(), 11u);
}

TEST(Nearest, EditDistance) {
    EXPECT_EQ(edit_distance("", "abc"), 3);
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
    EXPECT_EQ(edit_distance("rl", "lr"), 1);
    EXPECT_EQ(edit_distance("same", "same"), 0);
}

} // namespace
} // namespace tnl
