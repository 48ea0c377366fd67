// One table of parameters drives init, gradients, optimizer, checkpoints and inspection. All
// parameters lie in one flat buffer in table order; gradients, master weights and moments likewise.
#pragma once

#include "model/config.h"

#include <span>
#include <string>
#include <vector>

namespace tnl {

// narrow: uniform, within 1 / sqrt(columns) of zero.
enum class Init { normal, zeros, ones, lrpe_theta, narrow };

struct Param {
    std::string name; // the released checkpoint's name, e.g. model.layers.3.channel_mixer.l1.weight
    std::vector<int64_t> shape;
    Init init = Init::normal;
    bool decay = true;  // weight decay applies (matrices only)
    int64_t offset = 0; // first element in the flat buffer
    int64_t size = 0;   // numbers
    // A matrix in fewer bits lies in the flat buffer as bytes (ops/quant/quant.h), in the place of
    // half as many elements: all of it where elements have 16 bits.
    QuantFormat format = QuantFormat::none;
    bool copy = false;     // of another's numbers: the head in fewer bits beside tied embeddings
    int64_t after = 0;     // bytes from offset on, where it adjoins others that begin there
    int64_t bytes() const; // of such a matrix
    // Where it begins in the flat buffer, in bytes.
    int64_t place(DType dtype) const { return offset * size_of(dtype) + after; }
    // The first element behind it.
    int64_t end() const {
        return offset + (format == QuantFormat::none ? size : (after + bytes()) / 2);
    }
};

class ParamTable {
  public:
    // Appends a parameter and returns its index. With `adjacent` it follows the previous one
    // without alignment padding, so that both can be used as one matrix (l1 and l2 of the gated
    // unit).
    int add(std::string name, std::vector<int64_t> shape, Init init, bool adjacent = false,
            QuantFormat format = QuantFormat::none);

    // In what the matrices of linear layers are kept that are added from now on.
    void keep_layers_as(QuantFormat format) { layers_ = format; }
    QuantFormat layers() const { return layers_; }
    void mark_copy(int index) { params_[static_cast<size_t>(index)].copy = true; }
    bool quantized() const; // whether any is in fewer bits

    // What was added so far gets no gradients, moments or master weights; what comes after does:
    // the adapters (lora.h). Buffers of those hold [trained_begin, flat_size).
    void freeze();

    const std::vector<Param>& all() const { return params_; }
    std::span<const Param> base() const; // the model's own: all but adapters
    std::span<const Param> adapters() const;
    std::span<const Param> trained() const { return frozen_ ? adapters() : base(); }
    bool has_adapters() const { return frozen_ > 0; }
    int64_t trained_begin() const { return trained_begin_; }
    int64_t trained_size() const { return flat_size_ - trained_begin_; }
    const Param& operator[](int index) const { return params_[static_cast<size_t>(index)]; }
    int find(const std::string& name) const;         // -1 if absent
    int64_t flat_size() const { return flat_size_; } // elements, padding included
    int64_t parameter_count() const;                 // of all, copies once
    int64_t trained_count() const;

    // View of parameter `index` in a flat buffer [flat_size].
    Tensor view(const Tensor& flat, int index) const;

  private:
    std::vector<Param> params_;
    int64_t flat_size_ = 0, trained_begin_ = 0;
    size_t frozen_ = 0; // parameters
    QuantFormat layers_ = QuantFormat::none;
};

// Writes the initial values of what is trained into a host f32 buffer of flat_size elements, where
// frozen parameters stay as they are (padding zero): N(0, std)
// for matrices, released formula for LRPE's theta; the padding row of the embedding is zero. Each
// parameter draws from its own stream, named by the hash of its name, so that adding a layer
// changes no other.
void initialize(const ParamTable& table, const ModelConfig& config, uint64_t seed, float* flat);

} // namespace tnl
