// Rules of JSON itself (RFC 8259), for grammars to be made of.
#pragma once

#include "infer/grammar.h"

#include <optional>

namespace tnl {

class JsonRules {
  public:
    using State = Grammar::State;
    explicit JsonRules(Grammar& grammar) : g_(grammar) {}

    // Each gives a rule's first state; made when first wanted.
    State space();     // none, a space, or a line end and up to 24 spaces
    State character(); // of a string, escaped or not; whole UTF-8
    State string();
    State integer();
    State number();
    State object(); // any
    State array();  // any
    State value();  // any
    State literal(std::string_view text);
    // least to most characters; most absent: any number
    State string_of(int64_t least, std::optional<int64_t> most);

    // A new rule: body(first, last) adds its edges.
    template <class F> State rule(F&& body) {
        const State first = g_.add_state(), last = g_.add_state();
        g_.end_rule(last);
        body(first, last);
        return first;
    }
    // From one state to another by a byte, by a rule; space() before it.
    void byte(State from, char c, State to);
    State then(State from, State rule); // to a new state
    State then_byte(State from, char c);

  private:
    State digits(State from, int most); // one to `most`; the state after any of them
    void multi_byte(State from, State to);
    std::optional<State> space_, character_, string_, integer_, number_, object_, array_, value_;
    Grammar& g_;
};

} // namespace tnl
