// Where micro-batches come from. Their order is a function of the state alone, so that a run that
// seeks to a stored state reads on as if it had never stopped.
#pragma once

#include "data/loader.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace tnl {

class BatchSource {
  public:
    virtual ~BatchSource() = default;
    // The rows at state(), which moves on by them.
    virtual void next(int64_t rows, TokenRows& out) = 0;
    virtual LoaderState state() const = 0;
    virtual void seek(const LoaderState& state) = 0;
    virtual int64_t rows_per_epoch() const = 0;
    // Bytes of text behind a token that is to be learned, on average; 0 if not known.
    virtual double bytes_per_token() const = 0;
    // What data this is: another one would not go on where a checkpoint stopped.
    virtual std::string fingerprint() const = 0;
};

// Token shards through the loader.
class ShardSource : public BatchSource {
  public:
    // shards must outlive this.
    ShardSource(const ShardSet& shards, LoaderOptions options, LoaderState state = {});
    void next(int64_t rows, TokenRows& out) override { loader_->next(rows, out); }
    LoaderState state() const override { return loader_->state(); }
    void seek(const LoaderState& state) override;
    int64_t rows_per_epoch() const override { return loader_->rows_per_epoch(); }
    double bytes_per_token() const override;
    std::string fingerprint() const override;

  private:
    const ShardSet& shards_;
    LoaderOptions options_;
    std::optional<Loader> loader_;
};

} // namespace tnl
