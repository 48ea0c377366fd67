// A context-free grammar over bytes, and where a text stands in it. The grammar is a set of rules,
// each a small automaton whose edges are ranges of bytes, calls of rules, or nothing (a recursive
// transition network: W. A. Woods, 1970). A text stands at a set of places, each a state and the
// stack of states that the calls under way return to. Stacks are shared: each is one number.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tnl {

class Grammar {
  public:
    using State = int32_t;
    // States are made one by one; a rule is known by its first state. A text of a rule ends in a
    // state marked by end_rule().
    State add_state();
    void add_bytes(State from, unsigned char low, unsigned char high, State to);
    void add_call(State from, State rule, State to);
    void add_jump(State from, State to);
    void end_rule(State state);
    // Edges for a text, byte by byte, from one state to another.
    void add_text(State from, std::string_view text, State to);

    size_t size() const { return states_.size(); }

  private:
    friend class GrammarWalk;
    struct Bytes {
        unsigned char low, high;
        State to;
    };
    struct Call {
        State rule, to;
    };
    struct Node {
        std::vector<Bytes> bytes;
        std::vector<Call> calls;
        std::vector<State> jumps;
        bool ends = false;
    };
    std::vector<Node> states_;
};

// Not for several threads at once.
class GrammarWalk {
  public:
    // The grammar's texts are those of `rule`.
    GrammarWalk(Grammar grammar, Grammar::State rule);

    struct Place {
        Grammar::State state;
        int32_t stack;
        friend bool operator==(const Place&, const Place&) = default;
        friend bool operator<(const Place& a, const Place& b) {
            return a.state < b.state || (a.state == b.state && a.stack < b.stack);
        }
    };
    // Where a text stands: sorted; only places where a byte is next, or the text may end. Empty: it
    // is none of the grammar's.
    using Places = std::vector<Place>;

    Places begin();
    // After one more byte.
    void advance(const Places& from, unsigned char byte, Places& to);
    // Whether the text may end here.
    bool complete(const Places& places) const;
    // Whether any byte may follow.
    bool goes_on(const Places& places) const;
    size_t stacks() const { return stacks_.size(); }

  private:
    struct Stack {
        Grammar::State back; // where the call returns to
        int32_t below;
    };
    static constexpr int32_t kEmpty = -1;
    int32_t push(int32_t below, Grammar::State back);
    // Adds a place and all that it leads to without a byte.
    void add(Place place, Places& to);

    Grammar grammar_;
    Grammar::State rule_;
    std::vector<Stack> stacks_;
    std::unordered_map<uint64_t, int32_t> known_; // (below, back) -> stack
    Places pending_, visited_;
};

} // namespace tnl
