// Special cases in the tokens of a document (Tokenizer._apply_special_cases of spaCy): sequences of
// tokens that together are a special case become what it says. Of overlapping ones the longest
// counts, then the first, even if there are spaces inside it, in which case nothing is changed.
#include "corpus/words/lexicon.h"

#include <algorithm>

namespace tnl::corpus {

void Lexicon::add_pattern(const std::string& text, const std::vector<std::string>& parts) {
    lengths_.clear();
    splitter_.split(text, lengths_, false);
    uint32_t node = 0;
    size_t at = 0;
    for (const uint32_t length : lengths_) {
        const uint32_t lexeme = intern(std::string_view(text).substr(at, length));
        at += length;
        if (lexeme >= begins_.size()) begins_.resize(lexeme + 1);
        if (node == 0) begins_[lexeme] = 1;
        const auto [edge, is_new] = edges_.try_emplace(static_cast<uint64_t>(node) << 32 | lexeme,
                                                       static_cast<uint32_t>(nodes_.size()));
        if (is_new) nodes_.emplace_back();
        node = edge->second;
    }
    const auto first = static_cast<uint32_t>(outcomes_.size());
    for (const std::string& part : parts) outcomes_.push_back(intern(part));
    nodes_[node] = {true, first, static_cast<uint32_t>(parts.size())};
}

void Lexicon::find_matches(const std::vector<uint32_t>& tokens) {
    matches_.clear();
    const auto count = static_cast<uint32_t>(tokens.size());
    for (uint32_t begin = 0; begin < count; ++begin) {
        if (!(tokens[begin] & kBegins)) continue;
        uint32_t node = 0;
        for (uint32_t end = begin; end < count; ++end) {
            const uint32_t lexeme = tokens[end] & kLexeme;
            if (lexeme >= pattern_lexemes_ || (end > begin && (tokens[end] & kAfterWhite))) break;
            const auto edge = edges_.find(static_cast<uint64_t>(node) << 32 | lexeme);
            if (edge == edges_.end()) break;
            node = edge->second;
            if (nodes_[node].ends) matches_.push_back({begin, end + 1, node});
        }
    }
}

void Lexicon::keep_longest(size_t tokens) {
    std::sort(matches_.begin(), matches_.end(), [](const Match& a, const Match& b) {
        const uint32_t x = a.end - a.begin, y = b.end - b.begin;
        return x != y ? x > y : a.begin < b.begin;
    });
    seen_.assign(tokens, 0);
    size_t kept = 0;
    for (const Match& match : matches_) {
        const bool free = !seen_[match.begin] && !seen_[match.end - 1];
        std::fill(seen_.begin() + match.begin, seen_.begin() + match.end, uint8_t{1});
        if (free) matches_[kept++] = match;
    }
    matches_.resize(kept);
    std::sort(matches_.begin(), matches_.end(),
              [](const Match& a, const Match& b) { return a.begin < b.begin; });
}

void Lexicon::apply_patterns(std::vector<uint32_t>& tokens) {
    find_matches(tokens);
    if (matches_.empty()) return;
    keep_longest(tokens.size());
    rewritten_.clear();
    uint32_t at = 0;
    for (const Match& match : matches_) {
        rewritten_.insert(rewritten_.end(), tokens.begin() + at, tokens.begin() + match.begin);
        bool spaces = false;
        for (uint32_t i = match.begin + 1; i < match.end; ++i)
            spaces = spaces || (tokens[i] & kAfterSpace);
        if (spaces) {
            rewritten_.insert(rewritten_.end(), tokens.begin() + match.begin,
                              tokens.begin() + match.end);
        } else {
            const Node& node = nodes_[match.node];
            const size_t first = rewritten_.size();
            for (uint32_t i = 0; i < node.count; ++i)
                rewritten_.push_back(outcomes_[node.first + i]);
            rewritten_[first] |= tokens[match.begin] & (kAfterSpace | kAfterWhite);
        }
        at = match.end;
    }
    rewritten_.insert(rewritten_.end(), tokens.begin() + at, tokens.end());
    tokens.swap(rewritten_);
}

} // namespace tnl::corpus
