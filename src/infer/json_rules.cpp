#include "infer/json_rules.h"

#include <array>

namespace tnl {
namespace {

constexpr int kMostIndent = 24, kMostDigits = 16, kMostExponent = 2;

} // namespace

void JsonRules::byte(State from, char c, State to) {
    const auto b = static_cast<unsigned char>(c);
    g_.add_bytes(from, b, b, to);
}

JsonRules::State JsonRules::then(State from, State rule) {
    const State to = g_.add_state();
    g_.add_call(from, rule, to);
    return to;
}

JsonRules::State JsonRules::then_byte(State from, char c) {
    const State to = g_.add_state();
    byte(from, c, to);
    return to;
}

JsonRules::State JsonRules::literal(std::string_view text) {
    return rule([&](State first, State last) { g_.add_text(first, text, last); });
}

JsonRules::State JsonRules::space() {
    if (!space_)
        space_ = rule([&](State first, State last) {
            g_.add_jump(first, last);
            byte(first, ' ', last);
            State line = then_byte(first, '\n');
            for (int i = 0; i < kMostIndent; ++i) {
                g_.add_jump(line, last);
                line = then_byte(line, ' ');
            }
            g_.add_jump(line, last);
        });
    return *space_;
}

// Characters of two to four bytes (RFC 3629).
void JsonRules::multi_byte(State from, State to) {
    const auto tail = [&](int bytes) { // that many more, of any value
        State at = to;
        for (int i = 0; i < bytes; ++i) {
            const State before = g_.add_state();
            g_.add_bytes(before, 0x80, 0xBF, at);
            at = before;
        }
        return at;
    };
    const auto lead = [&](int low, int high, int second_low, int second_high, State after) {
        const State second = g_.add_state();
        g_.add_bytes(from, static_cast<unsigned char>(low), static_cast<unsigned char>(high),
                     second);
        g_.add_bytes(second, static_cast<unsigned char>(second_low),
                     static_cast<unsigned char>(second_high), after);
    };
    const State one = tail(1), two = tail(2);
    lead(0xC2, 0xDF, 0x80, 0xBF, to);
    lead(0xE0, 0xE0, 0xA0, 0xBF, one);
    lead(0xE1, 0xEC, 0x80, 0xBF, one);
    lead(0xED, 0xED, 0x80, 0x9F, one); // no surrogates
    lead(0xEE, 0xEF, 0x80, 0xBF, one);
    lead(0xF0, 0xF0, 0x90, 0xBF, two);
    lead(0xF1, 0xF3, 0x80, 0xBF, two);
    lead(0xF4, 0xF4, 0x80, 0x8F, two);
}

JsonRules::State JsonRules::character() {
    if (character_) return *character_;
    character_ = rule([&](State first, State last) {
        g_.add_bytes(first, 0x20, 0x21, last); // but "
        g_.add_bytes(first, 0x23, 0x5B, last); // and backslash
        g_.add_bytes(first, 0x5D, 0x7F, last);
        multi_byte(first, last);
        const State escape = then_byte(first, '\\');
        for (const char c : {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'}) byte(escape, c, last);
        const auto hex = [&](State from, State to) {
            g_.add_bytes(from, '0', '9', to);
            g_.add_bytes(from, 'a', 'f', to);
            g_.add_bytes(from, 'A', 'F', to);
        };
        const State u = then_byte(escape, 'u');
        const State rest = g_.add_state(), third = g_.add_state(), fourth = g_.add_state();
        g_.add_bytes(u, '0', '9', rest);
        for (const unsigned char a : std::array<unsigned char, 2>{'a', 'A'}) {
            g_.add_bytes(u, a, static_cast<unsigned char>(a + 2), rest); // a to c, e, f
            g_.add_bytes(u, static_cast<unsigned char>(a + 4), static_cast<unsigned char>(a + 5),
                         rest);
            const State d = g_.add_state(); // D800 and up are surrogates
            g_.add_bytes(u, static_cast<unsigned char>(a + 3), static_cast<unsigned char>(a + 3),
                         d);
            g_.add_bytes(d, '0', '7', third);
        }
        hex(rest, third);
        hex(third, fourth);
        hex(fourth, last);
    });
    return *character_;
}

JsonRules::State JsonRules::string() {
    if (!string_) string_ = string_of(0, std::nullopt);
    return *string_;
}

JsonRules::State JsonRules::string_of(int64_t least, std::optional<int64_t> most) {
    return rule([&](State first, State last) {
        State at = then_byte(first, '"');
        for (int64_t i = 0; i < least; ++i) at = then(at, character());
        if (most) {
            for (int64_t i = least; i < *most; ++i) {
                byte(at, '"', last);
                at = then(at, character());
            }
        } else {
            g_.add_call(at, character(), at);
        }
        byte(at, '"', last);
    });
}

JsonRules::State JsonRules::digits(State from, int most) {
    const State after = g_.add_state();
    for (int i = 0; i < most; ++i) {
        const State to = g_.add_state();
        g_.add_bytes(from, '0', '9', to);
        g_.add_jump(to, after);
        from = to;
    }
    return after;
}

JsonRules::State JsonRules::integer() {
    if (!integer_)
        integer_ = rule([&](State first, State last) {
            const State unsigned_part = g_.add_state();
            g_.add_jump(first, unsigned_part);
            byte(first, '-', unsigned_part);
            byte(unsigned_part, '0', last);
            const State more = g_.add_state();
            g_.add_bytes(unsigned_part, '1', '9', more);
            g_.add_jump(more, last);
            g_.add_jump(digits(more, kMostDigits - 1), last);
        });
    return *integer_;
}

JsonRules::State JsonRules::number() {
    if (!number_)
        number_ = rule([&](State first, State last) {
            const State whole = then(first, integer()), mantissa = g_.add_state();
            g_.add_jump(whole, mantissa);
            g_.add_jump(digits(then_byte(whole, '.'), kMostDigits), mantissa);
            g_.add_jump(mantissa, last);
            const State exponent = g_.add_state(), sign = g_.add_state();
            byte(mantissa, 'e', exponent);
            byte(mantissa, 'E', exponent);
            g_.add_jump(exponent, sign);
            byte(exponent, '+', sign);
            byte(exponent, '-', sign);
            g_.add_jump(digits(sign, kMostExponent), last);
        });
    return *number_;
}

JsonRules::State JsonRules::object() {
    if (!object_)
        object_ = rule([&](State first, State last) {
            const State open = then(then_byte(first, '{'), space());
            byte(open, '}', last);
            const State key = g_.add_state();
            g_.add_jump(open, key);
            const State colon = then_byte(then(then(key, string()), space()), ':');
            const State after = then(then(then(colon, space()), value()), space());
            byte(after, '}', last);
            g_.add_call(then_byte(after, ','), space(), key);
        });
    return *object_;
}

JsonRules::State JsonRules::array() {
    if (!array_)
        array_ = rule([&](State first, State last) {
            const State open = then(then_byte(first, '['), space());
            byte(open, ']', last);
            const State item = g_.add_state();
            g_.add_jump(open, item);
            const State after = then(then(item, value()), space());
            byte(after, ']', last);
            g_.add_call(then_byte(after, ','), space(), item);
        });
    return *array_;
}

JsonRules::State JsonRules::value() {
    if (value_) return *value_;
    // Known before its parts, which call it.
    const State first = g_.add_state(), last = g_.add_state();
    g_.end_rule(last);
    value_ = first;
    for (const State part : {object(), array(), string(), number()}) g_.add_call(first, part, last);
    for (const char* word : {"true", "false", "null"}) g_.add_text(first, word, last);
    return first;
}

} // namespace tnl
