#include "ops/gemm/algorithms.h"

#include "base/check.h"
#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

namespace tnl {
namespace {

using ::testing::HasSubstr;

const std::string kEnvironment = "a GPU, 132 SMs; cuBLAS 1; driver 2";

GemmKey some_key(int64_t M = 300) {
    GemmKey key;
    key.transpose_a = true;
    key.M = M;
    key.N = 70;
    key.K = 33;
    key.lda = 301;
    key.ldb = 71;
    key.ldc = 72;
    key.c_dtype = DType::f32;
    key.adds = true;
    key.align_b = 2;
    return key;
}
const GemmAlgorithm kOne{1, 2, 3, 4, 5, 6, 7, ~uint64_t{0}}, kTwo{9};

std::string error_of(std::string_view text, const std::string& environment = kEnvironment) {
    try {
        parse_algorithms(text, environment, "FILE");
    } catch (const Error& error) {
        return error.what();
    }
    return "none";
}

TEST(GemmAlgorithms, EveryFieldTellsKeysApartAndComesBack) {
    GemmAlgorithms all;
    uint64_t n = 0;
    const auto add = [&](auto change) {
        GemmKey key = some_key();
        change(key);
        EXPECT_TRUE(all.emplace(key, GemmAlgorithm{n, ~n++}).second);
    };
    add([](GemmKey&) {});
    add([](GemmKey& k) { k.transpose_a = false; });
    add([](GemmKey& k) { k.transpose_b = true; });
    for (int64_t GemmKey::*size :
         {&GemmKey::M, &GemmKey::N, &GemmKey::K, &GemmKey::lda, &GemmKey::ldb, &GemmKey::ldc})
        add([&](GemmKey& k) { k.*size = int64_t{1} << 40; });
    add([](GemmKey& k) { k.dtype = DType::f32; });
    add([](GemmKey& k) { k.c_dtype = DType::bf16; });
    add([](GemmKey& k) { k.scaled = true; });
    add([](GemmKey& k) { k.adds = false; });
    for (int GemmKey::*align : {&GemmKey::align_a, &GemmKey::align_b, &GemmKey::align_c})
        add([&](GemmKey& k) { k.*align = 8; });
    EXPECT_EQ(all.size(), 16u);
    const std::string text = format_algorithms(all, kEnvironment);
    EXPECT_EQ(parse_algorithms(text, kEnvironment, "FILE"), all);
    EXPECT_TRUE(parse_algorithms(format_algorithms({}, kEnvironment), kEnvironment, "F").empty());
}

TEST(GemmAlgorithms, AlignmentIsThatOfTheAddress) {
    const auto at = [](uintptr_t n) { return alignment_of(reinterpret_cast<const void*>(n)); };
    EXPECT_EQ(at(4096), 16);
    EXPECT_EQ(at(4096 + 16), 16);
    EXPECT_EQ(at(4096 + 24), 8);
    EXPECT_EQ(at(4096 + 4), 4);
    EXPECT_EQ(at(4096 + 6), 2);
}

TEST(GemmAlgorithms, WrongFilesAreNamed) {
    const std::string text = format_algorithms({{some_key(), kOne}}, kEnvironment);
    EXPECT_THAT(error_of(text, "another GPU"), HasSubstr("wanted \"another GPU\""));
    for (size_t i = 0; i < text.size(); ++i) {
        std::string wrong = text;
        wrong[i] = static_cast<char>(wrong[i] ^ 1);
        EXPECT_THAT(error_of(wrong), HasSubstr("FILE: ")) << i;
        EXPECT_THAT(error_of(text.substr(0, i)), HasSubstr("FILE: ")) << i;
    }
    // Files whose checksum is right.
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string body = format_algorithms({{some_key(), kOne}}, kEnvironment);
        body.replace(body.find(from), from.size(), to);
        // The environment of a file may hold lines of its own: so does this one, but for the sum.
        const std::string rest = body.substr(body.find('\n') + 1);
        std::string lines = rest.substr(0, rest.rfind("checksum"));
        lines.pop_back();
        return error_of(format_algorithms({}, lines));
    };
    EXPECT_THAT(with("tn 300", "tx 300"), HasSubstr("line 3: \"x\", wanted n or t"));
    EXPECT_THAT(with("tn 300", "t 300"), HasSubstr("wanted the transposes"));
    EXPECT_THAT(with("tn 300", "tn 3oo"), HasSubstr("\"3oo\" is no number"));
    EXPECT_THAT(with("f32", "f99"), HasSubstr("f99"));
    EXPECT_THAT(with(" add ", " mul "), HasSubstr("wanted set or add"));
    EXPECT_THAT(with(" add ", " "), HasSubstr("21 words, wanted 22"));
}

class Choices : public ::testing::Test {
  protected:
    void SetUp() override {
        folder = std::filesystem::path(::testing::TempDir()) /
                 ::testing::UnitTest::GetInstance()->current_test_info()->name();
        std::filesystem::remove_all(folder);
        file = folder / "deep" / "gemm.txt";
    }
    void TearDown() override { std::filesystem::remove_all(folder); }

    // The answer of a process that would find `found`, and counts its searches.
    std::optional<GemmAlgorithm> ask(GemmChoices& choices, const GemmKey& key,
                                     std::optional<GemmAlgorithm> found) {
        return choices.find(
            key, [](const GemmAlgorithm&) { return true; },
            [&] {
                ++searches;
                return found;
            });
    }
    std::filesystem::path folder, file;
    int searches = 0;
};

TEST_F(Choices, WhatOneProcessFoundTheNextOnesUse) {
    GemmChoices first(file, kEnvironment), beside(file, kEnvironment);
    EXPECT_EQ(ask(first, some_key(), kOne), kOne);
    EXPECT_EQ(ask(first, some_key(), kTwo), kOne);
    EXPECT_EQ(ask(beside, some_key(), kTwo), kOne); // began before the search
    GemmChoices later(file, kEnvironment);
    EXPECT_EQ(ask(later, some_key(), kTwo), kOne);
    EXPECT_EQ(later.find(
                  some_key(), [](const GemmAlgorithm&) { return true; }, nullptr),
              kOne);
    EXPECT_EQ(searches, 1);
    EXPECT_EQ(ask(later, some_key(5), kTwo), kTwo);
    EXPECT_EQ(ask(first, some_key(6), kOne), kOne); // keeps the other's
    GemmChoices last(file, kEnvironment);
    EXPECT_EQ(ask(last, some_key(5), kOne), kTwo);
    EXPECT_EQ(searches, 3);
}

TEST_F(Choices, AnAnswerStays) {
    GemmChoices choices(file, kEnvironment);
    const auto usable = [](const GemmAlgorithm&) { return true; };
    EXPECT_EQ(choices.find(some_key(), usable, nullptr), std::nullopt);
    EXPECT_EQ(ask(choices, some_key(), kOne), std::nullopt);
    EXPECT_EQ(searches, 0);
    EXPECT_EQ(ask(choices, some_key(5), std::nullopt), std::nullopt);
    EXPECT_EQ(ask(choices, some_key(5), kOne), std::nullopt);
}

TEST_F(Choices, WrongFilesAreIgnoredWithOneWarningAndReplaced) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << "no such thing";
    ::testing::internal::CaptureStderr();
    GemmChoices choices(file, kEnvironment);
    EXPECT_EQ(ask(choices, some_key(), kOne), kOne);
    const std::string said = ::testing::internal::GetCapturedStderr();
    EXPECT_THAT(said, HasSubstr(file.string()));
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1);
    EXPECT_EQ(parse_algorithms(read_file(file), kEnvironment, "FILE"),
              (GemmAlgorithms{{some_key(), kOne}}));
}

TEST_F(Choices, WhatTheLibraryRefusesIsSoughtAnew) {
    GemmChoices first(file, kEnvironment);
    EXPECT_EQ(ask(first, some_key(), kOne), kOne);
    GemmChoices second(file, kEnvironment);
    const auto usable = [](const GemmAlgorithm& a) { return a != kOne; };
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(second.find(some_key(), usable, [] { return std::optional(kTwo); }), kTwo);
    EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("refuses"));
    GemmChoices third(file, kEnvironment);
    EXPECT_EQ(ask(third, some_key(), kOne), kTwo);
}

TEST_F(Choices, WithoutAFolderItSearches) {
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "deep") << "a file in the way";
    ::testing::internal::CaptureStderr();
    GemmChoices choices(file, kEnvironment);
    EXPECT_EQ(ask(choices, some_key(), kOne), kOne);
    EXPECT_EQ(ask(choices, some_key(5), kTwo), kTwo);
    const std::string said = ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1);
    GemmChoices nowhere({}, kEnvironment);
    EXPECT_EQ(ask(nowhere, some_key(), kTwo), kTwo);
}

// Every process would find its own; all use the first one's.
TEST_F(Choices, ProcessesAtOnceAgree) {
    std::vector<pid_t> children;
    for (uint64_t i = 0; i < 8; ++i) {
        const pid_t child = fork();
        if (child == 0) {
            GemmChoices mine(file, kEnvironment);
            for (int64_t M = 1; M < 6; ++M)
                ask(mine, some_key(M), GemmAlgorithm{i, static_cast<uint64_t>(M)});
            std::string answers;
            for (int64_t M = 1; M < 6; ++M)
                answers += std::to_string((*ask(mine, some_key(M), kTwo))[0]) + " ";
            std::ofstream(folder / std::to_string(i)) << answers;
            _exit(0);
        }
        children.push_back(child);
    }
    for (const pid_t child : children) {
        int status = 1;
        waitpid(child, &status, 0);
        EXPECT_EQ(status, 0);
    }
    EXPECT_EQ(parse_algorithms(read_file(file), kEnvironment, "FILE").size(), 5u);
    for (int i = 1; i < 8; ++i)
        EXPECT_EQ(read_file(folder / std::to_string(i)), read_file(folder / "0"));
}

} // namespace
} // namespace tnl
