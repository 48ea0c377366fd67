// Languages of texts by fastText's supervised models (Joulin et al. 2016, arXiv 1607.01759), as
// lid.176.bin, lid.176.ftz or GlotLID's: a mean of the vectors of words and of their character
// n-grams, then a linear classifier. Labels and scores are the library's (0.9.2), bit for bit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tnl::corpus {

class LanguageModel {
  public:
    // Throws naming the file and what of it is wrong; every size in it is checked.
    explicit LanguageModel(const std::filesystem::path& file);
    // The same of `size` bytes of a stream; `name` stands for the file.
    LanguageModel(std::istream& in, uint64_t size, const std::string& name);
    ~LanguageModel();
    LanguageModel(LanguageModel&&) noexcept;
    LanguageModel& operator=(LanguageModel&&) noexcept;

    struct Scratch { // of one thread
        std::vector<int32_t> features, hashes;
        std::vector<float> hidden, output;
        std::vector<std::pair<float, int32_t>> heap;
        std::string word;
    };
    struct Guess {
        std::string_view label; // without fastText's __label__, up to the next __
        float score;            // a probability, or by rounding a little more than 1
    };
    // Of all labels that the library gives (without probabilities below 1e-5 from a tree), the most
    // probable first. Ends of lines are white space; `text` is UTF-8.
    std::vector<Guess> guess(std::string_view text, Scratch& scratch) const;
    std::vector<std::string> labels() const;
    size_t bytes() const; // of memory

  private:
    struct Parts;
    std::unique_ptr<const Parts> parts_;
};

} // namespace tnl::corpus
