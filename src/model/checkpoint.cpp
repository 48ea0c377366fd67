#include "model/checkpoint.h"

#include "base/atomic_directory.h"
#include "base/json.h"
#include "model/convert.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <memory>
#include <unordered_set>

namespace tnl {
namespace fs = std::filesystem;
namespace {

constexpr const char* kHead = "lm_head.weight";
constexpr const char* kEmbed = "model.embed_tokens.weight";
constexpr int64_t kStage = int64_t{1} << 24; // elements that pass through the host at once
constexpr size_t kMostNamed = 12;            // problems listed in one message

std::string shape_text(const std::vector<int64_t>& shape) {
    return fmt::format("[{}]", fmt::join(shape, ", "));
}

// All that is wrong with the names, shapes and dtypes of a directory, in one error.
class Problems {
  public:
    template <class... Args> void add(fmt::format_string<Args...> format, Args&&... args) {
        ++count_;
        if (list_.size() < kMostNamed)
            list_.push_back(fmt::format(format, std::forward<Args>(args)...));
    }
    void check(const std::string& file) const {
        if (count_ == 0) return;
        fail("{}: does not fit its config.json: {}{}", file, fmt::join(list_, "; "),
             count_ > list_.size() ? fmt::format("; and {} more", count_ - list_.size()) : "");
    }

  private:
    size_t count_ = 0;
    std::vector<std::string> list_;
};

bool same_tensor(const TensorFiles::Place& a, const TensorFiles::Place& b) {
    const auto x = a.file->bytes(*a.info), y = b.file->bytes(*b.info);
    return a.info->dtype == b.info->dtype && a.info->shape == b.info->shape &&
           (x.empty() || x.data() == y.data() || std::memcmp(x.data(), y.data(), x.size()) == 0);
}

// What a parameter in fewer bits is made from: its bytes, or floats.
bool is_packed(const TensorFiles::Place& place) { return place.info->type() == DType::u8; }

void check_place(Problems& problems, const Param& p, const TensorFiles::Place& place) {
    const bool packed = p.format != QuantFormat::none && is_packed(place);
    const std::vector<int64_t> wanted =
        packed ? std::vector<int64_t>{p.shape[0], quant_row_bytes(p.format, p.shape[1])} : p.shape;
    if (place.info->shape != wanted)
        problems.add("tensor \"{}\" has shape {}, wanted {}", p.name, place.info->shape_string(),
                     shape_text(wanted));
    const auto type = place.info->type();
    if (!packed && (!type || !is_float(*type)))
        problems.add(
            "tensor \"{}\" has dtype {}, wanted F32, BF16, F16 or F64{}", p.name, place.info->dtype,
            p.format == QuantFormat::none ? ""
                                          : fmt::format(", or U8 for its {}", name_of(p.format)));
}

// Where every parameter lies, in table order.
std::vector<TensorFiles::Place> locate(const TensorFiles& files, const ParamTable& table) {
    Problems problems;
    std::vector<TensorFiles::Place> places;
    std::unordered_set<std::string> known;
    for (const Param& p : table.base()) {
        known.insert(p.name);
        TensorFiles::Place place = files.find(p.name);
        if (!place && p.copy) place = files.find(kEmbed);
        places.push_back(place);
        if (!place) {
            problems.add("tensor \"{}\" {} is missing", p.name, shape_text(p.shape));
            continue;
        }
        check_place(problems, p, place);
    }
    for (const TensorFiles::Place& place : files.all()) {
        const std::string& name = place.info->name;
        if (known.contains(name)) continue;
        const TensorFiles::Place embed = files.find(kEmbed);
        if (name == kHead && embed) { // tied, or the table would know it
            if (!same_tensor(place, embed))
                problems.add("tensor \"{}\" differs from \"{}\", but tie_word_embeddings is true",
                             kHead, kEmbed);
        } else {
            problems.add("tensor \"{}\" {} is unknown", name, place.info->shape_string());
        }
    }
    problems.check(files.name());
    return places;
}

[[noreturn]] void fail_not_finite(const TensorFiles::Place& place, int64_t index, DType to) {
    std::vector<int64_t> at(place.info->shape.size());
    int64_t rest = index;
    for (size_t i = at.size(); i-- > 0;) {
        at[i] = rest % place.info->shape[i];
        rest /= place.info->shape[i];
    }
    double value = 0;
    const int64_t width = size_of(*place.info->type());
    static_cast<void>(convert_floats(DType::f64, &value, *place.info->type(),
                                     place.file->bytes(*place.info).data() + index * width, 1));
    fail("{}: tensor \"{}\" holds {} at {} (file offset {}), which is no finite {}",
         place.file->name(), place.info->name, value, shape_text(at),
         place.file->data_offset() + place.info->begin + static_cast<uint64_t>(index * width),
         name_of(to));
}

// Rows [begin, end) of a parameter in fewer bits, as bytes.
void read_rows(const TensorFiles::Place& place, const Param& p, int64_t begin, int64_t end,
               std::byte* out, ThreadPool& threads) {
    const int64_t K = p.shape[1], row_bytes = quant_row_bytes(p.format, K);
    const std::byte* in = place.file->bytes(*place.info).data();
    std::atomic<int64_t> bad = std::numeric_limits<int64_t>::max(); // element, or group of a scale
    const auto found = [&](int64_t mine) {
        int64_t seen = bad.load();
        while (mine < seen && !bad.compare_exchange_weak(seen, mine)) {
        }
    };
    const bool packed = is_packed(place);
    if (packed)
        std::memcpy(out, in + begin * row_bytes, static_cast<size_t>((end - begin) * row_bytes));
    const int64_t groups = quant_padded(p.format, K) / quant_group(p.format);
    threads.parallel_for(end - begin, 1, [&](int64_t first, int64_t last) {
        std::vector<float> row(static_cast<size_t>(packed ? 0 : K));
        for (int64_t n = first; n < last; ++n) {
            auto* bytes = reinterpret_cast<uint8_t*>(out + n * row_bytes);
            int64_t at = -1;
            if (packed) {
                at = first_bad_scale(p.format, bytes, K).first;
                if (at >= 0) found((begin + n) * groups + at);
                continue;
            }
            const DType from = *place.info->type();
            at = convert_floats(DType::f32, row.data(), from, in + (begin + n) * K * size_of(from),
                                K);
            if (at >= 0)
                found((begin + n) * K + at);
            else
                quantize_row(p.format, bytes, row.data(), K);
        }
    });
    if (bad == std::numeric_limits<int64_t>::max()) return;
    if (!packed) fail_not_finite(place, bad, DType::f32);
    fail("{}: tensor \"{}\" holds a scale that is no finite number, of group {} of row {}",
         place.file->name(), place.info->name, bad % groups, bad / groups);
}

} // namespace

void read_elements(const TensorFiles::Place& place, int64_t begin, int64_t end, DType to, void* out,
                   ThreadPool& threads) {
    const DType from = *place.info->type();
    const std::byte* in = place.file->bytes(*place.info).data();
    std::atomic<int64_t> bad = std::numeric_limits<int64_t>::max();
    threads.parallel_for(end - begin, int64_t{1} << 16, [&](int64_t b, int64_t e) {
        const int64_t first = convert_floats(to, static_cast<std::byte*>(out) + b * size_of(to),
                                             from, in + (begin + b) * size_of(from), e - b);
        if (first < 0) return;
        int64_t seen = bad.load(), mine = begin + b + first;
        while (mine < seen && !bad.compare_exchange_weak(seen, mine)) {
        }
    });
    if (bad != std::numeric_limits<int64_t>::max()) fail_not_finite(place, bad, to);
}

ModelConfig load_model_config(const fs::path& directory) {
    if (!fs::is_directory(directory))
        fail("{}: is no directory, wanted one with config.json and model.safetensors",
             directory.string());
    return read_model_config(directory / "config.json");
}

void check_weights(const TensorFiles& files, const ParamTable& table) {
    static_cast<void>(locate(files, table));
}

void load_weights(const fs::path& directory, const ParamTable& table, Tensor flat,
                  ThreadPool& threads) {
    TNL_CHECK(flat.is({table.flat_size()}), "flat buffer has shape {}, wanted [{}]",
              flat.shape_string(), table.flat_size());
    const TensorFiles files(directory);
    const auto places = locate(files, table);
    int64_t filled = 0; // padding between parameters is zeroed
    auto* base = static_cast<std::byte*>(flat.data);
    const auto zero_to = [&](int64_t end) {
        if (end <= filled) return;
        std::memset(base + filled * size_of(flat.dtype), 0,
                    static_cast<size_t>((end - filled) * size_of(flat.dtype)));
    };
    for (size_t i = 0; i < places.size(); ++i) {
        const Param& p = table.base()[i];
        zero_to(p.offset);
        std::byte* const to = base + p.place(flat.dtype);
        if (p.format == QuantFormat::none)
            read_elements(places[i], 0, p.size, flat.dtype, to, threads);
        else
            read_rows(places[i], p, 0, p.shape[0], to, threads);
        filled = p.end();
    }
    zero_to(table.flat_size());
}

OwnedTensor load_weights_to_device(const fs::path& directory, const Model& model, Device& device,
                                   DType dtype) {
    const ParamTable& table = model.params();
    OwnedTensor flat(device, dtype, {table.flat_size()});
    ThreadPool& threads = *device.stream().threads;
    if (device.kind() == DeviceKind::cpu) {
        load_weights(directory, table, flat, threads);
        return flat;
    }
    const TensorFiles files(directory);
    const auto places = locate(files, table);
    device.zero(flat.data, static_cast<size_t>(flat.bytes()));
    const int64_t width = size_of(dtype);
    const auto stage =
        std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(kStage * width));
    for (size_t i = 0; i < places.size(); ++i) {
        const Param& p = table.base()[i];
        auto* const to = static_cast<std::byte*>(flat.data) + p.place(dtype);
        if (p.format != QuantFormat::none) {
            const int64_t row_bytes = quant_row_bytes(p.format, p.shape[1]);
            const int64_t rows = std::max<int64_t>(1, kStage * width / row_bytes);
            for (int64_t begin = 0; begin < p.shape[0]; begin += rows) {
                const int64_t end = std::min(p.shape[0], begin + rows);
                read_rows(places[i], p, begin, end, stage.get(), threads);
                device.upload(to + begin * row_bytes, stage.get(),
                              static_cast<size_t>((end - begin) * row_bytes));
                device.synchronize(); // before the stage is used again
            }
            continue;
        }
        for (int64_t begin = 0; begin < p.size; begin += kStage) {
            const int64_t end = std::min(p.size, begin + kStage);
            read_elements(places[i], begin, end, dtype, stage.get(), threads);
            device.upload(to + begin * width, stage.get(),
                          static_cast<size_t>((end - begin) * width));
            device.synchronize(); // before the stage is used again
        }
    }
    return flat;
}

namespace {

// The bytes of a parameter in fewer bits.
void write_bytes(SafetensorsWriter& writer, const Param& p, const Tensor& flat, Device& device) {
    const int64_t piece = std::min(p.bytes(), kStage);
    const auto stage = std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(piece));
    const auto* from = static_cast<const std::byte*>(flat.data) + p.place(flat.dtype);
    for (int64_t begin = 0; begin < p.bytes(); begin += piece) {
        const auto n = static_cast<size_t>(std::min(p.bytes() - begin, piece));
        device.download(stage.get(), from + begin, n);
        writer.write(stage.get(), n);
    }
}

// Streams parameter p of `flat` into the file, in pieces.
void write_param(SafetensorsWriter& writer, const Param& p, const Tensor& flat, Device& device,
                 DType dtype) {
    const int64_t in_width = size_of(flat.dtype), out_width = size_of(dtype);
    const int64_t piece = std::min(p.size, kStage);
    const auto in =
        std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(piece * in_width));
    const auto out =
        std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(piece * out_width));
    ThreadPool& threads = *device.stream().threads;
    for (int64_t begin = 0; begin < p.size; begin += piece) {
        const int64_t n = std::min(p.size - begin, piece);
        device.download(in.get(),
                        static_cast<const std::byte*>(flat.data) + (p.offset + begin) * in_width,
                        static_cast<size_t>(n * in_width));
        std::atomic<int64_t> bad = -1;
        threads.parallel_for(n, int64_t{1} << 16, [&](int64_t b, int64_t e) {
            const int64_t first = convert_floats(dtype, out.get() + b * out_width, flat.dtype,
                                                 in.get() + b * in_width, e - b);
            if (first >= 0) bad = begin + b + first;
        });
        if (bad >= 0)
            fail("parameter {} holds a value at index {} that is no finite {}: not saved", p.name,
                 bad.load(), name_of(dtype));
        writer.write(out.get(), static_cast<size_t>(n * out_width));
    }
}

} // namespace

std::string generation_config_json(const ModelConfig& config) {
    Json json;
    json["_from_model_config"] = true;
    for (auto [field, id] : {std::pair{"pad_token_id", config.pad_token_id},
                             {"bos_token_id", config.bos_token_id},
                             {"eos_token_id", config.eos_token_id}})
        if (id >= 0) json[field] = id;
    return json.dump(2) + "\n";
}

void write_model(const fs::path& directory, const Model& model, Tensor flat, Device& device,
                 const SaveOptions& options) {
    const ParamTable& table = model.params();
    TNL_CHECK(flat.is({table.flat_size()}), "flat buffer has shape {}, wanted [{}]",
              flat.shape_string(), table.flat_size());
    ModelConfig config = model.config();
    config.torch_dtype = std::string(name_of(options.dtype));
    write_file_atomic(directory / "config.json", model_config_json(config));
    write_file_atomic(directory / "generation_config.json", generation_config_json(config));
    std::vector<TensorInfo> tensors;
    for (const Param& p : table.base()) {
        if (p.format == QuantFormat::none)
            tensors.push_back(
                {p.name, std::string(safetensors_name(options.dtype)), p.shape, 0, 0});
        else
            tensors.push_back({p.name, "U8", {p.shape[0], p.bytes() / p.shape[0]}, 0, 0});
    }
    write_tensor_files(directory, tensors, options.max_shard_bytes,
                       [&](SafetensorsWriter& writer, const TensorInfo& t) {
                           const Param& p = table[table.find(t.name)];
                           if (p.format == QuantFormat::none)
                               write_param(writer, p, flat, device, options.dtype);
                           else
                               write_bytes(writer, p, flat, device);
                       });
    if (options.tokenizer) {
        const MappedFile tokenizer(*options.tokenizer);
        AtomicFile copy(directory / "tokenizer.model");
        copy.write(tokenizer.view());
        copy.commit();
    }
}

void save_model(const fs::path& directory, const Model& model, Tensor flat, Device& device,
                const SaveOptions& options) {
    AtomicDirectory whole(directory);
    write_model(whole.path(), model, flat, device, options);
    whole.commit();
}

} // namespace tnl
