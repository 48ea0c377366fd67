// Chinese words, as jieba 0.42 cuts them (github.com/fxsjy/jieba, "accurate" mode): the most
// probable path through the words of a dictionary, and a hidden Markov model of B(egin), M(iddle),
// E(nd) and S(ingle) for characters that it leaves alone. Dictionary and model are jieba's own
// files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace tnl::corpus {

class Segmenter {
  public:
    // A folder of jieba: dict.txt, a word, how often it is and more on each line; and
    // finalseg/prob_start.py, prob_trans.py and prob_emit.py, logarithms of probabilities (Debian:
    // package python3-jieba, /usr/lib/python3/dist-packages/jieba). Throws naming file and line.
    explicit Segmenter(const std::filesystem::path& folder);
    ~Segmenter();
    Segmenter(Segmenter&&) noexcept;

    struct Scratch { // of one thread
        std::vector<char32_t> codes;
        std::vector<uint32_t> offsets, edges, first_edge, ends;
        std::vector<double> best;
        std::vector<uint8_t> path, states;
    };
    // Appends the lengths in bytes of the words of `piece` (valid UTF-8, without white space).
    void split(std::string_view piece, std::vector<uint32_t>& lengths, Scratch& scratch) const;
    // What has to be hashed where a result depends on the dictionary.
    static std::vector<std::filesystem::path> files(const std::filesystem::path& folder);

  private:
    struct Model;
    std::unique_ptr<const Model> model_;
};

} // namespace tnl::corpus
