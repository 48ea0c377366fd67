#include "model/params.h"

#include "base/rng.h"
#include "base/threads.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>

namespace tnl {
namespace {

// Parameters start at multiples of this many elements: 64 bytes of bf16, so that rows of a matrix
// are as aligned as its width allows.
constexpr int64_t kAlign = 32;

int64_t product(const std::string& name, const std::vector<int64_t>& shape) {
    int64_t size = 1;
    for (int64_t d : shape) {
        TNL_CHECK(d > 0, "{} has a dimension of {}", name, d);
        TNL_CHECK(!__builtin_mul_overflow(size, d, &size), "{} has more than 2^63 elements", name);
    }
    return size;
}

} // namespace

int64_t Param::bytes() const { return shape.front() * quant_row_bytes(format, shape.back()); }

bool ParamTable::quantized() const {
    return std::ranges::any_of(params_,
                               [](const Param& p) { return p.format != QuantFormat::none; });
}

int ParamTable::add(std::string name, std::vector<int64_t> shape, Init init, bool adjacent,
                    QuantFormat format) {
    TNL_CHECK(find(name) < 0, "parameter {} added twice", name);
    TNL_CHECK(!adjacent || !params_.empty(), "parameter {} has none before it to adjoin", name);
    Param p;
    p.size = product(name, shape);
    p.offset = adjacent ? params_.back().offset + params_.back().size : flat_size_;
    p.name = std::move(name);
    p.shape = std::move(shape);
    p.init = init;
    p.format = format;
    // theta [H,1,D] is a vector of angles: decaying it would change the encoding.
    p.decay = p.shape.size() == 2;
    if (adjacent && format != QuantFormat::none) { // bytes have no whole number of elements
        TNL_CHECK(params_.back().format == format, "{} adjoins a matrix in another format", p.name);
        p.offset = params_.back().offset;
        p.after = params_.back().after + params_.back().bytes();
    }
    flat_size_ = (p.end() + kAlign - 1) / kAlign * kAlign;
    params_.push_back(std::move(p));
    return static_cast<int>(params_.size()) - 1;
}

int ParamTable::find(const std::string& name) const {
    for (size_t i = 0; i < params_.size(); ++i)
        if (params_[i].name == name) return static_cast<int>(i);
    return -1;
}

void ParamTable::freeze() {
    TNL_CHECK(frozen_ == 0 && !params_.empty(), "{} parameters, {} frozen before", params_.size(),
              frozen_);
    frozen_ = params_.size();
    trained_begin_ = flat_size_;
}

std::span<const Param> ParamTable::base() const {
    return std::span(params_).first(frozen_ ? frozen_ : params_.size());
}
std::span<const Param> ParamTable::adapters() const {
    return std::span(params_).subspan(frozen_ ? frozen_ : params_.size());
}

namespace {
int64_t count_of(std::span<const Param> params) {
    int64_t count = 0;
    for (const Param& p : params) count += p.copy ? 0 : p.size;
    return count;
}
} // namespace

int64_t ParamTable::parameter_count() const { return count_of(params_); }
int64_t ParamTable::trained_count() const { return count_of(trained()); }

Tensor ParamTable::view(const Tensor& flat, int index) const {
    TNL_CHECK(flat.is({flat_size_}), "flat buffer has shape {}, wanted [{}]", flat.shape_string(),
              flat_size_);
    const Param& p = (*this)[index];
    TNL_CHECK(p.format == QuantFormat::none, "{} is {}, wanted floats", p.name, name_of(p.format));
    void* data =
        flat.data ? static_cast<char*>(flat.data) + p.offset * size_of(flat.dtype) : nullptr;
    return Tensor(data, flat.dtype, p.shape.data(), static_cast<int>(p.shape.size()));
}

namespace {

// theta[h,0,i] = 10000^(-2 j / (H D)), j = h D + i: one ladder over all heads (released Lrpe).
void fill_theta(const Param& p, float* out) {
    for (int64_t j = 0; j < p.size; ++j)
        out[j] = static_cast<float>(
            std::pow(10000.0, -2.0 * static_cast<double>(j) / static_cast<double>(p.size)));
}

} // namespace

void initialize(const ParamTable& table, const ModelConfig& config, uint64_t seed, float* flat) {
    want_floats(config.weights, "initialize");
    std::fill(flat + table.trained_begin(), flat + table.flat_size(), 0.0f);
    ThreadPool pool;
    for (const Param& p : table.trained()) {
        float* out = flat + p.offset;
        switch (p.init) {
        case Init::zeros:
            break;
        case Init::ones:
            std::fill(out, out + p.size, 1.0f);
            break;
        case Init::lrpe_theta:
            fill_theta(p, out);
            break;
        case Init::narrow: {
            const Philox random{seed, XXH64(p.name.data(), p.name.size(), 0)};
            const double bound = 1 / std::sqrt(static_cast<double>(p.shape.back()));
            for (int64_t i = 0; i < p.size; ++i)
                out[i] =
                    static_cast<float>(bound * (2 * random.uniform(static_cast<uint64_t>(i)) - 1));
            break;
        }
        case Init::normal: {
            const Philox random{seed, XXH64(p.name.data(), p.name.size(), 0)};
            pool.parallel_for(p.size, 1 << 14, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i)
                    out[i] = static_cast<float>(config.init_std *
                                                random.normal(static_cast<uint64_t>(i)));
            });
            break;
        }
        }
        if (p.name == "model.embed_tokens.weight" && config.pad_token_id >= 0) {
            const int64_t C = config.decoder_embed_dim;
            std::fill(out + config.pad_token_id * C, out + (config.pad_token_id + 1) * C, 0.0f);
        }
    }
}

} // namespace tnl
