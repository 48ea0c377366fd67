#include "model/pickle.h"

#include "base/check.h"

#include <cstring>
#include <unordered_map>

namespace tnl {
namespace {

// Of a state dict of some hundred tensors each takes some thousands.
constexpr size_t kMaxProgram = size_t{16} << 20, kMaxValues = size_t{1} << 20;
constexpr size_t kShown = 64; // bytes of a text in a message

std::string excerpt(std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, kShown))
        out += c >= ' ' && c <= '~' ? std::string(1, c) : fmt::format("\\x{:02x}", c & 0xff);
    return out + (text.size() > kShown ? "..." : "");
}

} // namespace

std::string Pickled::description() const {
    switch (kind) {
    case Kind::none:
        return "None";
    case Kind::boolean:
        return integer ? "True" : "False";
    case Kind::integer:
        return fmt::format("the integer {}", integer);
    case Kind::number:
        return "a float";
    case Kind::text:
        return fmt::format("the text \"{}\"", excerpt(text));
    case Kind::list:
        return fmt::format("a list of {}", items.size());
    case Kind::tuple:
        return fmt::format("a tuple of {}", items.size());
    case Kind::dict:
        return fmt::format("a dict of {}", pairs.size());
    case Kind::global:
        return fmt::format("the global {}", text);
    case Kind::call:
        return fmt::format("a {}", items[0]->text);
    case Kind::persistent:
        return "a persistent id";
    }
    return "?";
}

// One run of a program.
class PickleMachine {
  public:
    using Kind = Pickled::Kind;
    PickleMachine(Pickle& out, std::span<const std::byte> program,
                  const std::function<bool(std::string_view)>& allowed)
        : out_(out), program_(program), allowed_(allowed) {}

    const Pickled* run() {
        if (program_.size() > kMaxProgram)
            fail("{}: a pickle of {} bytes, wanted at most {}", out_.name_, program_.size(),
                 kMaxProgram);
        if (program_.empty() || program_[0] != std::byte{0x80})
            fail("{}: the pickle does not begin with its protocol", out_.name_);
        while (!done_) {
            start_ = at_;
            step(byte());
        }
        const Pickled* root = pop();
        if (!stack_.empty() || !marks_.empty()) wrong("ends with values left on its stack");
        if (at_ != program_.size())
            wrong(fmt::format("ends before {} further bytes", program_.size() - at_));
        return root;
    }

  private:
    [[noreturn]] void wrong(const std::string& message) const {
        fail("{}: offset {} of the pickle: {}", out_.name_, start_, message);
    }

    std::string_view take(uint64_t bytes) {
        if (bytes > program_.size() - at_)
            wrong(fmt::format("{} bytes wanted, {} left: it is truncated", bytes,
                              program_.size() - at_));
        const char* data = reinterpret_cast<const char*>(program_.data()) + at_;
        at_ += bytes;
        return {data, bytes};
    }
    uint8_t byte() { return static_cast<uint8_t>(take(1)[0]); }
    template <class T> T little() {
        T value;
        std::memcpy(&value, take(sizeof value).data(), sizeof value);
        return value;
    }
    std::string_view line() {
        const std::string_view rest{reinterpret_cast<const char*>(program_.data()) + at_,
                                    program_.size() - at_};
        const size_t end = rest.find('\n');
        if (end == std::string_view::npos) wrong("a line without end");
        return take(end + 1).substr(0, end);
    }

    Pickled* push(Kind kind, int64_t integer = 0, std::string_view text = {}) {
        if (out_.values_.size() >= kMaxValues)
            wrong(fmt::format("more than {} values", kMaxValues));
        Pickled& value = out_.values_.emplace_back();
        value.kind = kind;
        value.offset = start_;
        value.integer = integer;
        value.text = text;
        push(&value);
        return &value;
    }
    void push(Pickled* value) {
        if (stack_.size() >= kMaxValues) wrong("its stack is too deep");
        stack_.push_back(value);
    }
    Pickled* top() {
        if (stack_.size() <= floor()) wrong("a value wanted where the stack has none");
        return stack_.back();
    }
    Pickled* pop() {
        Pickled* value = top();
        stack_.pop_back();
        return value;
    }
    size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
    // What lies above the last mark, and the mark's end.
    std::vector<Pickled*> pop_mark() {
        if (marks_.empty()) wrong("a mark wanted where there is none");
        const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
        std::vector<Pickled*> values(begin, stack_.end());
        stack_.erase(begin, stack_.end());
        marks_.pop_back();
        return values;
    }

    void tuple(const std::vector<Pickled*>& items) {
        push(Kind::tuple)->items.assign(items.begin(), items.end());
    }
    void short_tuple(size_t n) {
        std::vector<Pickled*> items(n);
        for (size_t i = n; i-- > 0;) items[i] = pop();
        tuple(items);
    }
    void append(const std::vector<Pickled*>& items) {
        Pickled* target = top();
        if (target->kind != Kind::list)
            wrong(fmt::format("appends to {}, wanted a list", target->description()));
        target->items.insert(target->items.end(), items.begin(), items.end());
    }
    void set_items(const std::vector<Pickled*>& items) {
        Pickled* target = top();
        if (target->kind != Kind::dict && target->kind != Kind::call)
            wrong(fmt::format("sets items of {}, wanted a dict", target->description()));
        if (items.size() % 2) wrong("sets items of which one has no value");
        for (size_t i = 0; i < items.size(); i += 2)
            target->pairs.emplace_back(items[i], items[i + 1]);
    }
    void global(std::string_view module, std::string_view name) {
        const std::string& full = out_.names_.emplace_back(fmt::format("{}.{}", module, name));
        if (!allowed_(full))
            wrong(fmt::format("the global \"{}\" is nothing that a dict of tensors needs: refused",
                              excerpt(full)));
        push(Kind::global, 0, full);
    }
    void stack_global() {
        const Pickled *name = pop(), *module = pop();
        if (name->kind != Kind::text || module->kind != Kind::text)
            wrong("a global whose name is no text");
        global(module->text, name->text);
    }
    void reduce() {
        Pickled *arguments = pop(), *callable = pop();
        if (callable->kind != Kind::global)
            wrong(fmt::format("calls {}, wanted a global", callable->description()));
        if (arguments->kind != Kind::tuple)
            wrong(fmt::format("calls with {}, wanted a tuple", arguments->description()));
        push(Kind::call)->items = {callable, arguments};
    }
    void build() { // attributes of an object (_metadata of a state dict): of no use here
        pop();
        if (top()->kind != Kind::call)
            wrong(fmt::format("sets attributes of {}", top()->description()));
    }
    void put(uint64_t index) { memo_[index] = top(); }
    void get(uint64_t index) {
        const auto found = memo_.find(index);
        if (found == memo_.end()) wrong(fmt::format("memo {} is not set", index));
        push(found->second);
    }
    void long1() {
        const uint8_t bytes = byte();
        if (bytes > 8) wrong(fmt::format("an integer of {} bytes, wanted at most 8", bytes));
        const std::string_view digits = take(bytes);
        uint64_t value = bytes && (digits.back() & 0x80) ? ~uint64_t{0} : 0;
        std::memcpy(&value, digits.data(), bytes);
        push(Kind::integer, static_cast<int64_t>(value));
    }

    void step(uint8_t opcode) {
        switch (opcode) {
        case 0x80: // PROTO
            if (const uint8_t version = byte(); version < 2 || version > 5)
                wrong(fmt::format("protocol {}, wanted 2 to 5", version));
            return;
        case 0x95: // FRAME: a hint for reading
            take(8);
            return;
        case '.': // STOP
            done_ = true;
            return;
        case '(': // MARK
            if (marks_.size() >= kMaxValues) wrong("its stack is too deep");
            marks_.push_back(stack_.size());
            return;
        case 'N': // NONE
            push(Kind::none);
            return;
        case 0x88: // NEWTRUE
            push(Kind::boolean, 1);
            return;
        case 0x89: // NEWFALSE
            push(Kind::boolean, 0);
            return;
        case 'J': // BININT
            push(Kind::integer, little<int32_t>());
            return;
        case 'K': // BININT1
            push(Kind::integer, byte());
            return;
        case 'M': // BININT2
            push(Kind::integer, little<uint16_t>());
            return;
        case 0x8a: // LONG1
            long1();
            return;
        case 'G': // BINFLOAT
            take(8);
            push(Kind::number);
            return;
        case 'X': // BINUNICODE
            push(Kind::text, 0, take(little<uint32_t>()));
            return;
        case 0x8c: // SHORT_BINUNICODE
            push(Kind::text, 0, take(byte()));
            return;
        case ')': // EMPTY_TUPLE
            tuple({});
            return;
        case 't': // TUPLE
            tuple(pop_mark());
            return;
        case 0x85: // TUPLE1
        case 0x86: // TUPLE2
        case 0x87: // TUPLE3
            short_tuple(opcode - 0x84u);
            return;
        case ']': // EMPTY_LIST
            push(Kind::list);
            return;
        case 'a': // APPEND
        {
            Pickled* item = pop();
            append({item});
            return;
        }
        case 'e': // APPENDS
            append(pop_mark());
            return;
        case '}': // EMPTY_DICT
            push(Kind::dict);
            return;
        case 's': // SETITEM
        {
            Pickled *value = pop(), *key = pop();
            set_items({key, value});
            return;
        }
        case 'u': // SETITEMS
            set_items(pop_mark());
            return;
        case 'c': // GLOBAL
        {
            const std::string_view module = line(), name = line();
            global(module, name);
            return;
        }
        case 0x93: // STACK_GLOBAL
            stack_global();
            return;
        case 'R': // REDUCE
            reduce();
            return;
        case 'b': // BUILD
            build();
            return;
        case 'Q': // BINPERSID
        {
            Pickled* id = pop();
            push(Kind::persistent)->items = {id};
            return;
        }
        case 'q': // BINPUT
            put(byte());
            return;
        case 'r': // LONG_BINPUT
            put(little<uint32_t>());
            return;
        case 0x94: // MEMOIZE
            put(memo_.size());
            return;
        case 'h': // BINGET
            get(byte());
            return;
        case 'j': // LONG_BINGET
            get(little<uint32_t>());
            return;
        default:
            wrong(fmt::format(
                "opcode 0x{:02x}{} is nothing that a dict of tensors needs: refused", opcode,
                opcode > ' ' && opcode < 0x7f ? fmt::format(" ('{}')", static_cast<char>(opcode))
                                              : ""));
        }
    }

    Pickle& out_;
    std::span<const std::byte> program_;
    const std::function<bool(std::string_view)>& allowed_;
    size_t at_ = 0, start_ = 0;
    bool done_ = false;
    std::vector<Pickled*> stack_;
    std::vector<size_t> marks_;
    std::unordered_map<uint64_t, Pickled*> memo_;
};

Pickle::Pickle(std::span<const std::byte> program, std::string name,
               const std::function<bool(std::string_view)>& allowed)
    : name_(std::move(name)) {
    root_ = PickleMachine(*this, program, allowed).run();
}

void Pickle::fail_at(const Pickled& value, const std::string& message) const {
    fail("{}: offset {} of the pickle: {}", name_, value.offset, message);
}

} // namespace tnl
