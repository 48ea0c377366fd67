// Python's pickle format, read as data: a program for a small stack machine, of which this machine
// knows what a dict of tensors takes and nothing that runs code. A call is not made but noted, as
// its callable's name and its arguments; a name that `allowed` does not know is an error, as is
// every other opcode. Every error names the file, the offset in the pickle, and the opcode or name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tnl {

struct Pickled {
    enum class Kind {
        none,
        boolean,    // integer
        integer,    // integer
        number,     // a float, its value not kept
        text,       // text
        list,       // items
        tuple,      // items
        dict,       // pairs
        global,     // text: "module.name"
        call,       // items: the global, the arguments' tuple; pairs: what was set on the result
        persistent, // items: the id
    };
    Kind kind = Kind::none;
    size_t offset = 0; // of its opcode in the pickle
    int64_t integer = 0;
    std::string_view text; // in the file's memory, or in the Pickle's own
    std::vector<const Pickled*> items;
    std::vector<std::pair<const Pickled*, const Pickled*>> pairs;

    bool is_call_of(std::string_view global) const {
        return kind == Kind::call && items[0]->text == global;
    }
    std::string description() const; // "the integer 3", for errors
};

class Pickle {
  public:
    // Runs the program, whose memory must outlive this. `name` stands for the file in errors;
    // allowed("module.name") says whether a global may be there.
    Pickle(std::span<const std::byte> program, std::string name,
           const std::function<bool(std::string_view)>& allowed);
    const Pickled& root() const { return *root_; }
    [[noreturn]] void fail_at(const Pickled& value, const std::string& message) const;

  private:
    friend class PickleMachine;
    std::string name_;
    std::deque<Pickled> values_; // where they are, cycles and all
    std::deque<std::string> names_;
    const Pickled* root_ = nullptr;
};

} // namespace tnl
