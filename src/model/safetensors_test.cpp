#include "base/rng.h"
#include "model/convert.h"
#include "model/safetensors.h"
#include "model/tensor_files.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

namespace tnl {
namespace {

namespace fs = std::filesystem;

class Safetensors : public ::testing::Test {
  protected:
    void SetUp() override {
        const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
        directory = fs::temp_directory_path() /
                    fmt::format("tnl_safetensors_{}_{}", test->name(), ::getpid());
        fs::create_directories(directory);
    }
    void TearDown() override { fs::remove_all(directory); }

    static std::string file_of(const std::string& header, size_t data_bytes) {
        const uint64_t length = header.size();
        std::string out(8, '\0');
        std::memcpy(out.data(), &length, 8);
        return out + header + std::string(data_bytes, '\1');
    }
    static SafetensorsHeader parse(const std::string& file) {
        return parse_safetensors(std::as_bytes(std::span(file)), "x.safetensors");
    }
    static void expect_error(const std::string& file, std::initializer_list<const char*> parts) {
        try {
            static_cast<void>(parse(file));
            ADD_FAILURE() << "no error for " << file;
        } catch (const Error& error) {
            for (const char* part : parts)
                EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
                    << error.what() << " does not say " << part;
        }
    }
    static std::string read(const fs::path& path) {
        std::ifstream in(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    fs::path directory;
};

TEST_F(Safetensors, RoundTrip) {
    const fs::path path = directory / "a.safetensors";
    std::vector<double> doubles{1.5, -2.25};
    std::vector<float> floats{0.5f, 3, -7, 1e-30f, 2, 9};
    std::vector<int64_t> ids{1, -1, int64_t{1} << 40};
    const std::vector<uint8_t> mask{1, 0, 1};
    {
        SafetensorsWriter writer(path, {{"z.floats", "F32", {2, 3}, 0, 0},
                                        {"mask", "BOOL", {3}, 0, 0},
                                        {"empty", "F32", {0, 4}, 0, 0},
                                        {"ids", "I64", {3}, 0, 0},
                                        {"scalar\"\n", "F64", {}, 0, 0},
                                        {"a", "F64", {2}, 0, 0}});
        for (const TensorInfo& t : writer.tensors()) {
            if (t.name == "z.floats") writer.write(floats.data(), 24);
            if (t.name == "mask") writer.write(mask.data(), 3);
            if (t.name == "ids") writer.write(ids.data(), 24);
            if (t.name == "a") writer.write(doubles.data(), 16);
            if (t.name == "scalar\"\n") writer.write(doubles.data(), 8);
            EXPECT_EQ(t.begin % static_cast<uint64_t>(size_of(*t.type())), 0u) << t.name;
            EXPECT_FALSE(fs::exists(path));
        }
        writer.finish();
    }
    const SafetensorsFile file(path);
    EXPECT_EQ(file.header().data_offset % 8, 0u);
    EXPECT_EQ(file.header().metadata.at("format"), "pt");
    EXPECT_EQ(file.header().tensors.size(), 6u);
    EXPECT_EQ(file.floats("a"), doubles);
    EXPECT_EQ(file.floats("scalar\"\n"), std::vector<double>{1.5});
    EXPECT_EQ(file.integers("ids"), ids);
    EXPECT_EQ(file.integers("mask"), (std::vector<int64_t>{1, 0, 1}));
    EXPECT_EQ(file.at("z.floats").shape, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(file.floats("z.floats")[3], double{1e-30f});
    EXPECT_EQ(file.floats("empty").size(), 0u);
    EXPECT_EQ(file.find("nothing"), nullptr);
    EXPECT_THROW(static_cast<void>(file.at("nothing")), Error);
    EXPECT_THROW(static_cast<void>(file.floats("ids")), Error);
    EXPECT_THROW(static_cast<void>(file.integers("a")), Error);
}

TEST_F(Safetensors, WriterThatIsGivenTooLittleOrTooMuchLeavesNothing) {
    const fs::path path = directory / "a.safetensors";
    const float x[3] = {};
    {
        SafetensorsWriter writer(path, {{"a", "F32", {2}, 0, 0}});
        writer.write(x, 4);
        EXPECT_THROW(writer.finish(), Error);
    }
    {
        SafetensorsWriter writer(path, {{"a", "F32", {2}, 0, 0}});
        EXPECT_THROW(writer.write(x, 12), Error);
    }
    EXPECT_THROW(SafetensorsWriter(path, {{"a", "F32", {2}, 0, 0}, {"a", "F32", {2}, 0, 0}}),
                 Error);
    EXPECT_TRUE(fs::is_empty(directory));
}

TEST_F(Safetensors, ErrorsNameFileTensorAndOffset) {
    using L = std::initializer_list<const char*>;
    expect_error("abc", L{"x.safetensors", "3 bytes"});
    expect_error(std::string(8, '\xff'), L{"header of 18446744073709551615 bytes", "at most"});
    expect_error(file_of("{}", 0).substr(0, 9), L{"header of 2 bytes", "only 1", "truncated"});
    expect_error(file_of("[]", 0), L{"does not begin with '{'"});
    expect_error(file_of(R"({"a": )", 0), L{"x.safetensors", "line 1, column"});
    expect_error(file_of(R"({"a": 3})", 0), L{"\"a\" is 3"});
    const auto one = [](const char* fields, size_t bytes) {
        return file_of(fmt::format(R"({{"a":{{{}}}}})", fields), bytes);
    };
    const char* good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
    EXPECT_EQ(parse(one(good, 8)).tensors.size(), 1u);
    EXPECT_EQ(parse(file_of("{}", 0)).tensors.size(), 0u);
    expect_error(one(good, 7), L{"\"a\"", "[0, 8)", "7 bytes", "truncated"});
    expect_error(one(good, 9), L{"1 bytes follow the last tensor", "offset 70"});
    expect_error(one(R"("dtype":"F32","shape":[2])", 8), L{"\"a\"", "no data_offsets"});
    expect_error(one(R"("dtype":"F99","shape":[2],"data_offsets":[0,8])", 8), L{"F99"});
    expect_error(one(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])", 8),
                 L{"\"a\"", "8 bytes, wanted 12 for F32 [3]"});
    expect_error(one(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])", 8), L{"shape", "-2"});
    expect_error(one(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])", 8), L{"shape"});
    expect_error(one(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])", 8), L{"[8, 0)"});
    expect_error(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1)", 8),
                 L{"unknown field \"x\""});
    // 2^62 * 4 * 4 bytes wraps to 0.
    expect_error(one(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0])", 0),
                 L{"\"a\"", "more than 2^64"});
    const auto two = [](const char* b, size_t bytes) {
        return file_of(fmt::format(R"({{"a":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}},)"
                                   R"("b":{{"dtype":"U8","shape":[4],"data_offsets":{}}}}})",
                                   b),
                       bytes);
    };
    EXPECT_EQ(parse(two("[4,8]", 8)).tensors[1].name, "b");
    expect_error(two("[2,6]", 6), L{"\"b\"", "overlaps"});
    expect_error(two("[5,9]", 9), L{"\"b\"", "hole"});
    expect_error(two("[0,4]", 4), L{"overlaps"});
    expect_error(file_of(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                         R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                         0),
                 L{"\"a\" appears twice"});
    expect_error(file_of(R"({"__metadata__":{"n":1}})", 0), L{"__metadata__", "\"n\" is 1"});
    expect_error(file_of("{\"a\xff\":1}", 0), L{"x.safetensors", "UTF-8"});
}

// Every truncation of a file is refused, and every byte flipped in its header is either refused or
// leaves the ranges consistent: parsing never reads outside and never crashes.
TEST_F(Safetensors, CorruptionSweep) {
    const fs::path path = directory / "a.safetensors";
    const std::vector<float> x(24, 1.0f);
    {
        SafetensorsWriter writer(path, {{"model.weight", "F32", {2, 3}, 0, 0},
                                        {"b", "BF16", {12}, 0, 0},
                                        {"c", "I64", {6}, 0, 0}});
        for (const TensorInfo& t : writer.tensors()) writer.write(x.data(), t.end - t.begin);
        writer.finish();
    }
    const std::string good = read(path);
    static_cast<void>(parse(good));
    for (size_t n = 0; n < good.size(); ++n)
        EXPECT_THROW(static_cast<void>(parse(good.substr(0, n))), Error) << n;
    int refused = 0, kept = 0;
    const size_t header_end = good.size() - 96;
    for (size_t i = 0; i < header_end; ++i)
        for (int bit = 0; bit < 8; ++bit) {
            std::string bad = good;
            bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
            try {
                const SafetensorsHeader header = parse(bad);
                uint64_t at = 0;
                for (const TensorInfo& t : header.tensors) {
                    EXPECT_EQ(t.begin, at);
                    at = t.end;
                    EXPECT_EQ(t.end - t.begin, safetensors_bytes(t, ""));
                }
                EXPECT_EQ(header.data_offset + at, bad.size());
                ++kept;
            } catch (const Error&) {
                ++refused;
            }
        }
    EXPECT_GT(refused, 3 * kept); // what is kept: other names, metadata, dtypes of one width
}

TEST_F(Safetensors, ConversionsAreExactWhereTheyCanBe) {
    const Philox random{3, 4};
    std::vector<float> x;
    for (uint64_t i = 0; i < 5000; ++i) x.push_back(static_cast<float>(random.normal(i)));
    // Sources at an odd address, as a header of any length puts them.
    const auto shifted = [](const void* data, size_t bytes) {
        std::vector<std::byte> out(bytes + 1);
        std::memcpy(out.data() + 1, data, bytes);
        return out;
    };
    const auto n = static_cast<int64_t>(x.size());
    const auto f32 = shifted(x.data(), x.size() * 4);
    std::vector<double> wide(x.size());
    EXPECT_EQ(convert_floats(DType::f64, wide.data(), DType::f32, f32.data() + 1, n), -1);
    EXPECT_TRUE(std::equal(x.begin(), x.end(), wide.begin()));
    std::vector<bf16> half(x.size());
    EXPECT_EQ(convert_floats(DType::bf16, half.data(), DType::f32, f32.data() + 1, n), -1);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(half[i].bits, bf16(x[i]).bits);
    const auto packed = shifted(half.data(), half.size() * 2);
    std::vector<float> back(x.size());
    EXPECT_EQ(convert_floats(DType::f32, back.data(), DType::bf16, packed.data() + 1, n), -1);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(back[i], float(half[i]));
    std::vector<f16> ieee(x.size());
    EXPECT_EQ(convert_floats(DType::f16, ieee.data(), DType::f32, f32.data() + 1, n), -1);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(float(ieee[i]), x[i], std::abs(x[i]) / 1024);

    x[3333] = std::numeric_limits<float>::quiet_NaN();
    x[4000] = std::numeric_limits<float>::infinity();
    const auto* bytes = reinterpret_cast<const std::byte*>(x.data());
    for (DType to : {DType::f64, DType::f32, DType::bf16, DType::f16})
        EXPECT_EQ(convert_floats(to, wide.data(), DType::f32, bytes, n), 3333) << name_of(to);
    x[10] = 1e6f; // beyond f16, and near the end of f32 beyond bf16
    EXPECT_EQ(convert_floats(DType::f16, wide.data(), DType::f32, bytes, n), 10);
    x[10] = std::numeric_limits<float>::max();
    EXPECT_EQ(convert_floats(DType::bf16, wide.data(), DType::f32, bytes, n), 10);
    EXPECT_EQ(convert_floats(DType::f32, wide.data(), DType::f32, bytes, n), 3333);
}

class Shards : public Safetensors {
  protected:
    void write(uint64_t max_bytes) {
        std::vector<TensorInfo> tensors;
        for (int i = 0; i < 10; ++i)
            tensors.push_back({fmt::format("t{}", i), "F32", {i + 1, 4}, 0, 0});
        write_tensor_files(directory, tensors, max_bytes,
                           [](SafetensorsWriter& writer, const TensorInfo& t) {
                               const std::vector<float> x(static_cast<size_t>(t.size()),
                                                          std::stof(t.name.substr(1)));
                               writer.write(x.data(), x.size() * 4);
                           });
    }
    void replace(const fs::path& file, const std::string& from, const std::string& to) {
        std::string text = read(file);
        text.replace(text.find(from), from.size(), to);
        std::ofstream(file, std::ios::binary) << text;
    }
    std::string error() {
        try {
            const TensorFiles files(directory);
        } catch (const Error& e) {
            return e.what();
        }
        return "no error";
    }
};

TEST_F(Shards, WrittenAndRead) {
    write(300);
    EXPECT_FALSE(fs::exists(directory / "model.safetensors"));
    EXPECT_TRUE(fs::exists(directory / "model-00001-of-00004.safetensors"));
    const TensorFiles files(directory);
    EXPECT_EQ(files.all().size(), 10u);
    for (int i = 0; i < 10; ++i) {
        const auto place = files.find(fmt::format("t{}", i));
        ASSERT_TRUE(place);
        EXPECT_EQ(place.info->shape, (std::vector<int64_t>{i + 1, 4}));
        const auto* file = dynamic_cast<const SafetensorsFile*>(place.file);
        ASSERT_NE(file, nullptr);
        EXPECT_EQ(file->floats(place.info->name).back(), i);
        // No shard of more than one tensor exceeds the limit.
        uint64_t bytes = 0;
        for (const TensorInfo& t : place.file->tensors()) bytes += t.end - t.begin;
        EXPECT_LE(bytes, 300u);
    }
}

TEST_F(Shards, OneFileWhenItFits) {
    write(1 << 20);
    EXPECT_TRUE(fs::exists(directory / "model.safetensors"));
    EXPECT_FALSE(fs::exists(directory / "model.safetensors.index.json"));
    EXPECT_EQ(TensorFiles(directory).all().size(), 10u);
}

TEST_F(Shards, IndexThatDisagrees) {
    const fs::path index = directory / "model.safetensors.index.json";
    EXPECT_NE(error().find("has neither"), std::string::npos) << error();
    write(300);
    const std::string good = read(index);
    const auto expect = [&](const std::string& from, const std::string& to, const char* part) {
        replace(index, from, to);
        EXPECT_NE(error().find(part), std::string::npos) << error();
        std::ofstream(index, std::ios::binary) << good;
    };
    expect("\"t0\"", "\"t00\"", "\"t00\" is not in");
    expect("\"t0\": \"model-00001-of", "\"t0\": \"model-00002-of", "\"t0\" is not in");
    expect("\"t0\": \"model-00001", "\"t0\": \"../model-00001", "a file name in the same");
    expect("\"weight_map\"", "\"weight\"", "weight_map");
    expect("\"t0\": \"model-00001-of-00004.safetensors\",", "", "\"t0\" of model-00001");
    fs::remove(directory / "model-00002-of-00004.safetensors");
    EXPECT_NE(error().find("model-00002-of-00004.safetensors is missing"), std::string::npos)
        << error();
    fs::remove(index);
    std::ofstream(directory / "pytorch_model.bin") << "x";
    EXPECT_NE(error().find("pytorch_model.bin"), std::string::npos) << error();
}

} // namespace
} // namespace tnl
