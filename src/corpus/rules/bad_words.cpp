#include "base/check.h"
#include "base/file.h"
#include "corpus/rules/c4.h"
#include "corpus/rules/python_text.h"
#include "text/utf8.h"

#include <map>

namespace tnl::corpus {
namespace {

bool is_word_character(std::string_view text, size_t at) {
    return (character_bits()[character_at(text, at).code] & kWordChar) != 0;
}

} // namespace

// The words, by their bytes.
struct BadWords::Tree {
    struct Node {
        bool ends = false;
        std::map<char, uint32_t> next;
    };
    std::vector<Node> nodes{1};
    bool first[256] = {}; // bytes that a word begins with

    void add(std::string_view word) {
        first[static_cast<unsigned char>(word[0])] = true;
        uint32_t node = 0;
        for (const char byte : word) {
            const auto [edge, is_new] =
                nodes[node].next.try_emplace(byte, static_cast<uint32_t>(nodes.size()));
            node = edge->second;
            if (is_new) nodes.emplace_back();
        }
        nodes[node].ends = true;
    }
    // Whether a word begins at text[at], one that ends before no part of a word unless anywhere.
    bool found(std::string_view text, size_t at, bool anywhere) const {
        uint32_t node = 0;
        while (at < text.size()) {
            const auto edge = nodes[node].next.find(text[at++]);
            if (edge == nodes[node].next.end()) return false;
            node = edge->second;
            if (nodes[node].ends && (anywhere || at == text.size() || !is_word_character(text, at)))
                return true;
        }
        return false;
    }
};

BadWords::BadWords(const std::filesystem::path& file, bool anywhere) : anywhere_(anywhere) {
    const std::string text = read_file(file);
    if (const size_t bad = first_invalid_utf8(text); bad != std::string::npos)
        fail("{}: invalid UTF-8 at byte {}, wanted a word a line", file.string(), bad);
    auto tree = std::make_unique<Tree>();
    std::vector<std::string_view> lines;
    split_newlines(text, lines);
    for (const std::string_view line : lines)
        if (const std::string_view word = strip(line); !word.empty()) tree->add(word);
    if (tree->nodes.size() == 1) fail("{}: has no words, wanted one a line", file.string());
    tree_ = std::move(tree);
}
BadWords::~BadWords() = default;
BadWords::BadWords(BadWords&&) noexcept = default;

Verdict BadWords::check(DocumentView& document) const {
    std::string lower;
    to_lower(document.text(), lower);
    bool may_begin = true; // the character before is no part of a word
    for (size_t at = 0; at < lower.size();) {
        const Character c = character_at(lower, at);
        if ((may_begin || anywhere_) && tree_->first[static_cast<unsigned char>(lower[at])] &&
            tree_->found(lower, at, anywhere_))
            return Verdict::dropped("document_removed_with_badwords", 1, 0);
        may_begin = !(character_bits()[c.code] & kWordChar);
        at += c.bytes;
    }
    return Verdict::kept();
}

} // namespace tnl::corpus
