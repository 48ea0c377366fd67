#include "corpus/language/model.h"

#include "corpus/language/matrix.h"
#include "corpus/language/vocabulary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>

namespace tnl::corpus {
namespace {

enum Loss : int32_t { hierarchical = 1, negative = 2, softmax = 3, one_vs_all = 4 };
constexpr int32_t kMagic = 793712314, kSupervised = 3;

FastTextArgs read_args(ModelReader& in) {
    if (in.number<int32_t>() != kMagic) in.wrong("does not begin as one");
    const auto version = in.number<int32_t>();
    if (version != 11 && version != 12) in.wrong(fmt::format("is of version {}", version));
    std::array<int32_t, 12> n{};
    for (int32_t& each : n) each = in.number<int32_t>();
    in.number<double>(); // the threshold of sampling
    FastTextArgs out{n[0], n[5], n[6], n[7], n[8], n[9], n[10]};
    if (version == 11) out.maxn = 0; // supervised models had none, whatever they say
    if (out.model != kSupervised) in.wrong("is no classifier but vectors of words");
    if (out.loss < hierarchical || out.loss > one_vs_all)
        in.wrong(fmt::format("has loss {}", out.loss));
    if (out.dim < 1 || out.bucket < 0 || out.word_ngrams < 0 || out.maxn > 1000 ||
        (out.bucket == 0 && (out.maxn > 0 || out.word_ngrams > 1)))
        in.wrong(fmt::format("has dim {}, bucket {}, wordNgrams {}, maxn {}", out.dim, out.bucket,
                             out.word_ngrams, out.maxn));
    return out;
}

float log_of(float x) { return static_cast<float>(std::log(static_cast<double>(x) + 1e-5)); }

struct Node {
    int32_t left = -1, right = -1;
    int64_t count = int64_t{1'000'000'000'000'000};
};

// Huffman's tree of labels by how often they are, which is how the library numbers its rows.
std::vector<Node> build_tree(const std::vector<int64_t>& counts) {
    const auto leaves = static_cast<int32_t>(counts.size());
    std::vector<Node> tree(counts.size() * 2 - 1);
    for (size_t i = 0; i < counts.size(); ++i) tree[i].count = counts[i];
    int32_t leaf = leaves - 1, node = leaves;
    for (size_t i = counts.size(); i < tree.size(); ++i) {
        const auto least = [&] {
            const bool is_leaf = leaf >= 0 && tree[static_cast<size_t>(leaf)].count <
                                                  tree[static_cast<size_t>(node)].count;
            return is_leaf ? leaf-- : node++;
        };
        tree[i].left = least();
        tree[i].right = least();
        tree[i].count = tree[static_cast<size_t>(tree[i].left)].count +
                        tree[static_cast<size_t>(tree[i].right)].count;
    }
    return tree;
}

// The library's table of the logistic function.
float sigmoid(float x) {
    constexpr int kSize = 512, kMost = 8;
    static const std::array<float, kSize + 1> table = [] {
        std::array<float, kSize + 1> out{};
        for (int i = 0; i <= kSize; ++i) {
            const float at = static_cast<float>(i * 2 * kMost) / kSize - kMost;
            out[static_cast<size_t>(i)] =
                static_cast<float>(1.0 / (1.0 + static_cast<double>(std::exp(-at))));
        }
        return out;
    }();
    if (!(x >= -kMost)) return 0; // NaN, too
    if (x > kMost) return 1;
    return table[static_cast<size_t>((x + kMost) * kSize / kMost / 2)];
}

using Heap = std::vector<std::pair<float, int32_t>>;
bool above(const Heap::value_type& x, const Heap::value_type& y) { return x.first > y.first; }

} // namespace

struct LanguageModel::Parts {
    explicit Parts(ModelReader& in)
        : args(read_args(in)), vocabulary(in, args), quantized(in.number<uint8_t>() != 0),
          input(FastTextMatrix::read(in, quantized)),
          output(FastTextMatrix::read(in, in.number<uint8_t>() != 0 && quantized)) {
        const auto labels = static_cast<int64_t>(vocabulary.labels().size());
        if (input.columns() != args.dim || output.columns() != args.dim ||
            input.rows() < vocabulary.rows() || output.rows() != labels)
            in.wrong(fmt::format("has matrices of {} x {} and {} x {} for {} rows, {} labels and "
                                 "dimension {}",
                                 input.rows(), input.columns(), output.rows(), output.columns(),
                                 vocabulary.rows(), labels, args.dim));
        if (vocabulary.pruned() && !quantized) in.wrong("is pruned but not quantized");
        if (args.loss == hierarchical) tree = build_tree(vocabulary.label_counts());
    }
    void descend(int32_t node, float score, Scratch& s) const {
        if (score < log_of(0)) return;
        const Node& at = tree[static_cast<size_t>(node)];
        if (at.left < 0) {
            s.heap.emplace_back(score, node);
            std::push_heap(s.heap.begin(), s.heap.end(), above);
            return;
        }
        const auto leaves = static_cast<int32_t>(vocabulary.labels().size());
        float f = output.dot_row(node - leaves, s.hidden);
        f = static_cast<float>(1. / static_cast<double>(1 + std::exp(-f)));
        descend(at.left, score + log_of(static_cast<float>(1.0 - static_cast<double>(f))), s);
        descend(at.right, score + log_of(f), s);
    }
    void classify(Scratch& s) const {
        const size_t labels = vocabulary.labels().size();
        s.output.resize(labels);
        for (size_t i = 0; i < labels; ++i)
            s.output[i] = output.dot_row(static_cast<int64_t>(i), s.hidden);
        if (args.loss == softmax) {
            const float most = *std::max_element(s.output.begin(), s.output.end());
            float sum = 0;
            for (float& each : s.output) {
                each = static_cast<float>(std::exp(static_cast<double>(each - most)));
                sum += each;
            }
            for (float& each : s.output) each /= sum;
        } else {
            for (float& each : s.output) each = sigmoid(each);
        }
        for (size_t i = 0; i < labels; ++i) {
            if (s.output[i] < 0) continue;
            s.heap.emplace_back(log_of(s.output[i]), static_cast<int32_t>(i));
            std::push_heap(s.heap.begin(), s.heap.end(), above);
        }
    }
    FastTextArgs args;
    FastTextVocabulary vocabulary;
    bool quantized;
    FastTextMatrix input, output;
    std::vector<Node> tree;
};

LanguageModel::LanguageModel(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    std::error_code error;
    const uint64_t size = std::filesystem::file_size(file, error);
    if (!in || error) fail("{}: cannot be read", file.string());
    *this = LanguageModel(in, size, file.string());
}
LanguageModel::LanguageModel(std::istream& in, uint64_t size, const std::string& name) {
    ModelReader reader(in, size, name);
    parts_ = std::make_unique<Parts>(reader);
}
LanguageModel& LanguageModel::operator=(LanguageModel&&) noexcept = default;
LanguageModel::~LanguageModel() = default;
LanguageModel::LanguageModel(LanguageModel&&) noexcept = default;

std::vector<std::string> LanguageModel::labels() const { return parts_->vocabulary.labels(); }

size_t LanguageModel::bytes() const {
    return parts_->vocabulary.bytes() + parts_->input.bytes() + parts_->output.bytes();
}

std::vector<LanguageModel::Guess> LanguageModel::guess(std::string_view text, Scratch& s) const {
    const Parts& parts = *parts_;
    parts.vocabulary.features(text, s.features, s.hashes, s.word);
    std::vector<Guess> out;
    if (s.features.empty()) return out;
    s.hidden.assign(static_cast<size_t>(parts.args.dim), 0);
    constexpr size_t kAhead = 12; // rows lie anywhere in memory
    for (size_t i = 0; i < s.features.size(); ++i) {
        if (i + kAhead < s.features.size()) parts.input.prefetch(s.features[i + kAhead]);
        parts.input.add_row(s.features[i], s.hidden);
    }
    const auto scale = static_cast<float>(1.0 / static_cast<double>(s.features.size()));
    for (float& each : s.hidden) each *= scale;
    s.heap.clear();
    if (parts.args.loss == hierarchical)
        parts.descend(static_cast<int32_t>(parts.tree.size()) - 1, 0, s);
    else
        parts.classify(s);
    std::sort_heap(s.heap.begin(), s.heap.end(), above);
    for (const auto& [score, label] : s.heap)
        out.push_back({parts.vocabulary.labels()[static_cast<size_t>(label)], std::exp(score)});
    return out;
}

} // namespace tnl::corpus
