#include "model/safetensors.h"

#include "base/check.h"
#include "base/json.h"
#include "model/convert.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace tnl {

static_assert(std::endian::native == std::endian::little, "files are read as they lie in memory");

namespace {

constexpr uint64_t kMaxHeader = 100'000'000; // as in the format's own library
constexpr size_t kMaxRank = 64;

struct Format {
    const char* name;
    uint64_t size;
    std::optional<DType> type;
};
constexpr Format kFormats[] = {
    {"F64", 8, DType::f64},   {"F32", 4, DType::f32},       {"BF16", 2, DType::bf16},
    {"F16", 2, DType::f16},   {"I64", 8, DType::i64},       {"I32", 4, DType::i32},
    {"U16", 2, DType::u16},   {"U8", 1, DType::u8},         {"BOOL", 1, DType::u8},
    {"U64", 8, std::nullopt}, {"U32", 4, std::nullopt},     {"I16", 2, std::nullopt},
    {"I8", 1, std::nullopt},  {"F8_E4M3", 1, std::nullopt}, {"F8_E5M2", 1, std::nullopt},
};

const Format* find_format(const std::string& name) {
    for (const Format& f : kFormats)
        if (name == f.name) return &f;
    return nullptr;
}

// A number of the header: an integer of at most 2^63 - 1.
uint64_t number(const Json& value, const std::string& file, const std::string& tensor,
                const char* what) {
    if (!value.is_number_unsigned() ||
        value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()})
        fail("{}: tensor \"{}\": {} holds {}, wanted a whole number from 0 to 2^63-1", file, tensor,
             what, json_excerpt(value));
    return value.get<uint64_t>();
}

TensorInfo read_info(const std::string& name, const Json& entry, const std::string& file) {
    TensorInfo info;
    info.name = name;
    if (!entry.is_object())
        fail("{}: tensor \"{}\" is {}, wanted an object with dtype, shape and data_offsets", file,
             name, json_excerpt(entry));
    for (const auto& [key, value] : entry.items())
        if (key != "dtype" && key != "shape" && key != "data_offsets")
            fail("{}: tensor \"{}\" has an unknown field \"{}\"", file, name, key);
    for (const char* key : {"dtype", "shape", "data_offsets"})
        if (!entry.contains(key)) fail("{}: tensor \"{}\" has no {}", file, name, key);
    const Json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];
    if (!dtype.is_string() || !find_format(dtype.get<std::string>()))
        fail("{}: tensor \"{}\" has dtype {}, wanted F64, F32, BF16, F16, I64, I32, U16, U8, BOOL "
             "or another of the format's",
             file, name, json_excerpt(dtype));
    info.dtype = dtype.get<std::string>();
    if (!shape.is_array() || shape.size() > kMaxRank)
        fail("{}: tensor \"{}\" has shape {}, wanted a list of at most {} numbers", file, name,
             json_excerpt(shape), kMaxRank);
    for (const Json& d : shape)
        info.shape.push_back(static_cast<int64_t>(number(d, file, name, "shape")));
    if (!offsets.is_array() || offsets.size() != 2)
        fail("{}: tensor \"{}\" has data_offsets {}, wanted [begin, end]", file, name,
             json_excerpt(offsets));
    info.begin = number(offsets[0], file, name, "data_offsets");
    info.end = number(offsets[1], file, name, "data_offsets");
    return info;
}

// Every byte of the data belongs to exactly one tensor.
void check_ranges(std::vector<TensorInfo>& tensors, uint64_t data_offset, uint64_t file_size,
                  const std::string& file) {
    const uint64_t data_size = file_size - data_offset;
    for (const TensorInfo& t : tensors) {
        if (t.begin > t.end || t.end > data_size)
            fail("{}: tensor \"{}\" lies at bytes [{}, {}) of the data, which holds {} bytes from "
                 "file offset {} on; the file is truncated or its header is wrong",
                 file, t.name, t.begin, t.end, data_size, data_offset);
        const uint64_t wanted = safetensors_bytes(t, file);
        if (t.end - t.begin != wanted)
            fail("{}: tensor \"{}\" at file offset {} has {} bytes, wanted {} for {} {}", file,
                 t.name, data_offset + t.begin, t.end - t.begin, wanted, t.dtype, t.shape_string());
    }
    std::stable_sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
        return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    uint64_t at = 0;
    for (const TensorInfo& t : tensors) {
        if (t.begin != at)
            fail("{}: tensor \"{}\" begins at file offset {}, where {} was expected: {}", file,
                 t.name, data_offset + t.begin, data_offset + at,
                 t.begin < at ? "it overlaps the tensor before it" : "there is a hole before it");
        at = t.end;
    }
    if (at != data_size)
        fail("{}: {} bytes follow the last tensor, which ends at file offset {}", file,
             data_size - at, data_offset + at);
}

} // namespace

int64_t TensorInfo::size() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
}

std::string TensorInfo::shape_string() const { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::optional<DType> TensorInfo::type() const {
    const Format* format = find_format(dtype);
    return format ? format->type : std::nullopt;
}

std::string_view safetensors_name(DType dtype) {
    for (const Format& f : kFormats)
        if (f.type == dtype) return f.name;
    return "?";
}

uint64_t safetensors_bytes(const TensorInfo& tensor, const std::string& file) {
    const Format* format = find_format(tensor.dtype);
    if (!format) fail("{}: tensor \"{}\" has unknown dtype {}", file, tensor.name, tensor.dtype);
    uint64_t bytes = format->size;
    for (int64_t d : tensor.shape)
        if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(d), &bytes) || d < 0)
            fail("{}: tensor \"{}\" of shape {} has more than 2^64 bytes", file, tensor.name,
                 tensor.shape_string());
    return bytes;
}

SafetensorsHeader parse_safetensors(std::span<const std::byte> file, const std::string& name) {
    if (file.size() < 8)
        fail("{}: {} bytes, wanted at least the 8 of a safetensors file's header length", name,
             file.size());
    uint64_t length = 0;
    std::memcpy(&length, file.data(), sizeof length);
    if (length > kMaxHeader)
        fail("{}: header of {} bytes at offset 0, wanted at most {}; this is no safetensors file",
             name, length, kMaxHeader);
    if (length > file.size() - 8)
        fail("{}: header of {} bytes, but the file has only {} after offset 8; it is truncated",
             name, length, file.size() - 8);
    const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, length);
    if (!text.starts_with('{')) fail("{}: the header at offset 8 does not begin with '{{'", name);
    const Json json = parse_json(text, name + " header", {.depth = 4, .bytes = kMaxHeader});
    SafetensorsHeader header;
    header.data_offset = 8 + length;
    for (const auto& [key, value] : json.items()) {
        if (key != "__metadata__") {
            header.tensors.push_back(read_info(key, value, name));
            continue;
        }
        if (!value.is_object()) fail("{}: __metadata__ is not an object", name);
        for (const auto& [field, content] : value.items()) {
            if (!content.is_string())
                fail("{}: __metadata__ field \"{}\" is {}, wanted a string", name, field,
                     json_excerpt(content));
            header.metadata[field] = content.get<std::string>();
        }
    }
    check_ranges(header.tensors, header.data_offset, file.size(), name);
    return header;
}

TensorFile::TensorFile(const std::filesystem::path& path) : file_(path), name_(path.string()) {
    if (file_.view().starts_with("version https://git-lfs"))
        fail(
            "{}: is a pointer of Git LFS, not the file it points to; fetch that with: git lfs pull",
            name_);
}

const TensorInfo* TensorFile::find(const std::string& tensor) const {
    const auto found = index_.find(tensor);
    return found == index_.end() ? nullptr : &tensors()[found->second];
}

std::span<const std::byte> TensorFile::bytes(const TensorInfo& tensor) const {
    return file_.bytes().subspan(data_offset() + tensor.begin, tensor.end - tensor.begin);
}

void TensorFile::make_index() {
    for (size_t i = 0; i < tensors().size(); ++i) index_[tensors()[i].name] = i;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : TensorFile(path), header_(parse_safetensors(file_.bytes(), name_)) {
    make_index();
}

const TensorInfo& SafetensorsFile::at(const std::string& tensor) const {
    if (const TensorInfo* info = find(tensor)) return *info;
    std::vector<std::string> names;
    for (const TensorInfo& t : header_.tensors)
        if (names.size() < 8) names.push_back(t.name);
    fail("{}: has no tensor \"{}\"; it has {}{}", name_, tensor, fmt::join(names, ", "),
         header_.tensors.size() > names.size() ? ", ..." : "");
}

std::vector<int64_t> SafetensorsFile::integers(const std::string& tensor) const {
    const TensorInfo& info = at(tensor);
    const auto type = info.type();
    if (!type || is_float(*type))
        fail("{}: tensor \"{}\" is {}, wanted integers (I64, I32, U16, U8 or BOOL)", name_, tensor,
             info.dtype);
    std::vector<int64_t> out(static_cast<size_t>(info.size()));
    const std::byte* data = bytes(info).data();
    const auto read = [&]<class T>(T) {
        for (size_t i = 0; i < out.size(); ++i) {
            T value;
            std::memcpy(&value, data + i * sizeof(T), sizeof(T));
            out[i] = static_cast<int64_t>(value);
        }
    };
    switch (*type) {
    case DType::i64:
        read(int64_t{});
        break;
    case DType::i32:
        read(int32_t{});
        break;
    case DType::u16:
        read(uint16_t{});
        break;
    default:
        read(uint8_t{});
        break;
    }
    return out;
}

std::vector<double> SafetensorsFile::floats(const std::string& tensor) const {
    const TensorInfo& info = at(tensor);
    const auto type = info.type();
    if (!type || !is_float(*type))
        fail("{}: tensor \"{}\" is {}, wanted floating point (F64, F32, BF16 or F16)", name_,
             tensor, info.dtype);
    std::vector<double> out(static_cast<size_t>(info.size()));
    static_cast<void>(
        convert_floats(DType::f64, out.data(), *type, bytes(info).data(), info.size()));
    return out;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     std::vector<TensorInfo> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : tensors_(std::move(tensors)), name_(path.string()) {
    const auto width = [](const TensorInfo& t) {
        const Format* format = find_format(t.dtype);
        return format ? format->size : 0;
    };
    std::sort(tensors_.begin(), tensors_.end(), [&](const TensorInfo& a, const TensorInfo& b) {
        return width(a) != width(b) ? width(a) > width(b) : a.name < b.name;
    });
    Json json = Json::object();
    if (!metadata.empty()) json["__metadata__"] = metadata;
    for (TensorInfo& t : tensors_) {
        if (json.contains(t.name)) fail("{}: tensor \"{}\" given twice", name_, t.name);
        t.begin = expected_;
        t.end = expected_ += safetensors_bytes(t, name_);
        json[t.name] = {{"dtype", t.dtype}, {"shape", t.shape}, {"data_offsets", {t.begin, t.end}}};
    }
    std::string header = json.dump();
    header.append((8 - header.size() % 8) % 8, ' '); // the data begin at a multiple of 8
    const uint64_t length = header.size();
    file_ = std::make_unique<AtomicFile>(path);
    file_->write(&length, sizeof length);
    file_->write(header.data(), header.size());
}

void SafetensorsWriter::write(const void* data, size_t bytes) {
    TNL_CHECK(bytes <= expected_ - written_, "{}: {} bytes of data where {} are announced", name_,
              written_ + bytes, expected_);
    file_->write(data, bytes);
    written_ += bytes;
}

void SafetensorsWriter::finish() {
    TNL_CHECK(written_ == expected_, "{}: {} bytes of data where {} are announced", name_, written_,
              expected_);
    file_->commit();
}

} // namespace tnl
