#include "corpus/words/segmenter.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/words/characters.h"
#include "text/utf8.h"

#include <nlohmann/json.hpp>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <string>
#include <unordered_map>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

constexpr double kNever = -3.14e100;
constexpr std::string_view kStates = "BEMS"; // in the order of their letters, which decides ties
constexpr size_t kBegin = 0, kEnd = 1, kMiddle = 2, kSingle = 3;

bool is_han(char32_t c) { return c >= 0x4E00 && c <= 0x9FD5; }
bool is_alnum(char32_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
// What the dictionary may have words of.
bool is_of_words(char32_t c) {
    return is_han(c) || is_alnum(c) || c == '+' || c == '#' || c == '&' || c == '.' || c == '_' ||
           c == '%' || c == '-';
}

// All beginnings of words, a node each; an edge is a node and a character.
class Dictionary {
  public:
    explicit Dictionary(const fs::path& file) {
        const std::string text = read_file(file);
        if (const size_t bad = first_invalid_utf8(text); bad != std::string::npos)
            fail("{}: invalid UTF-8 at byte {}", file.string(), bad);
        grow(size_t{1} << 20);
        size_t number = 1;
        for (size_t at = 0; at < text.size(); ++number) {
            const size_t end = std::min(text.find('\n', at), text.size());
            std::string_view line = std::string_view(text).substr(at, end - at);
            at = end + 1;
            if (line.ends_with('\r')) line.remove_suffix(1);
            const size_t space = line.find(' ');
            int64_t count = -1;
            if (space != std::string_view::npos)
                std::from_chars(line.data() + space + 1, line.data() + line.size(), count);
            if (count < 0)
                fail("{}:{}: '{}', wanted a word, a space and how often it is", file.string(),
                     number, line.substr(0, 60));
            add(line.substr(0, space), count);
            total_ += count;
        }
        if (total_ == 0) fail("{}: has no words", file.string());
        for (const int64_t count : counts_)
            logs_.push_back(std::log(static_cast<double>(count > 0 ? count : 1)));
    }
    static constexpr uint32_t kNone = 0; // the root, where no edge leads
    uint32_t next(uint32_t node, char32_t c) const {
        const uint64_t key = uint64_t{node} << 21 | c;
        for (size_t slot = place(key);; slot = (slot + 1) & (edges_.size() - 1)) {
            if (edges_[slot].node == kNone) return kNone;
            if (edges_[slot].key == key) return edges_[slot].node;
        }
    }
    bool is_word(uint32_t node) const { return counts_[node] > 0; }
    double log_of(uint32_t node) const { return logs_[node]; }
    double log_total() const { return std::log(static_cast<double>(total_)); }

  private:
    struct Edge {
        uint64_t key = 0;
        uint32_t node = kNone;
    };
    size_t place(uint64_t key) const { return (key * 0x9E3779B97F4A7C15) >> shift_; }
    void put(const Edge& edge) {
        size_t slot = place(edge.key);
        while (edges_[slot].node != kNone) slot = (slot + 1) & (edges_.size() - 1);
        edges_[slot] = edge;
    }
    void grow(size_t size) {
        std::vector<Edge> old(size);
        old.swap(edges_);
        shift_ = 64 - std::countr_zero(size);
        for (const Edge& edge : old)
            if (edge.node != kNone) put(edge);
    }
    void add(std::string_view word, int64_t count) {
        uint32_t node = 0;
        for (size_t at = 0; at < word.size();) {
            const Character c = character_at(word, at);
            at += c.bytes;
            uint32_t to = next(node, c.code);
            if (to == kNone) {
                to = static_cast<uint32_t>(counts_.size());
                counts_.push_back(0);
                if (counts_.size() * 2 > edges_.size()) grow(edges_.size() * 2);
                put({uint64_t{node} << 21 | c.code, to});
            }
            node = to;
        }
        counts_[node] = count;
    }
    std::vector<Edge> edges_;
    int shift_ = 0;
    std::vector<int64_t> counts_{0};
    std::vector<double> logs_;
    int64_t total_ = 0;
};

// A file that says P={'B': ...}: with other quotes it is JSON.
nlohmann::json read_table(const fs::path& file) {
    std::string text = read_file(file);
    const size_t begin = text.find("P={");
    if (begin == std::string::npos) fail("{}: has no 'P={{', wanted jieba's table", file.string());
    text.erase(0, begin + 2);
    for (char& c : text)
        if (c == '\'') c = '"';
    try {
        return nlohmann::json::parse(text);
    } catch (const std::exception& error) {
        fail("{}: {}; wanted jieba's table", file.string(), error.what());
    }
}

class MarkovModel {
  public:
    explicit MarkovModel(const fs::path& folder) {
        const nlohmann::json start = read_table(folder / "prob_start.py");
        const nlohmann::json trans = read_table(folder / "prob_trans.py");
        const nlohmann::json emit = read_table(folder / "prob_emit.py");
        for (size_t s = 0; s < 4; ++s) {
            const std::string name(1, kStates[s]);
            if (!start.contains(name) || !trans.contains(name) || !emit.contains(name))
                fail("{}: its tables have no state {}", folder.string(), name);
            start_[s] = start[name].get<double>();
            for (size_t to = 0; to < 4; ++to)
                trans_[s][to] = trans[name].value(std::string(1, kStates[to]), kNever);
            for (const auto& [text, value] : emit[name].items()) {
                auto& all = emit_.try_emplace(character_at(text, 0).code, kAll).first->second;
                all[s] = value.get<double>();
            }
        }
    }
    // The most probable states of han characters, by Viterbi's algorithm.
    void states(const char32_t* codes, size_t count, Segmenter::Scratch& s) const {
        // From which states one comes, the greater letter first.
        constexpr size_t kFrom[4][2] = {
            {kSingle, kEnd}, {kMiddle, kBegin}, {kMiddle, kBegin}, {kSingle, kEnd}};
        s.path.resize(count * 4);
        std::array<double, 4> now{}, next{};
        for (size_t y = 0; y < 4; ++y) now[y] = start_[y] + emission(codes[0])[y];
        for (size_t t = 1; t < count; ++t) {
            const std::array<double, 4>& emitted = emission(codes[t]);
            for (size_t y = 0; y < 4; ++y) {
                const auto by = [&](size_t from) {
                    return now[from] + trans_[from][y] + emitted[y];
                };
                const size_t a = kFrom[y][0], b = kFrom[y][1];
                const bool first = by(a) >= by(b);
                next[y] = first ? by(a) : by(b);
                s.path[t * 4 + y] = static_cast<uint8_t>(first ? a : b);
            }
            now = next;
        }
        s.states.resize(count);
        size_t state = now[kSingle] >= now[kEnd] ? kSingle : kEnd;
        for (size_t t = count; t-- > 0; state = s.path[t * 4 + state])
            s.states[t] = static_cast<uint8_t>(state);
    }

  private:
    static constexpr std::array<double, 4> kAll = {kNever, kNever, kNever, kNever};
    const std::array<double, 4>& emission(char32_t c) const {
        const auto found = emit_.find(c);
        return found == emit_.end() ? kAll : found->second;
    }
    std::array<double, 4> start_{};
    double trans_[4][4] = {};
    std::unordered_map<char32_t, std::array<double, 4>> emit_;
};

} // namespace

struct Segmenter::Model {
    explicit Model(const fs::path& folder)
        : words(folder / "dict.txt"), markov(folder / "finalseg"), log_total(words.log_total()) {}

    // For characters [begin, end) of which words may be: where the words of the most probable path
    // end, and what the other model makes of the characters that it leaves alone.
    void cut(size_t begin, size_t end, Scratch& s) const {
        find_edges(begin, end, s);
        s.best.resize(end - begin + 1);
        s.best[end - begin] = 0;
        std::vector<uint32_t>& last = s.edges; // of the best word that begins here, reused in place
        for (size_t k = end; k-- > begin;) {
            double most = 0;
            uint32_t which = 0;
            const size_t i = k - begin;
            for (size_t e = s.first_edge[i]; e < s.first_edge[i + 1]; e += 2) {
                const uint32_t x = s.edges[e], node = s.edges[e + 1];
                const double value = words.log_of(node) - log_total + s.best[x + 1 - begin];
                if (e == s.first_edge[i] || value >= most) {
                    most = value;
                    which = x;
                }
            }
            s.best[i] = most;
            last[s.first_edge[i]] = which;
        }
        size_t alone = begin; // single characters since here
        for (size_t k = begin; k < end;) {
            const size_t next = last[s.first_edge[k - begin]] + size_t{1};
            if (next - k > 1) {
                cut_alone(alone, k, s);
                s.ends.push_back(static_cast<uint32_t>(next));
                alone = next;
            }
            k = next;
        }
        cut_alone(alone, end, s);
    }
    // Pairs of a word's last character and its node, for every character; the node of a character
    // that begins no word is the root, whose count is that of nothing.
    void find_edges(size_t begin, size_t end, Scratch& s) const {
        s.edges.clear();
        s.first_edge.clear();
        for (size_t k = begin; k < end; ++k) {
            s.first_edge.push_back(static_cast<uint32_t>(s.edges.size()));
            uint32_t node = 0;
            for (size_t i = k; i < end; ++i) {
                node = words.next(node, s.codes[i]);
                if (node == Dictionary::kNone) break;
                if (!words.is_word(node)) continue;
                s.edges.push_back(static_cast<uint32_t>(i));
                s.edges.push_back(node);
            }
            if (s.edges.size() == s.first_edge.back()) {
                s.edges.push_back(static_cast<uint32_t>(k));
                s.edges.push_back(0);
            }
        }
        s.first_edge.push_back(static_cast<uint32_t>(s.edges.size()));
    }
    void cut_alone(size_t begin, size_t end, Scratch& s) const {
        if (end - begin > 1) {
            uint32_t node = 0;
            bool there = true;
            for (size_t i = begin; i < end && there; ++i)
                there = (node = words.next(node, s.codes[i])) != Dictionary::kNone;
            if (!there || !words.is_word(node)) return cut_unknown(begin, end, s);
        }
        for (size_t i = begin; i < end; ++i) s.ends.push_back(static_cast<uint32_t>(i + 1));
    }
    void cut_unknown(size_t begin, size_t end, Scratch& s) const {
        for (size_t at = begin; at < end;) {
            const bool han = is_han(s.codes[at]);
            size_t stop = at;
            while (stop < end && is_han(s.codes[stop]) == han) ++stop;
            if (han)
                cut_han(at, stop, s);
            else
                cut_latin(at, stop, s);
            at = stop;
        }
    }
    void cut_han(size_t begin, size_t end, Scratch& s) const {
        markov.states(&s.codes[begin], end - begin, s);
        size_t ended = begin;
        for (size_t i = begin; i < end; ++i)
            if (s.states[i - begin] == kEnd || s.states[i - begin] == kSingle)
                s.ends.push_back(static_cast<uint32_t>(ended = i + 1));
        if (ended < end) s.ends.push_back(static_cast<uint32_t>(end));
    }
    // Letters and digits, a decimal part, %; what is between such is one word.
    static void cut_latin(size_t begin, size_t end, Scratch& s) {
        const auto digit = [&](size_t i) {
            return i < end && s.codes[i] >= '0' && s.codes[i] <= '9';
        };
        for (size_t at = begin; at < end;) {
            const bool alnum = is_alnum(s.codes[at]);
            size_t stop = at;
            while (stop < end && is_alnum(s.codes[stop]) == alnum) ++stop;
            if (alnum) {
                if (stop < end && s.codes[stop] == '.' && digit(stop + 1))
                    for (++stop; digit(stop);) ++stop;
                if (stop < end && s.codes[stop] == '%') ++stop;
            }
            s.ends.push_back(static_cast<uint32_t>(stop));
            at = stop;
        }
    }
    Dictionary words;
    MarkovModel markov;
    double log_total;
};

Segmenter::Segmenter(const fs::path& folder) : model_(std::make_unique<Model>(folder)) {}
Segmenter::~Segmenter() = default;
Segmenter::Segmenter(Segmenter&&) noexcept = default;

std::vector<fs::path> Segmenter::files(const fs::path& folder) {
    return {folder / "dict.txt", folder / "finalseg" / "prob_start.py",
            folder / "finalseg" / "prob_trans.py", folder / "finalseg" / "prob_emit.py"};
}

void Segmenter::split(std::string_view piece, std::vector<uint32_t>& lengths, Scratch& s) const {
    s.codes.clear();
    s.offsets.clear();
    s.ends.clear();
    for (size_t at = 0; at < piece.size();) {
        const Character c = character_at(piece, at);
        s.codes.push_back(c.code);
        s.offsets.push_back(static_cast<uint32_t>(at));
        at += c.bytes;
    }
    s.offsets.push_back(static_cast<uint32_t>(piece.size()));
    for (size_t at = 0; at < s.codes.size();) {
        size_t end = at;
        while (end < s.codes.size() && is_of_words(s.codes[end])) ++end;
        if (end > at) model_->cut(at, end, s);
        at = end;
        if (at < s.codes.size()) s.ends.push_back(static_cast<uint32_t>(++at)); // by itself
    }
    uint32_t before = 0;
    for (const uint32_t end : s.ends) {
        lengths.push_back(s.offsets[end] - before);
        before = s.offsets[end];
    }
}

} // namespace tnl::corpus
