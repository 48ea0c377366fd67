#include "base/file.h"

#include "base/check.h"

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <csignal>
#include <fstream>

namespace tnl {
namespace {

class Files : public ::testing::Test {
  protected:
    void SetUp() override {
        folder = std::filesystem::path(::testing::TempDir()) /
                 ::testing::UnitTest::GetInstance()->current_test_info()->name();
        std::filesystem::remove_all(folder);
        std::filesystem::create_directories(folder);
    }
    void TearDown() override { std::filesystem::remove_all(folder); }
    size_t entries() const {
        return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
    }
    std::filesystem::path folder;
};

TEST_F(Files, WhatIsWrittenIsRead) {
    std::string content;
    for (int i = 0; i < 700000; ++i) content += std::to_string(i);
    {
        AtomicFile file(folder / "a");
        for (size_t at = 0, step = 1; at < content.size(); at += step, step = step * 3 + 1)
            file.write(std::string_view(content).substr(at, step));
        EXPECT_EQ(file.written(), content.size());
        file.write_at(5, "HELLO", 5);
        EXPECT_FALSE(std::filesystem::exists(folder / "a"));
        file.commit();
    }
    content.replace(5, 5, "HELLO");
    EXPECT_EQ(read_file(folder / "a"), content);
    EXPECT_EQ(MappedFile(folder / "a").view(), content);
    EXPECT_EQ(entries(), 1u);
}

TEST_F(Files, WithoutCommitNothingIsLeft) {
    write_file_atomic(folder / "a", "old");
    {
        AtomicFile file(folder / "a");
        file.write("new");
    }
    EXPECT_EQ(read_file(folder / "a"), "old");
    EXPECT_EQ(entries(), 1u);
}

TEST_F(Files, AnEmptyFileMapsToNothing) {
    write_file_atomic(folder / "empty", "");
    EXPECT_EQ(MappedFile(folder / "empty").size(), 0u);
}

TEST_F(Files, ErrorsNameThePath) {
    for (auto call : {+[](const std::filesystem::path& p) { read_file(p); },
                      +[](const std::filesystem::path& p) { MappedFile map(p); },
                      +[](const std::filesystem::path& p) { AtomicFile file(p / "x"); }}) {
        try {
            call(folder / "missing");
            FAIL();
        } catch (const Error& e) {
            EXPECT_NE(std::string(e.what()).find("missing"), std::string::npos) << e.what();
        }
    }
    EXPECT_THROW(MappedFile{folder}, Error);
}

TEST_F(Files, AFullDiskLeavesTheOldFile) {
    write_file_atomic(folder / "a", "old");
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    rlimit small = before;
    small.rlim_cur = 1 << 16;
    setrlimit(RLIMIT_FSIZE, &small);
    EXPECT_THROW(write_file_atomic(folder / "a", std::string(1 << 20, 'x')), Error);
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(read_file(folder / "a"), "old");
    EXPECT_EQ(entries(), 1u);
}

} // namespace
} // namespace tnl
