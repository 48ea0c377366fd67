#include "model/torch_file.h"

#include "base/check.h"
#include "model/pickle.h"
#include "model/zip_archive.h"

#include <fmt/ranges.h>

#include <map>
#include <unordered_set>

namespace tnl {
namespace {

constexpr size_t kMostDimensions = 64;
constexpr std::string_view kDict = "collections.OrderedDict",
                           kTensor = "torch._utils._rebuild_tensor_v2",
                           kParameter = "torch._utils._rebuild_parameter";

struct Storage {
    std::string_view global, dtype;
    uint64_t width;
};
constexpr Storage kStorages[] = {
    {"torch.DoubleStorage", "F64", 8}, {"torch.FloatStorage", "F32", 4},
    {"torch.HalfStorage", "F16", 2},   {"torch.BFloat16Storage", "BF16", 2},
    {"torch.LongStorage", "I64", 8},   {"torch.IntStorage", "I32", 4},
    {"torch.ShortStorage", "I16", 2},  {"torch.CharStorage", "I8", 1},
    {"torch.ByteStorage", "U8", 1},    {"torch.BoolStorage", "BOOL", 1},
};

const Storage* find_storage(std::string_view global) {
    for (const Storage& s : kStorages)
        if (s.global == global) return &s;
    return nullptr;
}

bool allowed(std::string_view global) {
    return global == kDict || global == kTensor || global == kParameter || find_storage(global);
}

class PickleReader {
  public:
    using Kind = Pickled::Kind;
    PickleReader(std::span<const std::byte> file, const std::string& name)
        : file_(file), name_(name) {}

    std::vector<TensorInfo> read() {
        check_format();
        for (ZipEntry& e : parse_zip(file_, name_)) {
            std::string key = e.name;
            entries_[key] = std::move(e);
        }
        const ZipEntry& program = find_program();
        check_byte_order();
        const Pickle pickle(file_.subspan(program.begin, program.end - program.begin),
                            fmt::format("{}: {}", name_, program.name), allowed);
        pickle_ = &pickle;
        const Pickled& root = pickle.root();
        if (root.kind != Kind::dict && !root.is_call_of(kDict))
            wrong(root,
                  fmt::format("the file holds {}, wanted a dict of tensors", root.description()));
        if (root.kind == Kind::call) check_no_arguments(root);
        std::vector<TensorInfo> tensors;
        std::unordered_set<std::string_view> names;
        for (const auto& [key, value] : root.pairs) {
            if (key->kind != Kind::text)
                wrong(*key,
                      fmt::format("the key of a tensor is {}, wanted a text", key->description()));
            if (!names.insert(key->text).second)
                wrong(*key, fmt::format("{} is the key of two tensors", key->description()));
            tensors.push_back(read_tensor(std::string(key->text), *value));
        }
        return tensors;
    }

  private:
    [[noreturn]] void wrong(const Pickled& at, const std::string& message) const {
        pickle_->fail_at(at, message);
    }

    void check_format() const {
        if (is_zip(file_)) return;
        // What came before began with a pickled number, or was a tar archive.
        const bool pickle = file_.size() >= 2 && file_[0] == std::byte{0x80},
                   tar = file_.size() >= 262 &&
                         std::string_view(reinterpret_cast<const char*>(file_.data()) + 257, 5) ==
                             "ustar";
        if (pickle || tar)
            fail("{}: is in PyTorch's format from before version 1.6, which is not read here; "
                 "convert it once, with any later PyTorch: torch.save(torch.load(FILE, "
                 "weights_only=True), FILE)",
                 name_);
        fail("{}: is no file of torch.save: it does not begin as a zip archive", name_);
    }

    const ZipEntry& find_program() {
        const ZipEntry* found = nullptr;
        for (const auto& [name, entry] : entries_) {
            if (!name.ends_with("/data.pkl") || name.find('/') != name.size() - 9) continue;
            if (found) fail("{}: has two pickles, \"{}\" and \"{}\"", name_, found->name, name);
            found = &entry;
        }
        if (!found)
            fail("{}: is no file of torch.save: the archive has no entry NAME/data.pkl", name_);
        prefix_ = found->name.substr(0, found->name.size() - 8);
        if (entries_.contains(prefix_ + "constants.pkl"))
            fail("{}: is a TorchScript program, wanted the state dict of a model", name_);
        return *found;
    }

    void check_byte_order() const { // files from before PyTorch 2.1 do not say
        const auto found = entries_.find(prefix_ + "byteorder");
        if (found == entries_.end()) return;
        const std::string_view order(reinterpret_cast<const char*>(file_.data()) +
                                         found->second.begin,
                                     found->second.end - found->second.begin);
        if (order != "little")
            fail("{}: its entry {} is not \"little\": files of big-endian machines are not read",
                 name_, found->first);
    }

    void check_no_arguments(const Pickled& call) const {
        if (!call.items[1]->items.empty())
            wrong(call, fmt::format("{} with arguments", call.items[0]->text));
    }

    int64_t number(const Pickled& value, const std::string& tensor, const char* what) const {
        if (value.kind != Kind::integer || value.integer < 0)
            wrong(value, fmt::format("tensor \"{}\": {} is {}, wanted an integer of 0 or more",
                                     tensor, what, value.description()));
        return value.integer;
    }
    std::vector<int64_t> numbers(const Pickled& value, const std::string& tensor,
                                 const char* what) const {
        if (value.kind != Kind::tuple || value.items.size() > kMostDimensions)
            wrong(value, fmt::format("tensor \"{}\": {} is {}, wanted a tuple of at most {}",
                                     tensor, what, value.description(), kMostDimensions));
        std::vector<int64_t> out;
        for (const Pickled* item : value.items) out.push_back(number(*item, tensor, what));
        return out;
    }

    // ("storage", class, key, device, elements): checks it and says where it lies.
    const Storage& read_storage(const Pickled& value, const std::string& tensor,
                                const ZipEntry*& entry) const {
        const Pickled* id = value.kind == Kind::persistent ? value.items[0] : nullptr;
        if (!id || id->kind != Kind::tuple || id->items.size() != 5 ||
            id->items[0]->text != "storage" || id->items[1]->kind != Kind::global ||
            id->items[2]->kind != Kind::text)
            wrong(value,
                  fmt::format("tensor \"{}\" has no storage that torch.save writes", tensor));
        const Storage* storage = find_storage(id->items[1]->text);
        if (!storage)
            wrong(value, fmt::format("tensor \"{}\" has a storage of class {}", tensor,
                                     id->items[1]->text));
        const std::string path = prefix_ + "data/" + std::string(id->items[2]->text);
        const auto found = entries_.find(path);
        if (found == entries_.end())
            wrong(value,
                  fmt::format("tensor \"{}\": the archive has no entry \"{}\"", tensor, path));
        entry = &found->second;
        const auto elements =
            static_cast<uint64_t>(number(*id->items[4], tensor, "the size of its storage"));
        uint64_t bytes = 0;
        if (__builtin_mul_overflow(elements, storage->width, &bytes) ||
            bytes != entry->end - entry->begin)
            wrong(value,
                  fmt::format("tensor \"{}\": entry \"{}\" has {} bytes, wanted {} {}s", tensor,
                              path, entry->end - entry->begin, elements, storage->dtype));
        return *storage;
    }

    TensorInfo read_tensor(std::string name, const Pickled& value) const {
        const Pickled* call = &value;
        if (call->is_call_of(kParameter)) { // (tensor, requires_grad, hooks)
            if (call->items[1]->items.empty())
                wrong(value, fmt::format("\"{}\" is a parameter without tensor", name));
            call = call->items[1]->items[0];
        }
        if (!call->is_call_of(kTensor))
            wrong(*call, fmt::format("\"{}\" is {}, wanted a tensor: only a state dict itself is "
                                     "read, not what holds one among other things",
                                     name, call->description()));
        // (storage, offset, shape, strides, requires_grad, hooks) and perhaps metadata
        const auto& arguments = call->items[1]->items;
        if (arguments.size() < 4 || arguments.size() > 7)
            wrong(*call,
                  fmt::format("tensor \"{}\" of {} arguments, wanted 6", name, arguments.size()));
        const ZipEntry* entry = nullptr;
        const Storage& storage = read_storage(*arguments[0], name, entry);
        const auto first = static_cast<uint64_t>(number(*arguments[1], name, "its offset"));
        TensorInfo info;
        info.shape = numbers(*arguments[2], name, "its shape");
        const std::vector<int64_t> strides = numbers(*arguments[3], name, "its stride");
        if (strides.size() != info.shape.size())
            wrong(*call, fmt::format("tensor \"{}\" of shape {} has {} strides", name,
                                     info.shape_string(), strides.size()));
        uint64_t size = 1;
        bool contiguous = true, too_large = false;
        for (size_t i = strides.size(); i-- > 0;) {
            contiguous &= info.shape[i] == 1 || static_cast<uint64_t>(strides[i]) == size;
            too_large |= __builtin_mul_overflow(size, static_cast<uint64_t>(info.shape[i]), &size);
        }
        uint64_t end = 0; // elements, then bytes
        too_large |= __builtin_add_overflow(first, size, &end) ||
                     __builtin_mul_overflow(end, storage.width, &end);
        if (too_large || end > entry->end - entry->begin)
            wrong(*call, fmt::format("tensor \"{}\" of shape {} from element {} on leaves its "
                                     "storage \"{}\" of {} bytes",
                                     name, info.shape_string(), first, entry->name,
                                     entry->end - entry->begin));
        if (!contiguous && size > 0)
            wrong(*call, fmt::format("tensor \"{}\" of shape {} has strides [{}]: a view that is "
                                     "not contiguous; save it with .contiguous()",
                                     name, info.shape_string(), fmt::join(strides, ", ")));
        info.name = std::move(name);
        info.dtype = storage.dtype;
        info.begin = entry->begin + first * storage.width;
        info.end = entry->begin + end;
        return info;
    }

    std::span<const std::byte> file_;
    const std::string& name_;
    std::map<std::string, ZipEntry> entries_;
    std::string prefix_; // "archive/"
    const Pickle* pickle_ = nullptr;
};

} // namespace

std::vector<TensorInfo> parse_torch(std::span<const std::byte> file, const std::string& name) {
    return PickleReader(file, name).read();
}

TorchFile::TorchFile(const std::filesystem::path& path)
    : TensorFile(path), tensors_(parse_torch(file_.bytes(), name_)) {
    make_index();
}

} // namespace tnl
