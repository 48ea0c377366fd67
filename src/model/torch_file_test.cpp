#include "model/torch_file.h"

#include "base/check.h"
#include "model/tensor_files.h"
#include "model/zip_archive.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>

namespace tnl {
namespace {

namespace fs = std::filesystem;

template <class T> std::string le(T value) {
    std::string out(sizeof value, '\0');
    std::memcpy(out.data(), &value, sizeof value);
    return out;
}

// An archive of stored entries, byte by byte.
struct Zip {
    bool zip64 = false;
    uint16_t method = 0, flags = 0x0808;
    std::string body, directory;
    uint64_t count = 0;

    Zip& add(const std::string& name, const std::string& content) {
        const uint64_t local = body.size();
        const auto size = static_cast<uint32_t>(content.size());
        const auto name_bytes = static_cast<uint16_t>(name.size());
        const std::string padding = "FB" + le(uint16_t{3}) + "ZZZ"; // an extra field, as torch's
        body += "PK\3\4" + le(uint16_t{0}) + le(flags) + le(method) + std::string(8, '\0') +
                le(uint64_t{0}) + le(name_bytes) + le(static_cast<uint16_t>(padding.size())) +
                name + padding + content;
        const std::string extra = zip64 ? le(uint16_t{1}) + le(uint16_t{24}) + le(uint64_t{size}) +
                                              le(uint64_t{size}) + le(local)
                                        : "";
        directory += "PK\1\2" + le(uint32_t{0}) + le(flags) + le(method) + std::string(8, '\0') +
                     le(zip64 ? ~uint32_t{0} : size) + le(zip64 ? ~uint32_t{0} : size) +
                     le(name_bytes) + le(static_cast<uint16_t>(extra.size())) + le(uint16_t{0}) +
                     le(uint16_t{0}) + le(uint16_t{0}) + le(uint32_t{0}) +
                     le(zip64 ? ~uint32_t{0} : static_cast<uint32_t>(local)) + name + extra;
        ++count;
        return *this;
    }
    std::string bytes() const {
        const uint64_t begin = body.size(), size = directory.size();
        std::string out = body + directory;
        if (zip64)
            out += "PK\6\6" + le(uint64_t{44}) + le(uint32_t{0}) + le(uint32_t{0}) +
                   le(uint32_t{0}) + le(count) + le(count) + le(size) + le(begin) + "PK\6\7" +
                   le(uint32_t{0}) + le(begin + size) + le(uint32_t{1});
        const auto narrow = [&](uint64_t x) { return zip64 ? ~uint32_t{0} : uint32_t(x); };
        const auto n = static_cast<uint16_t>(zip64 ? 0xffff : count);
        return out + "PK\5\6" + le(uint32_t{0}) + le(n) + le(n) + le(narrow(size)) +
               le(narrow(begin)) + le(uint16_t{0});
    }
};

std::string text(const std::string& s) { return "X" + le(static_cast<uint32_t>(s.size())) + s; }
std::string integer(int32_t value) { return "J" + le(value); }
std::string tuple(const std::vector<int32_t>& values) {
    std::string out = "(";
    for (const int32_t v : values) out += integer(v);
    return out + "t";
}

// What torch.save writes of one tensor.
struct Saved {
    std::string name = "x", storage = "torch\nFloatStorage", key = "0";
    int32_t elements = 6, offset = 0;
    std::vector<int32_t> shape{2, 3}, stride{3, 1};
    std::string pickle() const {
        return text(name) + "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "c" +
               storage + "\n" + text(key) + text("cuda:0") + integer(elements) + "tQ" +
               integer(offset) + tuple(shape) + tuple(stride) + "\x89" +
               "ccollections\nOrderedDict\n)RtR";
    }
};
std::string dict(const std::string& items) {
    return "\x80\x02"
           "ccollections\nOrderedDict\n)R(" +
           items + "u.";
}
std::string floats() {
    const float values[6] = {0, 1, 2, 3, 4, 5};
    return {reinterpret_cast<const char*>(values), sizeof values};
}
Zip archive(const std::string& pickle) {
    Zip zip;
    return zip.add("m/data.pkl", pickle).add("m/byteorder", "little").add("m/data/0", floats());
}
std::vector<TensorInfo> parse(const std::string& file) {
    return parse_torch(std::as_bytes(std::span(file.data(), file.size())), "F");
}
std::string error(const std::string& file) {
    try {
        static_cast<void>(parse(file));
    } catch (const Error& e) {
        return e.what();
    }
    return "no error";
}
std::string error(const Saved& saved) { return error(archive(dict(saved.pickle())).bytes()); }
void expect(const std::string& message, std::initializer_list<const char*> parts) {
    for (const char* part : parts) EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(TorchFile, TensorsWhereTheyLie) {
    Saved part;
    part.name = "part";
    part.offset = 3;
    part.shape = {1, 2};
    part.stride = {77, 1}; // of a dimension of one, any stride
    const std::string parameter = text("p") + "ctorch._utils\n_rebuild_parameter\n(" +
                                  Saved{}.pickle().substr(text("x").size()) +
                                  "\x88"
                                  "ccollections\nOrderedDict\n)RtR";
    const std::string metadata = "}" + text("_metadata") + "}sb";
    std::string program = dict(Saved{}.pickle() + part.pickle() + parameter);
    program.insert(program.size() - 1, metadata);
    for (const bool zip64 : {false, true}) {
        Zip zip;
        zip.zip64 = zip64;
        zip.add("m/data.pkl", program).add("m/data/0", floats()).add("m/version", "3\n");
        const std::string file = zip.bytes();
        const auto tensors = parse(file);
        ASSERT_EQ(tensors.size(), 3u);
        EXPECT_EQ(tensors[0].shape, (std::vector<int64_t>{2, 3}));
        EXPECT_EQ(tensors[0].dtype, "F32");
        EXPECT_EQ(file.substr(tensors[0].begin, tensors[0].end - tensors[0].begin), floats());
        EXPECT_EQ(tensors[1].begin, tensors[0].begin + 12);
        EXPECT_EQ(tensors[1].end, tensors[0].begin + 20);
        EXPECT_EQ(tensors[2].name, "p");
        EXPECT_EQ(tensors[2].begin, tensors[0].begin);
    }
}

TEST(TorchFile, EveryDtype) {
    for (const auto& [storage, dtype, width] : {std::tuple{"DoubleStorage", "F64", 8},
                                                {"HalfStorage", "F16", 2},
                                                {"BFloat16Storage", "BF16", 2},
                                                {"LongStorage", "I64", 8},
                                                {"BoolStorage", "BOOL", 1}}) {
        Saved saved;
        saved.storage = fmt::format("torch\n{}", storage);
        saved.elements = 24 / width;
        saved.shape = {24 / width};
        saved.stride = {1};
        const auto tensors = parse(archive(dict(saved.pickle())).bytes());
        ASSERT_EQ(tensors.size(), 1u);
        EXPECT_EQ(tensors[0].dtype, dtype);
    }
}

TEST(TorchFile, SizesThatDisagree) {
    Saved s;
    s.elements = 7;
    expect(error(s), {"F: m/data.pkl", "\"x\"", "\"m/data/0\" has 24 bytes, wanted 7 F32s"});
    s = {};
    s.offset = 1;
    expect(error(s), {"[2, 3] from element 1 on leaves its storage"});
    s.offset = -1;
    expect(error(s), {"its offset is the integer -1"});
    s = {};
    s.shape = {3, 2};
    s.stride = {1, 3};
    expect(error(s), {"strides [1, 3]", ".contiguous()"});
    s.shape = {2, -3};
    expect(error(s), {"its shape is the integer -3"});
    s.shape = {0x7fffffff, 0x7fffffff, 0x7fffffff};
    s.stride = {0, 0, 1};
    expect(error(s), {"leaves its storage"});
    s.stride = {1};
    expect(error(s), {"1 strides"});
    s = {};
    s.key = "../0";
    expect(error(s), {"no entry \"m/data/../0\""});
    expect(error(archive(dict(Saved{}.pickle() + Saved{}.pickle())).bytes()), {"two tensors"});
}

TEST(TorchFile, NothingRuns) {
    expect(error(archive("\x80\x02"
                         "cos\nsystem\n(" +
                         text("true") + "tR.")
                     .bytes()),
           {"F: m/data.pkl: offset 2", "\"os.system\"", "refused"});
    expect(error(archive("\x80\x04" + text("os") + text("system") + "\x93.").bytes()),
           {"\"os.system\""});
    Saved s;
    s.storage = "torch.storage\nUntypedStorage";
    expect(error(s), {"\"torch.storage.UntypedStorage\""});
    expect(error(archive("\x80\x02(itorch\nload\n.").bytes()), {"opcode 0x69 ('i')"});
    expect(error(archive("\x80\x02\x81.").bytes()), {"offset 2", "opcode 0x81"});
    expect(error(archive(dict(text("step") + integer(3))).bytes()),
           {"\"step\" is the integer 3, wanted a tensor"});
    expect(error(archive(dict(text("model") + "}")).bytes()), {"only a state dict itself"});
    expect(error(archive("\x80\x02K\1.").bytes()), {"holds the integer 1"});
}

TEST(TorchFile, ProgramsThatAreWrong) {
    for (const auto& [program, part] : std::initializer_list<std::pair<std::string, const char*>>{
             {"", "protocol"},
             {"\x80\x02", "truncated"},
             {"\x80\x01.", "protocol 1"},
             {"\x80\x02.", "none"},
             {"\x80\x02t.", "a mark wanted"},
             {"\x80\x02(K\1.", "left on its stack"},
             {"\x80\x02(R.", "none"},
             {"\x80\x02NNs.", "none"},
             {"\x80\x02NNNs.", "sets items of None"},
             {"\x80\x02}(Nu.", "has no value"},
             {"\x80\x02N)R.", "calls None"},
             {"\x80\x02h\1.", "memo 1"},
             {"\x80\x02X\xff\xff\xff\x7f.", "truncated"},
             {"\x80\x02"
              "cabc",
              "without end"},
             {"\x80\x02}}.", "left on its stack"},
             {"\x80\x02}.N", "1 further bytes"},
             {"\x80\x02\x8a\x09"
              "123456789.",
              "9 bytes"}})
        expect(error(archive(program).bytes()), {part, "F: m/data.pkl"});
    // A list that holds itself ends all the same.
    expect(error(archive("\x80\x02]q\1h\1a.").bytes()), {"holds a list of 1"});
}

TEST(TorchFile, ArchivesThatAreWrong) {
    const std::string good = archive(dict(Saved{}.pickle())).bytes();
    ASSERT_EQ(parse(good).size(), 1u);
    for (size_t n = 0; n < good.size(); ++n) EXPECT_NE(error(good.substr(0, n)), "no error") << n;
    Zip zip;
    zip.method = 8;
    expect(error(zip.add("m/data.pkl", "x").bytes()), {"\"m/data.pkl\"", "compressed"});
    zip = {};
    zip.flags = 1;
    expect(error(zip.add("m/data.pkl", "x").bytes()), {"encrypted"});
    zip = {};
    expect(error(zip.add("m/version", "3").bytes()), {"NAME/data.pkl"});
    expect(error(zip.add("m/version", "3").bytes()), {"two entries"});
    zip = archive(dict(""));
    EXPECT_EQ(error(zip.bytes()), "no error");
    expect(error(Zip(zip).add("n/data.pkl", "").bytes()), {"two pickles"});
    expect(error(Zip(zip).add("m/constants.pkl", "").bytes()), {"TorchScript"});
    zip = {};
    expect(error(zip.add("m/data.pkl", dict("")).add("m/byteorder", "big").bytes()),
           {"not \"little\""});
    // Two entries over the same bytes.
    zip = archive(dict(Saved{}.pickle()));
    const size_t second = zip.directory.find("m/byteorder") - 4;
    std::memset(zip.directory.data() + second, 0, 4);
    expect(error(zip.bytes()), {"another name in its header"});
}

TEST(TorchFile, OtherFormats) {
    expect(error("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19."),
           {"before version 1.6", "torch.save(torch.load("});
    std::string tar(512, '\0');
    tar.replace(257, 5, "ustar");
    expect(error(tar), {"before version 1.6"});
    expect(error("version 1"), {"does not begin as a zip"});
    expect(error(""), {"does not begin as a zip"});
}

TEST(TorchFile, ShardsOfADirectory) {
    const fs::path directory =
        fs::temp_directory_path() / fmt::format("tnl_torch_files_{}", ::getpid());
    fs::create_directories(directory);
    const auto write = [&](const char* name, const std::string& content) {
        std::ofstream(directory / name, std::ios::binary) << content;
    };
    Saved y;
    y.name = "y";
    write("pytorch_model-1.bin", archive(dict(Saved{}.pickle())).bytes());
    write("pytorch_model-2.bin", archive(dict(y.pickle())).bytes());
    write("pytorch_model.bin.index.json",
          R"({"weight_map": {"y": "pytorch_model-2.bin", "x": "pytorch_model-1.bin"}})");
    EXPECT_TRUE(TensorFiles::present(directory));
    const TensorFiles files(directory);
    ASSERT_EQ(files.all().size(), 2u);
    const auto bytes = files.find("y").file->bytes(*files.find("y").info);
    EXPECT_EQ(std::memcmp(bytes.data(), floats().data(), 24), 0);
    fs::remove_all(directory);
}

} // namespace
} // namespace tnl
